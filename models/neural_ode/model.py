"""The network: normalised state → features → hidden layers → head → dy/dt."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from models.neural_ode.activations import ACTIVATIONS, LEARNED, SLOPE_AT_START
from models.neural_ode.config import Architecture
from models.neural_ode.features import LAYERS
from models.neural_ode.heads import HEADS

__all__ = ["NeuralODE", "acceleration", "vector_field"]


class NeuralODE(eqx.Module):
    """The right-hand side of the ODE, for one state at a time; `jax.vmap` for many.

    Drawn with NumPy from `rng`: weights and biases of each linear layer uniform in ±1/√inputs, as
    equinox and PyTorch draw them. (NumPy, because drawing with JAX compiles programs that cost
    more than the drawing in each new process.)
    """

    weights: tuple[Float[Array, "outputs inputs"], ...]
    biases: tuple[Float[Array, " outputs"], ...]
    slopes: Float[Array, " depth"] | None
    architecture: Architecture = eqx.field(static=True)

    def __init__(self, architecture: Architecture, *, rng: np.random.Generator) -> None:
        layer = LAYERS[architecture.feature_layer]
        sizes = [layer.size(architecture.harmonics_degree)]
        sizes += [architecture.width] * architecture.depth
        sizes += [HEADS[architecture.output_layer].size]
        weights, biases = [], []
        for inputs, outputs in itertools.pairwise(sizes):
            bound = 1 / np.sqrt(inputs)
            weights.append(jnp.asarray(rng.uniform(-bound, bound, (outputs, inputs)), jnp.float32))
            biases.append(jnp.asarray(rng.uniform(-bound, bound, outputs), jnp.float32))
        self.weights = tuple(weights)
        self.biases = tuple(biases)
        learned = architecture.activation in LEARNED
        slopes = np.full(architecture.depth, SLOPE_AT_START, np.float32)
        self.slopes = jnp.asarray(slopes) if learned else None
        self.architecture = architecture

    def features(self, y: Float[Array, " 6"]) -> Float[Array, " features"]:
        """What the first layer sees of the normalised state y."""
        layer = LAYERS[self.architecture.feature_layer]
        return layer.function(y, self.architecture.harmonics_degree)

    def output(self, y: Float[Array, " 6"]) -> Float[Array, " outputs"]:
        """The raw output z of the last layer, which the head turns into dy/dt."""
        activate = ACTIVATIONS[self.architecture.activation]
        x = self.features(y)
        last = len(self.weights) - 1
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = weight @ x + bias
            if k < last:
                x = activate(x, None if self.slopes is None else self.slopes[k])
        return x

    def __call__(self, y: Float[Array, " 6"]) -> Float[Array, " 6"]:
        """dy/dt of the normalised state y."""
        head, setting = HEADS[self.architecture.output_layer], self.architecture
        a = head.function(self.output(y), y, setting.epsilon, setting.output_scale)
        rates = a if head.whole else jnp.concatenate([y[3:], a])
        if setting.planar_constraint:
            rates = jnp.where(np.array([True, True, False, True, True, False]), rates, 0)
        return rates


def vector_field(model: NeuralODE, y: Float[Array, " 6"]) -> Float[Array, " 6"]:
    """dy/dt of the normalised state y, as a function of the model."""
    return model(y)


def acceleration(model: NeuralODE, y: Float[Array, " 6"]) -> Float[Array, " 3"]:
    """The acceleration that the model gives to the normalised state y."""
    return model(y)[3:]
