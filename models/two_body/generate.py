"""Datasets made from their names: random orbits, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.training.draws import uniform
from models.two_body.constants import (
    EARTH_RADIUS,
    GEOSTATIONARY_RADIUS,
    ORBIT_SAMPLES,
)
from models.two_body.dataset import Dataset
from models.two_body.errors import DatasetError
from models.two_body.names import DatasetName
from models.two_body.orbits import at_mean_anomalies, period

__all__ = ["LOWEST_ALTITUDE", "make"]

Array = npt.NDArray[np.float64]

LOWEST_ALTITUDE = 200.0
"""Least height of a semi-major axis above the Earth's radius, km."""

# A change of how names become orbits must change this, so that no two meanings share a name.
_RECIPE = "two_body datasets 1"


def make(name: DatasetName, seed: int = 0) -> Dataset:
    """Draw the orbits that `name` describes and sample each at every degree of mean anomaly.

    The draws, each uniform: a in [6378.137 + 200, 42164] km; e in [0, min(0.99, 1 − R/a)] for
    `complex`, R the Earth's radius, so that no periapsis lies inside the Earth (this bounds e by
    0.849); e in [0, 0.1] for `simple`, whose lowest orbits may therefore dip below R; e = 0 for
    `circular`. In three dimensions cos i in [−1, 1], Ω and ω in [0, 360)°: no direction is
    preferred. Planar orbits have their periapsis on the +x axis. ν₀ in [0, 360)°, or 0.
    """
    drawn = _uniform(name, seed)
    a_low = EARTH_RADIUS + LOWEST_ALTITUDE
    a = a_low + (GEOSTATIONARY_RADIUS - a_low) * drawn[:, 0]
    if name.family == "complex":
        e = np.minimum(0.99, 1 - EARTH_RADIUS / a) * drawn[:, 1]
    elif name.family == "simple":
        e = 0.1 * drawn[:, 1]
    else:
        e = np.zeros_like(a)
    undefined = np.full_like(a, np.nan)
    i = np.zeros_like(a) if name.planar else np.degrees(np.arccos(1 - 2 * drawn[:, 2]))
    Omega = undefined if name.planar else 360 * drawn[:, 3]
    omega = undefined if name.planar or name.family == "circular" else 360 * drawn[:, 4]
    nu0 = np.zeros_like(a) if name.fixnu0 else 360 * drawn[:, 5]
    elements = np.stack([a, e, i, Omega, omega, nu0], axis=-1)

    fractions = np.arange(ORBIT_SAMPLES) / ORBIT_SAMPLES
    in_radians = np.concatenate([elements[:, :2], np.radians(elements[:, 2:])], axis=-1)
    y = at_mean_anomalies(in_radians, 2 * np.pi * fractions)
    return Dataset(str(name), period(a)[:, None] * fractions, y, elements)


def _uniform(name: DatasetName, seed: int) -> Array:
    """Numbers (N, 6), uniform in [0, 1), that depend on the name and the seed alone."""
    if seed < 0:
        raise DatasetError(f"`data_seed >= 0` must hold, but got data_seed={seed}")
    return uniform(f"{_RECIPE}\n{name}\n{seed}", 6 * name.orbits).reshape(name.orbits, 6)
