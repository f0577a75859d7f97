"""Lengths and directions whose gradients stay finite everywhere."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["TINY", "direction", "length"]

TINY = 1e-6
"""Vectors shorter than this count as this long (normalised units: 10⁻⁶ of the largest orbit).

The derivative of ‖x‖ at 0 doesn't exist and JAX gives NaN; and float32 holds no 1/‖x‖³ of anything
much shorter.
"""


def length(x: Float[Array, " n"]) -> Float[Array, ""]:
    """max(‖x‖, TINY), with derivative 0 below it."""
    return jnp.sqrt(jnp.maximum(jnp.sum(x * x), TINY**2))


def direction(x: Float[Array, " n"], epsilon: float) -> Float[Array, " n"]:
    """x/(‖x‖ + ε): a unit vector, or something shorter where x is next to nothing."""
    return x / (length(x) + epsilon)
