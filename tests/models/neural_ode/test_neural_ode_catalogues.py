"""Every feature layer, head and activation: shapes, values, gradients where they could fail."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import sph_harm_y
from scipy.stats import special_ortho_group

from models.neural_ode.activations import ACTIVATIONS
from models.neural_ode.config import Parameters
from models.neural_ode.features import LAYERS
from models.neural_ode.harmonics import harmonics, harmonics_count
from models.neural_ode.heads import HEADS
from models.neural_ode.model import NeuralODE, acceleration, vector_field

SMALL = Parameters(width=6, depth=2, planar_constraint=False, activation="tanh")
STATE = jnp.array([0.4, -0.3, 0.2, 0.5, 0.9, -0.4])
EDGES = {
    "far": jnp.array([1e4, -2e4, 1e3, 1e-3, 2e-3, 0.0]),
    "near": jnp.array([1e-3, 2e-3, -1e-3, 30.0, -20.0, 10.0]),
    "planar": jnp.array([0.4, 0.3, 0.0, 0.5, -0.9, 0.0]),
    "at the pole": jnp.array([0.0, 0.0, 0.7, 0.3, 0.1, 0.0]),
    "at rest": jnp.array([0.4, 0.3, 0.1, 0.0, 0.0, 0.0]),
    "falling": jnp.array([0.4, 0.3, 0.1, -0.4, -0.3, -0.1]),
    "at the centre": jnp.zeros(6),
}


def model(seed: int = 0, **parameters: Any) -> NeuralODE:
    architecture = dataclasses.replace(SMALL, **parameters).architecture()
    return NeuralODE(architecture, rng=np.random.default_rng(seed))


ALL = (
    [{"feature_layer": name} for name in LAYERS]
    + [{"output_layer": name} for name in HEADS]
    + [{"activation": name} for name in ACTIVATIONS]
)
NAMES = [next(iter(one.values())) for one in ALL]


@pytest.mark.parametrize("choice", ALL, ids=NAMES)
def test_vmap_is_a_loop_and_jit_changes_nothing(choice: dict[str, Any]) -> None:
    network = model(**choice)
    states = jnp.stack([STATE, -2 * STATE, EDGES["planar"]])
    loop = jnp.stack([network(y) for y in states])
    together = jax.jit(jax.vmap(vector_field, (None, 0)))(network, states)
    assert loop.shape == (3, 6)
    np.testing.assert_allclose(together, loop, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(acceleration(network, STATE), vector_field(network, STATE)[3:])


@pytest.mark.parametrize("choice", ALL, ids=NAMES)
def test_gradients_are_finite_also_at_the_edges(choice: dict[str, Any]) -> None:
    network = model(**choice)

    def total(network: NeuralODE, y: jax.Array) -> jax.Array:
        return jnp.sum(vector_field(network, y) ** 2)

    states = jnp.stack([STATE, *EDGES.values()])
    by_model, by_state = jax.jit(jax.vmap(jax.grad(total, (0, 1)), (None, 0)))(network, states)
    for name, k in zip(["plain", *EDGES], range(len(states)), strict=True):
        assert jnp.isfinite(by_state[k]).all(), name
        assert all(jnp.isfinite(leaf[k]).all() for leaf in jax.tree.leaves(by_model)), name
    # The plain state must teach every layer something.
    assert all(jnp.any(leaf[0] != 0) for leaf in jax.tree.leaves(by_model.weights))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-12, 1e-6])
def test_heads_are_finite_where_the_output_has_next_to_no_direction(name: str, size: float) -> None:
    head = HEADS[name]
    z = size * jnp.ones(head.size)

    def total(z: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sum(head.function(z, y, 1e-8, 10.0))

    by_z, by_y = jax.grad(total, (0, 1))(z, STATE)
    assert jnp.isfinite(head.function(z, STATE, 1e-8, 10.0)).all()
    assert jnp.isfinite(by_z).all()
    assert jnp.isfinite(by_y).all()


@pytest.mark.parametrize("name", HEADS)
def test_heads_give_what_their_formula_says(name: str) -> None:
    z = np.array([-0.7, 0.3, -0.5, 0.9, 0.2, 0.4])[: HEADS[name].size]
    size, vector = z[0], z[1:]
    epsilon, scale = 0.01, 7.0
    unit = vector / (np.linalg.norm(vector) + epsilon)
    squashed = np.tanh(vector) / (np.linalg.norm(np.tanh(vector)) + epsilon)
    soft = np.log1p(np.exp(size))
    r, v = np.asarray(STATE[:3]), np.asarray(STATE[3:])
    radial, normal = r / np.linalg.norm(r), np.cross(r, v) / np.linalg.norm(np.cross(r, v))
    basis = np.stack([radial, np.cross(normal, radial), normal])
    expected = {
        "mlp_simple": z,
        "mlp_simple_hybrid": z,
        "mlp_4D": abs(size) * vector,
        "mlp_4D_signed": size * vector,
        "mlp_4D_activation": size * np.tanh(vector),
        "mlp_4D_unit": abs(size) * unit,
        "mlp_4D_unit_scaled": scale * abs(size) * unit,
        "mlp_4D_signed_unit": size * unit,
        "mlp_4D_softplus": soft * vector,
        "mlp_4D_accsoftplus": soft * vector,
        "mlp_4D_unit_softplus": soft * unit,
        "mlp_4D_logmag_exp": np.exp(size) * vector,
        "mlp_4D_logmag_unit_exp": np.exp(size) * unit,
        "mlp_4D_logmag_unit_softplus": (soft + epsilon) * unit,
        "mlp_4D_logmag_unit_tanh_exp": np.exp(size) * squashed,
        "mlp_4D_logmag_unit_tanh_softplus": (soft + epsilon) * squashed,
        "mlp_rtn": z @ basis if len(z) == 3 else None,
        "mlp_rtn_logmag": np.exp(size) * (unit @ basis) if len(vector) == 3 else None,
    }[name]
    found = HEADS[name].function(jnp.asarray(z, jnp.float32), STATE, epsilon, scale)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp_rtn", "mlp_rtn_logmag"])
def test_rotating_the_state_rotates_the_acceleration_of_an_rtn_head(name: str) -> None:
    rotation = jnp.asarray(special_ortho_group.rvs(3, random_state=4), jnp.float32)
    rotated = jnp.concatenate([rotation @ STATE[:3], rotation @ STATE[3:]])
    z = jnp.array([0.3, -0.8, 0.5, 0.1])[: HEADS[name].size]
    a, b = (HEADS[name].function(z, y, 1e-8, 1.0) for y in (STATE, rotated))
    np.testing.assert_allclose(b, rotation @ a, rtol=1e-5, atol=1e-6)
    assert not np.allclose(a, b)


@pytest.mark.parametrize("name", HEADS)
def test_the_planar_constraint_leaves_nothing_along_z(name: str) -> None:
    rates = model(output_layer=name, planar_constraint=True)(STATE)
    assert rates[2] == 0
    assert rates[5] == 0
    assert jnp.all(rates[jnp.array([0, 1, 3, 4])] != 0)
    if name != "mlp_simple":
        np.testing.assert_array_equal(rates[:2], STATE[3:5])


def test_features_are_those_of_the_table() -> None:
    r_vector, v = np.asarray(STATE[:3], float), np.asarray(STATE[3:], float)
    r, speed = np.linalg.norm(r_vector), np.linalg.norm(v)
    unit = r_vector / r
    base = [1 / r, *unit, *v]
    expected = {
        "cartesian": [*r_vector, *v],
        "sph_4D_rinv_vel": base,
        "sph_4D_rinv_vinv": [1 / r, *unit, 1 / speed, *(v / speed)],
        "sph_4D_rinv_vel_harmonics": [*base, *_scipy_harmonics(unit, 3)],
        "sph_4D_rinv_vrvt": [1 / r, *unit, unit @ v, np.linalg.norm(np.cross(r_vector, v)) / r],
        "sph_4D_logr_vel": [np.log(r), *unit, *v],
    }
    assert expected.keys() == LAYERS.keys()
    for name, layer in LAYERS.items():
        found = layer.function(STATE, 3)
        assert found.shape == (layer.size(3),)
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def _scipy_harmonics(unit: npt.NDArray[np.float64], degree: int) -> list[float]:
    """Real harmonics from SciPy's complex ones, with the Condon-Shortley phase taken out."""
    theta, phi = np.arccos(unit[2]), np.arctan2(unit[1], unit[0])
    values = []
    for l in range(1, degree + 1):
        for m in range(-l, l + 1):
            y = sph_harm_y(l, abs(m), theta, phi)
            part = y.imag if m < 0 else y.real
            values.append(part * (1 if m == 0 else np.sqrt(2) * (-1) ** abs(m)))
    return values


@pytest.mark.parametrize("degree", [1, 3, 7])
def test_harmonics_are_those_of_scipy(degree: int) -> None:
    rng = np.random.default_rng(degree)
    for unit in (*rng.normal(size=(5, 3)), np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])):
        direction = unit / np.linalg.norm(unit)
        with jax.enable_x64(True):
            found = harmonics(jnp.asarray(direction, jnp.float64), degree)
        assert found.shape == (harmonics_count(degree),)
        np.testing.assert_allclose(found, _scipy_harmonics(direction, degree), atol=1e-12)


def test_activations_are_those_of_their_formula() -> None:
    x = np.linspace(-3, 3, 13)
    low = x < 0
    sigmoid = 1 / (1 + np.exp(-x))
    soft = np.log1p(np.exp(x))
    cube = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    expected = {
        "tanh": np.tanh(x),
        "relu": np.maximum(x, 0),
        "leaky_relu": np.where(low, 0.01 * x, x),
        "elu": np.where(low, np.expm1(x), x),
        "gelu": x * (1 + np.tanh(cube)) / 2,
        "silu": x * sigmoid,
        "swish": x * sigmoid,
        "softplus": soft,
        "shifted_softplus": soft - np.log(2),
        "prelu": np.where(low, 0.3 * x, x),
    }
    assert expected.keys() == ACTIVATIONS.keys()
    for name, function in ACTIVATIONS.items():
        found = function(jnp.asarray(x, jnp.float32), jnp.float32(0.3))
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_slope_of_prelu_is_learned_one_per_layer() -> None:
    network = model(activation="prelu", depth=3)
    np.testing.assert_array_equal(network.slopes, [0.25] * 3)
    gradient = jax.grad(lambda m: jnp.sum(m(STATE) ** 2))(network)
    assert jnp.all(gradient.slopes != 0)
    assert model(activation="relu").slopes is None


def test_a_model_is_drawn_from_its_generator_alone() -> None:
    same, again, other = model(3), model(3), model(4)
    for a, b, c in zip(*(jax.tree.leaves(m) for m in (same, again, other)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    for weight in same.weights:
        assert jnp.max(jnp.abs(weight)) <= 1 / np.sqrt(weight.shape[1])


def test_a_network_without_hidden_layers_is_linear() -> None:
    network = model(depth=0, feature_layer="cartesian", output_layer="mlp_simple")
    np.testing.assert_allclose(
        network(STATE) - network(0 * STATE), network.weights[0] @ STATE, rtol=1e-5, atol=1e-6
    )
