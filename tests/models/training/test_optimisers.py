"""Optimisers against those of optax, and the bound on a gradient's norm."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.training.config import Adam, AdamW, Optimiser, Sgd
from models.training.optimisers import build, clipped, weight_decay


@pytest.mark.parametrize(
    ("optimiser", "reference"),
    [
        (Adam(b1=0.8, b2=0.95, eps=1e-3), optax.adam(0.1, 0.8, 0.95, 1e-3)),
        (AdamW(eps=1e-3, weight_decay=0.3), optax.adamw(0.1, eps=1e-3, weight_decay=0.3)),
        (Sgd(momentum=0.8), optax.sgd(0.1, 0.8)),
        (Sgd(momentum=0.8, nesterov=True), optax.sgd(0.1, 0.8, nesterov=True)),
    ],
)
def test_updates_are_those_of_optax(
    optimiser: Optimiser, reference: optax.GradientTransformation
) -> None:
    rng = np.random.default_rng(0)
    ours = theirs = jnp.asarray(rng.normal(size=5), jnp.float32)
    transform = build(optimiser)
    memory, other = transform.init(ours), reference.init(theirs)
    for _ in range(4):
        gradient = jnp.asarray(rng.normal(size=5), jnp.float32)
        direction, memory = transform.update(gradient, memory)
        ours = ours - 0.1 * (direction + weight_decay(optimiser) * ours)
        updates, other = reference.update(gradient, other, theirs)
        theirs = optax.apply_updates(theirs, updates)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("largest", "scale"), [(13.0, 1.0), (6.5, 0.5), (np.inf, 1.0)])
def test_a_gradient_is_clipped_to_its_largest_norm(largest: float, scale: float) -> None:
    gradient = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([[12.0]])}
    found, norm = clipped(gradient, jnp.float32(largest))
    assert float(norm) == pytest.approx(13)
    for name, value in gradient.items():
        np.testing.assert_allclose(found[name], scale * value, rtol=1e-6)
