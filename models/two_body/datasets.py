"""Datasets of orbits: made from a name, or read from a file or a W&B artifact."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.two_body.constants import (
    EARTH_RADIUS,
    GEOSTATIONARY_RADIUS,
    ORBIT_SAMPLES,
)
from models.two_body.errors import DatasetError
from models.two_body.names import ARTIFACT_PREFIX, DatasetName, is_name, parse_name
from models.two_body.orbits import at_mean_anomalies, elements_from_states, period

__all__ = ["LOWEST_ALTITUDE", "Dataset", "load", "make"]

Array = npt.NDArray[np.float64]

LOWEST_ALTITUDE = 200.0
"""Least height of a semi-major axis above the Earth's radius, km."""

# A change of how names become orbits must change this, so that no two meanings share a name.
_RECIPE = "two_body datasets 1"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Orbits sampled in time.

    `t` (N, T) in s and `y` (N, T, 6) in km and km/s end in NaN where an orbit has fewer than T
    samples. `elements` (N, 6) hold a in km, e, and i, Ω, ω, ν₀ in degrees at the first sample,
    NaN where undefined. The arrays are read-only. T is 360 for made datasets.
    """

    name: str
    t: Array
    y: Array
    elements: Array

    def __post_init__(self) -> None:
        problem = _problem(self.t, self.y, self.elements)
        if problem:
            raise DatasetError(f"dataset {self.name!r}: {problem}")
        for field in ("t", "y", "elements"):
            array = np.array(getattr(self, field), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, field, array)

    @classmethod
    def from_states(cls, name: str, t: npt.ArrayLike, y: npt.ArrayLike) -> Dataset:
        """A dataset of measured or integrated orbits, its elements those of the first states."""
        y = np.asarray(y, dtype=np.float64)
        if y.ndim != 3 or y.shape[-1] != 6 or 0 in y.shape:
            raise DatasetError(f"dataset {name!r}: {_shape_problem(y)}")
        try:
            elements = elements_from_states(y[:, 0])
        except ValueError as error:
            raise DatasetError(f"dataset {name!r}: the first state of an orbit: {error}") from error
        elements[:, 2:] = np.degrees(elements[:, 2:])
        return cls(name, np.asarray(t, dtype=np.float64), y, elements)

    def __len__(self) -> int:
        """Number of orbits."""
        return len(self.y)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Samples of each orbit (N,), without the padding."""
        counts: npt.NDArray[np.int64] = np.isfinite(self.y).all(axis=-1).sum(axis=-1)
        return counts

    def first(self, orbits: int) -> Dataset:
        """The first orbits only; all of them for −1 or when there are fewer."""
        if orbits < 0 or orbits >= len(self):
            return self
        return Dataset(self.name, self.t[:orbits], self.y[:orbits], self.elements[:orbits])


def load(name_or_path: str | Path, *, seed: int = 0, cache: Path | None = None) -> Dataset:
    """The dataset of that name, file (``.npz``, ``.parquet``) or W&B artifact.

    A name (see `models.two_body.names`) with a data `seed` >= 0 gives the same draws on every
    machine, its states equal to 1e-12. Files and artifacts don't depend on the seed. An artifact is
    written ``wandb:entity/project/name:version`` and is downloaded below `cache`, by default
    ``$XDG_CACHE_HOME/sweeper/datasets``.

    A made dataset is kept in this process only: 100 orbits take 12 ms to make, less than a file
    that would have to be locked, checked and deleted some day. Raises DatasetError.
    """
    text = str(name_or_path)
    if text.startswith(ARTIFACT_PREFIX):
        from models.two_body.artifacts import load_artifact

        return load_artifact(text, cache=cache)
    if isinstance(name_or_path, Path) or not is_name(text):
        from models.two_body.files import read_file

        return read_file(Path(name_or_path))
    return _made(parse_name(text), seed)


@functools.lru_cache(maxsize=8)
def _made(name: DatasetName, seed: int) -> Dataset:
    return make(name, seed)


def make(name: DatasetName, seed: int = 0) -> Dataset:
    """Draw the orbits that `name` describes and sample each at every degree of mean anomaly.

    The draws, each uniform: a in [6378.137 + 200, 42164] km; e in [0, min(0.99, 1 − R/a)] for
    `complex`, R the Earth's radius, so that no periapsis lies inside the Earth (this bounds e by
    0.849); e in [0, 0.1] for `simple`, whose lowest orbits may therefore dip below R; e = 0 for
    `circular`. In three dimensions cos i in [−1, 1], Ω and ω in [0, 360)°: no direction is
    preferred. Planar orbits have their periapsis on the +x axis. ν₀ in [0, 360)°, or 0.
    """
    uniform = _uniform(name, seed)
    a_low = EARTH_RADIUS + LOWEST_ALTITUDE
    a = a_low + (GEOSTATIONARY_RADIUS - a_low) * uniform[:, 0]
    if name.family == "complex":
        e = np.minimum(0.99, 1 - EARTH_RADIUS / a) * uniform[:, 1]
    elif name.family == "simple":
        e = 0.1 * uniform[:, 1]
    else:
        e = np.zeros_like(a)
    undefined = np.full_like(a, np.nan)
    i = np.zeros_like(a) if name.planar else np.degrees(np.arccos(1 - 2 * uniform[:, 2]))
    Omega = undefined if name.planar else 360 * uniform[:, 3]
    omega = undefined if name.planar or name.family == "circular" else 360 * uniform[:, 4]
    nu0 = np.zeros_like(a) if name.fixnu0 else 360 * uniform[:, 5]
    elements = np.stack([a, e, i, Omega, omega, nu0], axis=-1)

    fractions = np.arange(ORBIT_SAMPLES) / ORBIT_SAMPLES
    in_radians = np.concatenate([elements[:, :2], np.radians(elements[:, 2:])], axis=-1)
    y = at_mean_anomalies(in_radians, 2 * np.pi * fractions)
    return Dataset(str(name), period(a)[:, None] * fractions, y, elements)


def _uniform(name: DatasetName, seed: int) -> Array:
    """Numbers (N, 6), uniform in [0, 1), that depend on the name and the seed alone.

    Raw 64-bit words of PCG64 rather than `numpy.random.Generator`: NumPy promises the former's
    stream for all versions, and not the latter's.
    """
    if seed < 0:
        raise DatasetError(f"`data_seed >= 0` must hold, but got data_seed={seed}")
    digest = hashlib.sha256(f"{_RECIPE}\n{name}\n{seed}".encode()).digest()
    bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big")))
    words = bits.random_raw(6 * name.orbits)
    uniform: Array = (words >> np.uint64(11)).astype(np.float64).reshape(name.orbits, 6) * 2.0**-53
    return uniform


def _shape_problem(y: Array) -> str:
    return f"`y` must have the shape (orbits, samples, 6), but has {y.shape}"


def _problem(t: Array, y: Array, elements: Array) -> str | None:
    """What keeps the arrays from being a dataset, or None."""
    if y.ndim != 3 or y.shape[-1] != 6 or 0 in y.shape:
        return _shape_problem(y)
    if t.shape != y.shape[:2]:
        return f"`t` must have the shape {y.shape[:2]} of `y` without its last axis, not {t.shape}"
    if elements.shape != (len(y), 6):
        return f"`elements` must have the shape {(len(y), 6)}, but has {elements.shape}"
    there = np.isfinite(t) & np.isfinite(y).all(axis=-1)
    empty = np.flatnonzero(~there[:, :2].all(axis=-1))
    if empty.size:
        return f"orbit {empty[0]} has fewer than two samples at its start"
    gaps = np.argwhere(there[:, 1:] & ~there[:, :-1])
    if gaps.size:
        orbit, sample = gaps[0]
        return (
            f"orbit {orbit} lacks sample {sample} but has sample {sample + 1}: missing samples "
            f"may only be NaN padding at an orbit's end"
        )
    if np.isinf(t).any() or np.isinf(y).any():
        return "`t` and `y` must not hold infinities"
    steps = np.diff(t, axis=-1)
    falling = np.argwhere(there[:, 1:] & ~(steps > 0))
    if falling.size:
        orbit, sample = falling[0]
        before, after = t[orbit, sample], t[orbit, sample + 1]
        return f"orbit {orbit}: `t` must grow, but goes from {before} to {after}"
    at_centre = np.argwhere(there & ~(np.linalg.norm(y[..., :3], axis=-1) > 0))
    if at_centre.size:
        return f"orbit {at_centre[0][0]}: sample {at_centre[0][1]} lies at the centre"
    return None
