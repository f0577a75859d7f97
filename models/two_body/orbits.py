"""Kepler orbits: anomalies, elements and states, propagation, and what is conserved.

Everything is float64 and vectorised over leading axes. Elements are arrays (..., 6) of semi-major
axis, eccentricity, inclination i, right ascension of the ascending node Ω, argument of periapsis ω
and true anomaly ν, angles in radians; states are arrays (..., 6) of position and velocity. Lengths
and times are in any units that agree with `mu`; its default means km and s.

Angles that are undefined are NaN in elements and count as zero on the way to states. So ω is
measured from the +x axis when the orbit lies in the reference plane (Ω undefined), and ν from the
node, or from +x, when the orbit is circular (ω undefined).

Formulae: Vallado, Fundamentals of Astrodynamics and Applications, 4th ed. 2013, chapter 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.two_body.constants import MU

__all__ = [
    "acceleration",
    "angular_momentum",
    "eccentric_anomaly",
    "elements_from_states",
    "energy",
    "mean_from_true",
    "period",
    "propagate",
    "states_from_elements",
    "true_from_mean",
]

Array = npt.NDArray[np.float64]

# Below this eccentricity, or sine of the inclination, float64 holds no direction of periapsis or of
# the node. Taking the angle as undefined then moves a state by about this much, relative.
UNDEFINED_BELOW = 1e-13

# The slowest case below e = 0.99 takes eight steps; NaN and e next to 1 must end too.
_MOST_STEPS = 60


def eccentric_anomaly(mean_anomaly: npt.ArrayLike, eccentricity: npt.ArrayLike) -> Array:
    """Solve Kepler's equation M = E − e sin E for E.

    `mean_anomaly` in rad, any value; `eccentricity` in [0, 1), broadcast against it. Returns E in
    rad with |E − M| <= e. Newton's method in [0, π], where E − e sin E is convex: started at an
    upper bound of the root it falls to it monotonically for every e. Both M + e and M/(1 − e) are
    such bounds. Raises ValueError for an eccentricity outside [0, 1).
    """
    M, e = np.broadcast_arrays(
        np.asarray(mean_anomaly, dtype=np.float64), np.asarray(eccentricity, dtype=np.float64)
    )
    if np.any((e < 0) | (e >= 1)):
        raise ValueError("`0 <= eccentricity < 1` must hold: only bound orbits have a period")
    turns = np.round(M / (2 * np.pi))
    reduced = M - 2 * np.pi * turns
    m = np.minimum(np.abs(reduced), np.pi)
    E = np.minimum(m + e, m / (1 - e))
    for _ in range(_MOST_STEPS):
        correction = (E - e * np.sin(E) - m) / (1 - e * np.cos(E))
        E = E - correction
        # The step after one of relative size d errs by less than 4 d² (e up to 0.99).
        if not np.any(np.abs(correction) > 1e-9 * E):
            break
    result: Array = M + np.copysign(E - m, reduced)
    return result


def true_from_mean(mean_anomaly: npt.ArrayLike, eccentricity: npt.ArrayLike) -> Array:
    """True anomaly in [0, 2π) of a mean anomaly, both in rad."""
    E = eccentric_anomaly(mean_anomaly, eccentricity)
    e = np.asarray(eccentricity, dtype=np.float64)
    half = np.arctan2(np.sqrt(1 + e) * np.sin(E / 2), np.sqrt(1 - e) * np.cos(E / 2))
    return _turn(2 * half)


def mean_from_true(true_anomaly: npt.ArrayLike, eccentricity: npt.ArrayLike) -> Array:
    """Mean anomaly in [0, 2π) of a true anomaly, both in rad."""
    nu = np.asarray(true_anomaly, dtype=np.float64)
    e = np.asarray(eccentricity, dtype=np.float64)
    E = 2 * np.arctan2(np.sqrt(1 - e) * np.sin(nu / 2), np.sqrt(1 + e) * np.cos(nu / 2))
    return _turn(E - e * np.sin(E))


def states_from_elements(elements: npt.ArrayLike, mu: float = MU) -> Array:
    """States (..., 6) of elements (..., 6); undefined (NaN) angles count as zero."""
    elements = np.asarray(elements, dtype=np.float64)
    M = mean_from_true(np.nan_to_num(elements[..., 5]), elements[..., 1])
    return _states_at(elements, M, mu)


def propagate(elements: npt.ArrayLike, times: npt.ArrayLike, mu: float = MU) -> Array:
    """States (..., T, 6) at `times` (..., T) after the epoch of `elements` (..., 6)."""
    elements = np.asarray(elements, dtype=np.float64)[..., None, :]
    a, e = elements[..., 0], elements[..., 1]
    M0 = mean_from_true(np.nan_to_num(elements[..., 5]), e)
    return _states_at(elements, M0 + np.sqrt(mu / a**3) * np.asarray(times, dtype=np.float64), mu)


def at_mean_anomalies(elements: npt.ArrayLike, offsets: npt.ArrayLike, mu: float = MU) -> Array:
    """States (..., T, 6) where the mean anomaly has grown by `offsets` (..., T), rad."""
    elements = np.asarray(elements, dtype=np.float64)[..., None, :]
    M0 = mean_from_true(np.nan_to_num(elements[..., 5]), elements[..., 1])
    return _states_at(elements, M0 + np.asarray(offsets, dtype=np.float64), mu)


def _states_at(elements: Array, mean_anomaly: Array, mu: float) -> Array:
    """States (..., 6) of orbits (..., 6), whose own ν is ignored, at mean anomalies (...)."""
    a, e = elements[..., 0], elements[..., 1]
    i, Omega, omega = (np.nan_to_num(elements[..., k]) for k in (2, 3, 4))
    E = eccentric_anomaly(mean_anomaly, e)
    cos_E, sin_E = np.cos(E), np.sin(E)
    axes_ratio = np.sqrt((1 - e) * (1 + e))
    # Position along the periapsis (p) and 90° ahead of it in the plane (q).
    r_p, r_q = a * (cos_E - e), a * axes_ratio * sin_E
    speed = np.sqrt(mu / a) / (1 - e * cos_E)
    v_p, v_q = -speed * sin_E, speed * axes_ratio * cos_E

    cos_O, sin_O = np.cos(Omega), np.sin(Omega)
    cos_w, sin_w = np.cos(omega), np.sin(omega)
    cos_i, sin_i = np.cos(i), np.sin(i)
    p = (
        cos_O * cos_w - sin_O * cos_i * sin_w,
        sin_O * cos_w + cos_O * cos_i * sin_w,
        sin_i * sin_w,
    )
    q = (
        -cos_O * sin_w - sin_O * cos_i * cos_w,
        cos_O * cos_i * cos_w - sin_O * sin_w,
        sin_i * cos_w,
    )
    parts = [r_p * p[k] + r_q * q[k] for k in range(3)]
    parts += [v_p * p[k] + v_q * q[k] for k in range(3)]
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def elements_from_states(states: npt.ArrayLike, mu: float = MU) -> Array:
    """Elements (..., 6) of states (..., 6); undefined angles, and rows with a NaN, are NaN.

    i lies in [0, π], the other angles in [0, 2π). Raises ValueError for a state that is not bound,
    or that moves on a straight line through the centre.
    """
    states = np.asarray(states, dtype=np.float64)
    r_vector, v_vector = states[..., :3], states[..., 3:]
    r = np.linalg.norm(r_vector, axis=-1)
    h_vector = np.cross(r_vector, v_vector)
    h = np.linalg.norm(h_vector, axis=-1)
    specific_energy = energy(states, mu)
    if np.any(specific_energy >= 0) or np.any(h == 0):
        raise ValueError("a state has no elements: `energy < 0` and `r × v ≠ 0` must hold")
    a = -mu / (2 * specific_energy)

    h_hat = h_vector / h[..., None]
    sin_i = np.hypot(h_hat[..., 0], h_hat[..., 1])
    i = np.arctan2(sin_i, h_hat[..., 2])
    equatorial = sin_i < UNDEFINED_BELOW
    Omega = np.where(equatorial, np.nan, _turn(np.arctan2(h_hat[..., 0], -h_hat[..., 1])))
    node_angle = np.nan_to_num(Omega)
    node = np.stack([np.cos(node_angle), np.sin(node_angle), np.zeros_like(r)], axis=-1)
    ahead = np.cross(h_hat, node)  # 90° ahead of the node in the plane

    def plane_angle(vector: Array) -> Array:
        return np.arctan2(_dot(vector, ahead), _dot(vector, node))

    e_vector = np.cross(v_vector, h_vector) / mu - r_vector / r[..., None]
    e = np.linalg.norm(e_vector, axis=-1)
    circular = e < UNDEFINED_BELOW
    omega = np.where(circular, np.nan, _turn(plane_angle(e_vector)))
    nu = _turn(plane_angle(r_vector) - np.nan_to_num(omega))
    elements = np.stack([a, np.where(circular, 0.0, e), i, Omega, omega, nu], axis=-1)
    elements[~np.isfinite(states).all(axis=-1)] = np.nan
    return elements


def period(semi_major_axis: npt.ArrayLike, mu: float = MU) -> Array:
    """Time of one revolution, 2π sqrt(a³/μ)."""
    a = np.asarray(semi_major_axis, dtype=np.float64)
    result: Array = 2 * np.pi * np.sqrt(a**3 / mu)
    return result


def energy(states: npt.ArrayLike, mu: float = MU) -> Array:
    """Specific energy v²/2 − μ/r of states (..., 6); −μ/(2a) all along an orbit."""
    states = np.asarray(states, dtype=np.float64)
    r = np.linalg.norm(states[..., :3], axis=-1)
    result: Array = 0.5 * _dot(states[..., 3:], states[..., 3:]) - mu / r
    return result


def angular_momentum(states: npt.ArrayLike) -> Array:
    """Specific angular momentum r × v (..., 3) of states (..., 6)."""
    states = np.asarray(states, dtype=np.float64)
    return np.cross(states[..., :3], states[..., 3:])


def acceleration(positions: npt.ArrayLike, mu: float = MU) -> Array:
    """True acceleration −μ r/‖r‖³ (..., 3) at positions (..., 3), or at states (..., 6)."""
    r_vector = np.asarray(positions, dtype=np.float64)[..., :3]
    r = np.linalg.norm(r_vector, axis=-1, keepdims=True)
    result: Array = -mu * r_vector / r**3
    return result


def _dot(a: Array, b: Array) -> Array:
    result: Array = np.sum(a * b, axis=-1)
    return result


def _turn(angle: Array) -> Array:
    """The angle in [0, 2π)."""
    turned = np.mod(angle, 2 * np.pi)
    result: Array = np.where(turned >= 2 * np.pi, 0.0, turned)
    return result
