"""Orbits sampled in time: what a dataset is, and what its arrays must satisfy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.two_body.errors import DatasetError
from models.two_body.orbits import elements_from_states

__all__ = ["Dataset"]

Array = npt.NDArray[np.float64]


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
        return f"orbit {at_centre[0][0]}: sample {at_centre[0][1]} is at the centre"
    return None
