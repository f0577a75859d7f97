"""Output layers (heads): how the network's output z becomes an acceleration.

û = z₁₋₃/(‖z₁₋₃‖ + ε) throughout. A head with a unit vector learns size and direction apart; one
without lets both share three outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from models.neural_ode.vectors import direction, length

__all__ = ["HEADS", "Head", "canonical"]

Output = Float[Array, " outputs"]
State = Float[Array, " 6"]
Vector = Float[Array, " 3"]


class Head(NamedTuple):
    """`function(z, y, epsilon, scale)` of `size` outputs and the state.

    It gives the acceleration (3,), or with `whole` all of dy/dt (6,).
    """

    size: int
    function: Callable[[Output, State, float, float], Array]
    whole: bool = False


def simple(z: Output, y: State, epsilon: float, scale: float) -> Float[Array, " 6"]:
    """dy/dt = z: nothing imposed, not even dr/dt = v."""
    return z


def simple_hybrid(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = z."""
    return z


def absolute(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = |z₀| z₁₋₃."""
    return jnp.abs(z[0]) * z[1:]


def signed(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = z₀ z₁₋₃. Two signs can cancel: (−z₀)(−z₁₋₃) is the same acceleration."""
    return z[0] * z[1:]


def activation(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = z₀ tanh(z₁₋₃)."""
    return z[0] * jnp.tanh(z[1:])


def unit(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = |z₀| û."""
    return jnp.abs(z[0]) * direction(z[1:], epsilon)


def unit_scaled(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = scale |z₀| û, with a fixed scale."""
    return scale * unit(z, y, epsilon, scale)


def signed_unit(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = z₀ û."""
    return z[0] * direction(z[1:], epsilon)


def softplus(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = softplus(z₀) z₁₋₃."""
    return jax.nn.softplus(z[0]) * z[1:]


def unit_softplus(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = softplus(z₀) û."""
    return jax.nn.softplus(z[0]) * direction(z[1:], epsilon)


def logmag_exp(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = exp(z₀) z₁₋₃."""
    return jnp.exp(z[0]) * z[1:]


def logmag_unit_exp(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = exp(z₀) û."""
    return jnp.exp(z[0]) * direction(z[1:], epsilon)


def logmag_unit_softplus(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = (softplus(z₀) + ε) û."""
    return (jax.nn.softplus(z[0]) + epsilon) * direction(z[1:], epsilon)


def logmag_unit_tanh_exp(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = exp(z₀) · normalise(tanh(z₁₋₃))."""
    return jnp.exp(z[0]) * direction(jnp.tanh(z[1:]), epsilon)


def logmag_unit_tanh_softplus(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = (softplus(z₀) + ε) · normalise(tanh(z₁₋₃))."""
    return (jax.nn.softplus(z[0]) + epsilon) * direction(jnp.tanh(z[1:]), epsilon)


def rtn(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = z₀ R̂ + z₁ T̂ + z₂ N̂ in the basis that moves with the body.

    Rotating the state rotates the acceleration, for equal z.
    """
    return z @ _rtn_basis(y)


def rtn_logmag(z: Output, y: State, epsilon: float, scale: float) -> Vector:
    """a = exp(z₀) û with û in the radial, transverse, normal basis."""
    return jnp.exp(z[0]) * (direction(z[1:], epsilon) @ _rtn_basis(y))


def _rtn_basis(y: State) -> Float[Array, "3 3"]:
    """Rows R̂ = r/r, T̂ = N̂ × R̂, N̂ = r × v/‖r × v‖. On a radial path N̂ and T̂ fade to zero."""
    radial = y[:3] / length(y[:3])
    momentum = jnp.cross(radial, y[3:])
    normal = momentum / length(momentum)
    return jnp.stack([radial, jnp.cross(normal, radial), normal])


_ALIASES = MappingProxyType({"mlp_4D_accsoftplus": "mlp_4D_softplus"})


def canonical(name: str) -> str:
    """The name of a head of which `name` may be another."""
    return _ALIASES.get(name, name)


HEADS: Mapping[str, Head] = MappingProxyType(
    {
        "mlp_simple": Head(6, simple, whole=True),
        "mlp_simple_hybrid": Head(3, simple_hybrid),
        "mlp_4D": Head(4, absolute),
        "mlp_4D_signed": Head(4, signed),
        "mlp_4D_activation": Head(4, activation),
        "mlp_4D_unit": Head(4, unit),
        "mlp_4D_unit_scaled": Head(4, unit_scaled),
        "mlp_4D_signed_unit": Head(4, signed_unit),
        "mlp_4D_softplus": Head(4, softplus),
        "mlp_4D_accsoftplus": Head(4, softplus),
        "mlp_4D_unit_softplus": Head(4, unit_softplus),
        "mlp_4D_logmag_exp": Head(4, logmag_exp),
        "mlp_4D_logmag_unit_exp": Head(4, logmag_unit_exp),
        "mlp_4D_logmag_unit_softplus": Head(4, logmag_unit_softplus),
        "mlp_4D_logmag_unit_tanh_exp": Head(4, logmag_unit_tanh_exp),
        "mlp_4D_logmag_unit_tanh_softplus": Head(4, logmag_unit_tanh_softplus),
        "mlp_rtn": Head(3, rtn),
        "mlp_rtn_logmag": Head(4, rtn_logmag),
    }
)
