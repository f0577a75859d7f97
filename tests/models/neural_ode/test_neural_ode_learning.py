"""Every entry of the catalogues learns by the real training step: solver, adjoint, loss, Adam.

One compiled step holds them all and numbers in the model choose, because compiling one step for
each takes minutes. That such a model is the `NeuralODE` of its choice is tested too.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from jax import lax
from jaxtyping import Array, Float

from models.neural_ode.activations import ACTIVATIONS
from models.neural_ode.config import Config, Parameters
from models.neural_ode.curriculum import Batches
from models.neural_ode.features import LAYERS, Layer
from models.neural_ode.heads import HEADS, Head
from models.neural_ode.losses import Weights
from models.neural_ode.model import NeuralODE
from models.neural_ode.programs import program_of
from models.neural_ode.solve import Control, Workspace
from models.neural_ode.step import Knobs, Orders, _chunk_of, _rows, fresh_state

# The layer with the most features and the head with the most outputs: the others take a part.
WIDEST = Parameters(
    feature_layer="sph_4D_rinv_vel_harmonics",
    harmonics_degree=1,
    output_layer="mlp_simple",
    activation="prelu",
    width=8,
    depth=1,
    planar_constraint=False,
    loss_fcn="percent_error_plus_nmse",
    max_steps=64,
)
FEATURES = LAYERS[WIDEST.feature_layer].size(WIDEST.harmonics_degree)
STEPS = 64
# One choice of each kind together, every member of each catalogue at least once.
Choice: TypeAlias = tuple[str, str, str]
"""Head, layer and activation."""

CHOICES: list[Choice] = [
    (head, list(LAYERS)[k % len(LAYERS)], list(ACTIVATIONS)[k % len(ACTIVATIONS)])
    for k, head in enumerate(HEADS)
]


def _widened(layer: Layer) -> Callable[[Array], Array]:
    def features(y: Array) -> Array:
        found = layer.function(y, WIDEST.harmonics_degree)
        return jnp.pad(found, (0, FEATURES - len(found)))

    return jax.jit(features)


def _rates(head: Head) -> Callable[[Array, Array], Array]:
    def rates(z: Array, y: Array) -> Array:
        found = head.function(z[: head.size], y, WIDEST.epsilon, WIDEST.output_scale)
        return found if head.whole else jnp.concatenate([y[3:], found])

    return jax.jit(rates)


# Compiled functions are traced once, however often the solver's step asks for them.
_LAYERS = [_widened(layer) for layer in LAYERS.values()]
_HEADS = [_rates(head) for head in HEADS.values()]
_ACTIVATIONS = [jax.jit(function) for function in ACTIVATIONS.values()]


@jax.jit
def _field(model: "Every", y: Array) -> Array:
    head, layer, activation = lax.stop_gradient(model.choice).astype(jnp.int32)
    x = model.weights[0] @ lax.switch(layer, _LAYERS, y) + model.biases[0]
    assert model.slopes is not None
    x = lax.switch(activation, _ACTIVATIONS, x, model.slopes[0])
    rates: Array = lax.switch(head, _HEADS, model.weights[1] @ x + model.biases[1], y)
    return rates


class Every(NeuralODE):
    """A network that is any of the catalogue's; `choice` numbers its head, layer, activation."""

    choice: Float[Array, " 3"]

    def __init__(self, head: str, layer: str, activation: str) -> None:
        super().__init__(WIDEST.architecture(), rng=np.random.default_rng(1))
        numbers = list(HEADS).index(head), list(LAYERS).index(layer)
        self.choice = jnp.array([*numbers, list(ACTIVATIONS).index(activation)], jnp.float32)

    def __call__(self, y: Float[Array, " 6"]) -> Float[Array, " 6"]:
        rates: Float[Array, " 6"] = _field(self, y)
        return rates


@pytest.fixture(scope="module")
def learn() -> Callable[[Every], npt.NDArray[np.float32]]:
    """Trains a model of any choice on three short arcs of a circle; the loss of each step."""
    angle = np.linspace(0, 0.6, 5)[None, :] + np.array([[0.3], [1.5], [4.0], [0.3]])
    c, s, zero = np.cos(angle), np.sin(angle), 0 * angle
    truth = np.stack([c, s, zero, -s, c, zero], axis=-1)
    program = program_of(Config(parameters=WIDEST), 4, 5, "cpu")
    assert program.length == STEPS
    batches = Batches(
        np.float32(np.tile(angle - angle[:, :1], (STEPS, 1, 1))),
        np.float32(np.tile(truth, (STEPS, 1, 1, 1))),
        np.full(STEPS, 3, np.int32),
    )
    orders = Orders(np.full(STEPS, 1e-2, np.float32), np.int32(STEPS), np.bool_(True))
    weights = Weights(mse=1.0, attraction=0.0, l1=0.0, l2=0.0, energy=0.0, epsilon=1e-8)
    knobs = jax.tree.map(np.float32, Knobs(Control(1e-5, 1e-7), weights, 0.0, np.inf, 0.0))

    def arguments(model: Every) -> tuple[Any, ...]:
        space = Workspace.empty(_rows(program), program.lanes, 6)
        return fresh_state(model, program.optimiser), space, batches, orders, knobs

    traced = jax.jit(_chunk_of(program)).lower(*arguments(Every(*CHOICES[0])))
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    step = traced.compile(compiler_options=options)

    def run(model: Every) -> npt.NDArray[np.float32]:
        state, _, rows, done = step(*arguments(model))
        assert int(done) == STEPS
        np.testing.assert_array_equal(state.model.choice, model.choice)
        return np.asarray(rows.loss)

    return run


@pytest.mark.parametrize("choice", CHOICES, ids="-".join)
def test_the_loss_falls_on_a_tiny_set(
    choice: Choice, learn: Callable[[Every], npt.NDArray[np.float32]]
) -> None:
    losses = learn(Every(*choice))
    assert losses[-8:].mean() < 0.6 * losses[0]


@pytest.mark.parametrize("choice", CHOICES, ids="-".join)
def test_the_model_that_learns_is_the_one_of_the_choice(choice: Choice) -> None:
    every = Every(*choice)
    head, layer, activation = choice
    words: dict[str, Any] = {
        "output_layer": head,
        "feature_layer": layer,
        "activation": activation,
    }
    same = ("width", "depth", "planar_constraint", "harmonics_degree")
    architecture = Parameters(
        **{name: getattr(WIDEST, name) for name in same}, **words
    ).architecture()
    network = NeuralODE(architecture, rng=np.random.default_rng(0))
    inputs, outputs = network.weights[0].shape[1], network.weights[1].shape[0]
    for name, value in (
        ("weights", (every.weights[0][:, :inputs], every.weights[1][:outputs])),
        ("biases", (every.biases[0], every.biases[1][:outputs])),
    ):
        object.__setattr__(network, name, value)
    y = jnp.array([0.4, -0.3, 0.2, 0.5, 0.9, -0.4])
    np.testing.assert_allclose(every(y), network(y), rtol=1e-5, atol=1e-6)
