"""Real spherical harmonics as polynomials of a unit vector."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["harmonics", "harmonics_count"]


def harmonics_count(degree: int) -> int:
    """Number of harmonics of degree 1 to `degree`: L (L + 2)."""
    return degree * (degree + 2)


def harmonics(unit: Float[Array, " 3"], degree: int) -> Float[Array, " harmonics"]:
    """Real orthonormal spherical harmonics Y_lm, l = 1..`degree`, m = −l..l, in that order.

    With N_lm = sqrt((2l + 1)/(4π) · (l − |m|)!/(l + |m|)!) and no Condon-Shortley phase,
    Y_lm = √2 N_lm P_l^|m|(z) sin^|m|θ · sin(|m|φ) for m < 0, · cos(mφ) for m > 0, and N_l0 P_l(z)
    for m = 0. Written in x, y, z: sin^m θ e^{imφ} = (x + iy)^m, and the factor P_l^m/sin^m θ is a
    polynomial of z with the recurrences of the associated Legendre functions. So nothing is
    singular at the poles, where angles are. The constant l = 0 is left out: the network has biases.

    Source: Abramowitz and Stegun 8.5.3 and 8.6.17; T. Limpanuparb and J. Milthorpe,
    arXiv:1410.1748.
    """
    x, y, z = unit[0], unit[1], unit[2]
    one = jnp.ones_like(z)
    cosines, sines = [one], [jnp.zeros_like(z)]
    for _ in range(degree):
        c, s = cosines[-1], sines[-1]
        cosines.append(x * c - y * s)
        sines.append(x * s + y * c)
    legendre = _legendre(z, degree)
    values = []
    for l in range(1, degree + 1):
        for m in range(-l, l + 1):
            k = abs(m)
            factor = _norm(l, k) * legendre[l, k]
            if m < 0:
                values.append(math.sqrt(2) * factor * sines[k])
            elif m > 0:
                values.append(math.sqrt(2) * factor * cosines[k])
            else:
                values.append(factor)
    return jnp.stack(values)


def _norm(l: int, m: int) -> float:
    ratio = math.factorial(l - m) / math.factorial(l + m)
    return math.sqrt((2 * l + 1) / (4 * math.pi) * ratio)


def _legendre(z: Float[Array, ""], degree: int) -> dict[tuple[int, int], Float[Array, ""]]:
    """P_l^m(z)/(1 − z²)^{m/2} without phase, for 0 <= m <= l <= degree."""
    p = {(0, 0): jnp.ones_like(z)}
    for m in range(degree + 1):
        if m:
            p[m, m] = (2 * m - 1) * p[m - 1, m - 1]
        if m < degree:
            p[m + 1, m] = (2 * m + 1) * z * p[m, m]
        for l in range(m + 2, degree + 1):
            p[l, m] = ((2 * l - 1) * z * p[l - 1, m] - (l + m - 1) * p[l - 2, m]) / (l - m)
    return p
