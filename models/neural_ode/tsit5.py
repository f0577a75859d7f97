"""One step of Tsitouras' 5(4) Runge-Kutta method, for many states side by side.

States are (D, W): D components of W independent solutions, which all take a step of their own size
h (W,). The last axis is the one that the processor's vector units work on.

Source: Ch. Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
assumption, Computers & Mathematics with Applications 62, 2011, doi:10.1016/j.camwa.2011.06.002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["ERROR", "INTERPOLANT", "ORDER_OF_ERROR", "STAGES", "error", "polynomial", "stages"]

States = Float[Array, "D W"]
Sizes = Float[Array, " W"]
Field = Callable[[States], States]

STAGES: tuple[tuple[float, ...], ...] = (
    (0.161,),
    (-0.008480655492356989, 0.335480655492357),
    (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
    (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
    (
        5.86145544294642,
        -12.92096931784711,
        8.159367898576159,
        -0.071584973281401,
        -0.02826905039406838,
    ),
    (
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    ),
)
"""a_ij. The last row is the solution too, so its stage is the first of the next step."""

ERROR: tuple[float, ...] = (
    0.001780011052225777,
    0.0008164344596567469,
    -0.007880878010261995,
    0.1447110071732629,
    -0.5823571654525552,
    0.45808210592918697,
    -1 / 66,
)
"""b_i − b̂_i of the embedded solution of order 4."""

INTERPOLANT = np.array(
    [
        [1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216],
        [0.0, 0.13169999999999998, -0.2234, 0.1017],
        [0.0, 3.9302962368947516, -5.941033872131505, 2.490627285651253],
        [0.0, -12.411077166933676, 30.33818863028232, -16.548102889244902],
        [0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928],
        [0.0, -27.896526289197286, 65.09189467479366, -34.87065786149661],
        [0.0, 1.5, -4.0, 2.5],
    ]
).T
"""Coefficients (4, 7) of θ¹…θ⁴ in b_i(θ): y(t + θh) = y + h Σ_i b_i(θ) k_i, of order 4."""

ORDER_OF_ERROR = 5
"""The step's error estimate is O(h⁵): it is that of the embedded solution of order 4."""


def stages(field: Field, y: States, k1: States, h: Sizes) -> tuple[States, list[States]]:
    """The solution after a step of `h` from `y`, where k1 = field(y), and all k₁…k₇."""
    k = [k1]
    end = y
    for row in STAGES:
        end = y + h * _combine(row, k)
        k.append(field(end))
    return end, k


def error(k: Sequence[States], h: Sizes) -> States:
    """Estimate of the step's error."""
    return h * _combine(ERROR, k)


def polynomial(k: Sequence[States], h: Sizes) -> Float[Array, "4 D W"]:
    """c₁…c₄ of the solution within the step: y(t + θh) = y + Σ_j c_j θʲ, θ in [0, 1]."""
    return jnp.stack([h * _combine(row, k) for row in INTERPOLANT])


def _combine(coefficients: Sequence[float], k: Sequence[States]) -> States:
    terms = [float(c) * one for c, one in zip(coefficients, k, strict=True) if c]
    return sum(terms[1:], terms[0])
