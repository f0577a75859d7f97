"""Losses on integrated states, and the regularisers that can be added to each.

A loss is a function of a few sums over points, so that a batch, or a whole validation set taken in
blocks, is one addition away from its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from models.neural_ode.config import Loss

__all__ = ["LOSSES", "LossEntry", "Sums", "Weights", "percent", "rms", "sum_up", "value"]

_SMALLEST_NORM = 1e-8

# Scalars of JAX while a step is traced, NumPy floats when validation adds its blocks up.
Scalar = Any


class Weights(NamedTuple):
    """Weights of the parts of a loss, as arguments of the compiled step."""

    mse: Scalar
    attraction: Scalar
    l1: Scalar
    l2: Scalar
    energy: Scalar
    epsilon: Scalar


class Sums(NamedTuple):
    """Sums over the points of a batch; `points` counts them.

    `percent` of 100·‖ŷ − y‖/max(‖y‖, 1e-8), `square_error` of (ŷ − y)² over the six components,
    `square` of y², `outward` of 100·max(0, cos angle(â, r̂)), `energy` of 100·|ε̂ − ε₀|/|ε₀|.
    """

    points: Scalar
    percent: Scalar
    square_error: Scalar
    square: Scalar
    outward: Scalar
    energy: Scalar


def sum_up(
    predicted: Float[Array, "B S 6"],
    truth: Float[Array, "B S 6"],
    counted: Bool[Array, " B"],
    *,
    acceleration: Callable[[Float[Array, " 6"]], Float[Array, " 3"]] | None = None,
    energy: bool = False,
) -> Sums:
    """The sums over all saved points after the first of the segments that count.

    Points whose truth is NaN (padding) don't count. `acceleration` is the model's, asked at the
    predicted states for the sum `outward`; without it, and without `energy`, these sums are zero.
    """
    y, y_hat = truth[:, 1:], predicted[:, 1:]
    mask = jnp.isfinite(y).all(-1) & counted[:, None]
    # Masked before any root or quotient: the gradient of what is masked afterwards can be NaN.
    y = jnp.where(mask[..., None], y, 0)
    y_hat = jnp.where(mask[..., None], y_hat, 0)
    square_error = jnp.sum((y_hat - y) ** 2, -1)
    size = jnp.maximum(_root(jnp.sum(y**2, -1)), _SMALLEST_NORM)
    zero = jnp.zeros((), predicted.dtype)
    return Sums(
        points=jnp.sum(mask, dtype=predicted.dtype),
        percent=jnp.sum(100 * _root(square_error) / size),
        square_error=jnp.sum(square_error),
        square=jnp.sum(y**2),
        outward=_outward(y_hat, mask, acceleration) if acceleration is not None else zero,
        energy=_energy_drift(y_hat, truth[:, :1], mask) if energy else zero,
    )


def _outward(
    y_hat: Float[Array, "B S 6"],
    mask: Bool[Array, "B S"],
    acceleration: Callable[[Float[Array, " 6"]], Float[Array, " 3"]],
) -> Float[Array, ""]:
    """Sum of 100·max(0, â·r̂/‖â‖): gravity pulls inward, so all of it is wrong."""
    states = jnp.where(mask[..., None], y_hat, 1).reshape(-1, 6)
    a, r = jax.vmap(acceleration)(states), states[:, :3]
    square = jnp.maximum(jnp.sum(a * a, -1) * jnp.sum(r * r, -1), 1e-30)
    cosine = jnp.sum(a * r, -1) / jnp.sqrt(square)
    return jnp.sum(jnp.where(mask.ravel(), 100 * jax.nn.relu(cosine), 0))


def _energy_drift(
    y_hat: Float[Array, "B S 6"], start: Float[Array, "B 1 6"], mask: Bool[Array, "B S"]
) -> Float[Array, ""]:
    """Sum of 100·|ε̂ − ε₀|/|ε₀|, ε = v²/2 − 1/r (μ = 1 in normalised units)."""

    def energy(y: Float[Array, "B S 6"]) -> Float[Array, "B S"]:
        square = jnp.maximum(jnp.sum(y[..., :3] ** 2, -1), 1e-12)
        return jnp.sum(y[..., 3:] ** 2, -1) / 2 - 1 / jnp.sqrt(square)

    first = energy(jnp.where(jnp.isfinite(start), start, 1))
    drift = jnp.abs(energy(jnp.where(mask[..., None], y_hat, 1)) - first) / jnp.abs(first)
    return jnp.sum(jnp.where(mask, 100 * drift, 0))


def _root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """√x with derivative 0 at 0, where JAX has infinity; what is not finite stays so."""
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def percent(sums: Sums) -> Scalar:
    """p, the mean percent error of the predicted states."""
    return sums.percent / sums.points


def mean_square(sums: Sums) -> Scalar:
    """Mean of (ŷ − y)² over points and components."""
    return sums.square_error / (6 * sums.points)


def rms(sums: Sums) -> Scalar:
    """Root of the mean square error, in normalised units; its gradient is not asked for."""
    return mean_square(sums) ** 0.5


def _percent_error(sums: Sums, weights: Weights) -> Scalar:
    """p."""
    return percent(sums)


def _percent_error_plus_nmse(sums: Sums, weights: Weights) -> Scalar:
    """p + mse_weight · 100·sqrt(mse/(mean y² + ε) + ε)."""
    normalised = mean_square(sums) / (sums.square / (6 * sums.points) + weights.epsilon)
    return percent(sums) + weights.mse * 100 * (normalised + weights.epsilon) ** 0.5


def _percent_error_with_attraction(sums: Sums, weights: Weights) -> Scalar:
    """p + attraction_weight · mean of 100·max(0, cos angle(â, r̂))."""
    return percent(sums) + weights.attraction * sums.outward / sums.points


def _mean_squared_error(sums: Sums, weights: Weights) -> Scalar:
    """mean (ŷ − y)²."""
    return mean_square(sums)


@dataclass(frozen=True)
class LossEntry:
    """A loss as a function of sums; `accelerations` says that it needs the sum `outward`.

    That sum asks the model for its acceleration at every predicted state.
    """

    function: Callable[[Sums, Weights], Scalar]
    accelerations: bool = False


LOSSES: Mapping[str, LossEntry] = MappingProxyType(
    {
        "mean_squared_error": LossEntry(_mean_squared_error),
        "percent_error": LossEntry(_percent_error),
        "percent_error_plus_nmse": LossEntry(_percent_error_plus_nmse),
        "percent_error_with_attraction": LossEntry(
            _percent_error_with_attraction, accelerations=True
        ),
    }
)


def value(name: Loss, sums: Sums, weights: Weights) -> Scalar:
    """The loss `name`, without the weights of the network but with the energy's regulariser."""
    return LOSSES[name].function(sums, weights) + weights.energy * sums.energy / sums.points
