"""Activations of the hidden layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["ACTIVATIONS", "LEARNED", "SLOPE_AT_START"]

Hidden = Float[Array, " width"]
Slope = Float[Array, ""]

SLOPE_AT_START = 0.25
"""Slope of prelu before training, as in He et al., arXiv:1502.01852."""

LEARNED = frozenset({"prelu"})
"""Activations whose slope is a parameter, one per hidden layer; the others ignore it."""


def tanh(x: Hidden, slope: Slope | None) -> Hidden:
    """tanh x."""
    return jnp.tanh(x)


def relu(x: Hidden, slope: Slope | None) -> Hidden:
    """max(x, 0)."""
    return jax.nn.relu(x)


def leaky_relu(x: Hidden, slope: Slope | None) -> Hidden:
    """x, and 0.01 x below zero."""
    return jnp.where(x >= 0, x, 0.01 * x)


def elu(x: Hidden, slope: Slope | None) -> Hidden:
    """x, and eˣ − 1 below zero."""
    return jax.nn.elu(x)


def gelu(x: Hidden, slope: Slope | None) -> Hidden:
    """x Φ(x), Φ the normal distribution function, by its tanh approximation."""
    return jax.nn.gelu(x)


def silu(x: Hidden, slope: Slope | None) -> Hidden:
    """x/(1 + e⁻ˣ), also known as swish."""
    return jax.nn.silu(x)


def softplus(x: Hidden, slope: Slope | None) -> Hidden:
    """ln(1 + eˣ)."""
    return jax.nn.softplus(x)


def shifted_softplus(x: Hidden, slope: Slope | None) -> Hidden:
    """ln(1 + eˣ) − ln 2, zero at zero."""
    return jax.nn.softplus(x) - math.log(2)


def prelu(x: Hidden, slope: Slope | None) -> Hidden:
    """x, and a learned slope times x below zero."""
    assert slope is not None, "prelu needs its learned slope"
    return jnp.where(x >= 0, x, slope * x)


ACTIVATIONS: Mapping[str, Callable[[Hidden, Slope | None], Hidden]] = MappingProxyType(
    {
        "tanh": tanh,
        "relu": relu,
        "leaky_relu": leaky_relu,
        "elu": elu,
        "gelu": gelu,
        "silu": silu,
        "swish": silu,
        "softplus": softplus,
        "shifted_softplus": shifted_softplus,
        "prelu": prelu,
    }
)
