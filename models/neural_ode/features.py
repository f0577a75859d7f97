"""Feature layers: what the network sees of a normalised state y = [r, v]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from models.neural_ode.harmonics import harmonics, harmonics_count
from models.neural_ode.vectors import length

__all__ = ["LAYERS", "Layer"]

State = Float[Array, " 6"]
Features = Float[Array, " features"]


class Layer(NamedTuple):
    """`function(y, degree)` gives `size(degree)` features; only harmonics look at the degree."""

    size: Callable[[int], int]
    function: Callable[[State, int], Features]


def cartesian(y: State, degree: int) -> Features:
    """The six states."""
    return y


def sph_4d_rinv_vel(y: State, degree: int) -> Features:
    """1/r, r̂, v: gravity is a power of 1/r times r̂, so little is left to learn."""
    r = length(y[:3])
    return jnp.concatenate([1 / r[None], y[:3] / r, y[3:]])


def sph_4d_rinv_vinv(y: State, degree: int) -> Features:
    """1/r, r̂, 1/v, v̂."""
    r, v = length(y[:3]), length(y[3:])
    return jnp.concatenate([1 / r[None], y[:3] / r, 1 / v[None], y[3:] / v])


def sph_4d_rinv_vel_harmonics(y: State, degree: int) -> Features:
    """1/r, r̂, v and the real spherical harmonics of r̂ of degree 1 to `degree`."""
    return jnp.concatenate(
        [sph_4d_rinv_vel(y, degree), harmonics(y[:3] / length(y[:3]), degree)],
    )


def sph_4d_rinv_vrvt(y: State, degree: int) -> Features:
    """1/r, r̂, radial speed r̂·v, transverse speed ‖r × v‖/r."""
    r = length(y[:3])
    unit = y[:3] / r
    transverse = length(jnp.cross(unit, y[3:]))
    return jnp.concatenate([1 / r[None], unit, jnp.stack([unit @ y[3:], transverse])])


def sph_4d_logr_vel(y: State, degree: int) -> Features:
    """ln r, r̂, v: the logarithm of a power law is a straight line."""
    r = length(y[:3])
    return jnp.concatenate([jnp.log(r)[None], y[:3] / r, y[3:]])


LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        "cartesian": Layer(lambda degree: 6, cartesian),
        "sph_4D_rinv_vel": Layer(lambda degree: 7, sph_4d_rinv_vel),
        "sph_4D_rinv_vinv": Layer(lambda degree: 8, sph_4d_rinv_vinv),
        "sph_4D_rinv_vel_harmonics": Layer(
            lambda degree: 7 + harmonics_count(degree), sph_4d_rinv_vel_harmonics
        ),
        "sph_4D_rinv_vrvt": Layer(lambda degree: 6, sph_4d_rinv_vrvt),
        "sph_4D_logr_vel": Layer(lambda degree: 7, sph_4d_logr_vel),
    }
)
