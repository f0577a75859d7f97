"""What is measured of predicted accelerations and orbits: errors, angles, slopes, drifts.

NumPy in, plain numbers out. Accelerations and positions are arrays (orbits, samples, 3) in any
units; a sample whose truth is not finite is padding and doesn't count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.training.statistics import describe, mean, percent_errors
from models.two_body.orbits import angular_momentum, energy

__all__ = [
    "LocalSlope",
    "acceleration_statistics",
    "drift_statistics",
    "local_slope",
    "log_slope",
]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Radii that spread less than this, relative, are one radius up to the rounding of float32 states.
_ONE_RADIUS = 1e-6


def acceleration_statistics(
    a_true: npt.ArrayLike,
    a_pred: npt.ArrayLike,
    r: npt.ArrayLike,
    *,
    r_true: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """All figures of a generalisation test, by name.

    `a_true`, `a_pred` and `r` are (orbits, samples, 3); `r` are the positions at which the model
    was asked, so along the predicted path for the propagated measure; `r_true` are those of the
    truth, by default `r`. An orbit with a prediction that is not finite where the truth is has
    failed: it counts in ``failed_pct`` and in nothing else.

    ``mean``, ``median``, ``std``, ``q1``, ``q3``, ``outliers_pct``, ``skewness``, ``mode``,
    ``pearson_sk1``, ``pearson_sk2`` and ``bowley`` describe the percent errors of all samples (see
    `training.statistics.describe`), and with the prefix ``orbit_`` the means of each orbit's
    percent errors.
    ``theta_deg`` is the mean angle between prediction and truth; ``radial_pct`` the percentage of
    predictions that point outward (a·r > 0); ``slope`` and ``slope_truth`` the slopes of ln‖a‖
    against ln r, −2 for the truth; ``orbits`` and ``samples`` how many of each went in. What is
    undefined (a slope on one radius, anything without samples) is NaN.
    """
    a_true, a_pred, r = (np.asarray(x, dtype=np.float64) for x in (a_true, a_pred, r))
    r_true = r if r_true is None else np.asarray(r_true, dtype=np.float64)
    if not (a_true.ndim == 3 and a_true.shape[-1] == 3):
        raise ValueError(
            f"accelerations must have the shape (orbits, samples, 3), got {a_true.shape}"
        )
    if not a_true.shape == a_pred.shape == r.shape == r_true.shape:
        shapes = [x.shape for x in (a_true, a_pred, r, r_true)]
        raise ValueError(f"`a_true`, `a_pred`, `r`, `r_true` must be of one shape, got {shapes}")

    real = _finite(a_true)
    finite = _finite(a_pred) & _finite(r)
    tested: Mask = np.any(real, axis=-1)
    failed: Mask = np.any(real & ~finite, axis=-1)
    kept: Mask = real & ~failed[:, None]
    errors = percent_errors(a_true, a_pred)
    truth, prediction, position = a_true[kept], a_pred[kept], r[kept]
    orbit_means = np.array([errors[k][kept[k]].mean() for k in np.flatnonzero(kept.any(axis=-1))])

    figures = describe(errors[kept])
    figures["theta_deg"] = mean(np.degrees(_angle(truth, prediction)))
    figures["radial_pct"] = 100.0 * mean(_outward(prediction, position))
    figures["slope"] = log_slope(position, prediction)
    figures["slope_truth"] = log_slope(r_true[kept], truth)
    figures |= {f"orbit_{name}": value for name, value in describe(orbit_means).items()}
    figures["failed_pct"] = mean(100.0 * failed[tested].astype(np.float64))
    figures["orbits"] = float(tested.sum())
    figures["samples"] = float(kept.sum())
    return figures


def log_slope(r: npt.ArrayLike, a: npt.ArrayLike) -> float:
    """Slope of the straight line through ln‖a‖ against ln‖r‖ by least squares.

    `r` and `a` are vectors (..., 3). Newton's law gives −2. NaN unless there are two radii.
    """
    log_r, log_a = _logarithms(r, a)
    return _slope(log_r, log_a)


class LocalSlope(NamedTuple):
    """`log_slope` over intervals of the radius.

    `edges` (bins + 1) of the intervals and `centres` (bins), their geometric means, in the units of
    r; `slopes` (bins), NaN where an interval holds fewer than two radii; `counts` (bins).
    """

    edges: Array
    centres: Array
    slopes: Array
    counts: npt.NDArray[np.int64]


def local_slope(r: npt.ArrayLike, a: npt.ArrayLike, bins: int | npt.ArrayLike = 12) -> LocalSlope:
    """Slope of ln‖a‖ against ln‖r‖ in each interval of the radius.

    `r` and `a` are vectors (..., 3); `bins` a number of intervals, equal in ln r, or their edges.
    """
    log_r, log_a = _logarithms(r, a)
    if np.ndim(bins):
        log_edges = np.log(np.asarray(bins, dtype=np.float64))
    elif log_r.size:
        log_edges = np.linspace(log_r.min(), log_r.max(), int(np.asarray(bins)) + 1)
    else:
        log_edges = np.full(int(np.asarray(bins)) + 1, np.nan)
    count = len(log_edges) - 1
    # The last interval is closed, as in numpy.histogram: it holds the largest radius.
    index = np.searchsorted(log_edges, log_r, side="right") - 1
    index[log_r == log_edges[-1]] = count - 1
    members = [index == k for k in range(count)]
    return LocalSlope(
        edges=np.exp(log_edges),
        centres=np.exp((log_edges[1:] + log_edges[:-1]) / 2),
        slopes=np.array([_slope(log_r[here], log_a[here]) for here in members]),
        counts=np.array([here.sum() for here in members], dtype=np.int64),
    )


def drift_statistics(states: npt.ArrayLike, *, mu: float) -> dict[str, float]:
    """How far predicted orbits (orbits, samples, 6) leave their own first energy and momentum.

    ``energy_drift`` is the mean of |ε − ε₀|/|ε₀| over all samples, ``angular_momentum_drift`` that
    of ‖h − h₀‖/‖h₀‖, with ``_max`` the largest. Both are 0 for the truth. `mu` in the units of the
    states (1 for normalised ones). Samples and orbits that are not finite don't count.
    """
    y = np.asarray(states, dtype=np.float64)
    y = y[_finite(y[:, 0])]
    finite = _finite(y)
    y = np.where(finite[..., None], y, y[:, :1])  # quiet; taken out again below
    specific_energy, h = energy(y, mu), angular_momentum(y)
    energy_0, h_0 = specific_energy[:, :1], np.linalg.norm(h[:, :1], axis=-1)
    drifts = {
        "energy_drift": np.abs(specific_energy - energy_0) / np.abs(energy_0),
        "angular_momentum_drift": np.linalg.norm(h - h[:, :1], axis=-1) / h_0,
    }
    figures = {}
    for name, drift in drifts.items():
        figures[name] = mean(drift[finite])
        figures[f"{name}_max"] = float(drift[finite].max()) if finite.any() else float("nan")
    return figures


def _angle(u: Array, v: Array) -> Array:
    """Angle in [0, π] between vectors (n, 3), exact near 0 and π where the arc cosine is not."""
    sine = np.linalg.norm(np.cross(u, v), axis=-1)
    result: Array = np.arctan2(sine, np.sum(u * v, axis=-1))
    return result


def _finite(vectors: Array) -> Mask:
    """Whether vectors (..., k) are finite in all parts."""
    result: Mask = np.logical_and.reduce(np.isfinite(vectors), axis=-1)
    return result


def _outward(a: Array, r: Array) -> Array:
    """1 where accelerations (n, 3) point away from the centre of positions (n, 3), else 0."""
    return np.where(np.sum(a * r, axis=-1) > 0, 1.0, 0.0)


def _logarithms(r: npt.ArrayLike, a: npt.ArrayLike) -> tuple[Array, Array]:
    """ln‖r‖ and ln‖a‖ (n,) where both are finite."""
    sizes = [np.linalg.norm(np.asarray(x, dtype=np.float64), axis=-1).ravel() for x in (r, a)]
    usable = np.logical_and.reduce([np.isfinite(size) & (size > 0) for size in sizes])
    return np.log(sizes[0][usable]), np.log(sizes[1][usable])


def _slope(x: Array, y: Array) -> float:
    if x.size < 2 or x.max() - x.min() < _ONE_RADIUS:
        return float("nan")
    offset = x - x.mean()
    return float(offset @ y / (offset @ offset))
