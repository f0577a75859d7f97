"""Optimisers: from a gradient to the direction in which the parameters go.

The learning rate and the weight decay are no part of what is built here: they are arguments of the
compiled step, so that changing them compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from models.training.config import Optimiser

__all__ = ["BUILDERS", "build", "clipped", "weight_decay"]


def _adam(optimiser: Any) -> optax.GradientTransformation:
    """m̂/(√v̂ + eps), from running means m of the gradient and v of its square."""
    return optax.scale_by_adam(b1=optimiser.b1, b2=optimiser.b2, eps=optimiser.eps)


def _sgd(optimiser: Any) -> optax.GradientTransformation:
    """The gradient plus `momentum` times the last direction."""
    return optax.trace(decay=optimiser.momentum, nesterov=optimiser.nesterov)


BUILDERS: Mapping[str, Callable[[Any], optax.GradientTransformation]] = MappingProxyType(
    {"adam": _adam, "adamw": _adam, "sgd": _sgd}
)


def build(optimiser: Optimiser) -> optax.GradientTransformation:
    """The transformation of gradients into directions, without learning rate and decay."""
    return BUILDERS[optimiser.name](optimiser)


def weight_decay(optimiser: Optimiser) -> float:
    """λ of the step θ ← θ − lr (direction + λ θ); 0 where an optimiser has none."""
    return float(getattr(optimiser, "weight_decay", 0.0))


def clipped(gradient: Any, largest: Any) -> tuple[Any, Float[Array, ""]]:
    """The gradient scaled to a global norm of at most `largest`, and the norm it had."""
    norm = optax.tree.norm(gradient)
    return jax.tree.map(lambda g: g * jnp.minimum(1, largest / norm), gradient), norm
