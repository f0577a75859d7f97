"""Datasets as the latent ODE sees them: scaled, thinned, and masked where not observed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.latent_ode.config import COMPONENTS, Config, Data
from models.training.draws import uniform
from models.two_body import Dataset, DatasetError

__all__ = ["Scales", "Series", "observe", "windows"]


@dataclass(frozen=True)
class Scales:
    """What the model divides by: the training states' root mean square radius and speed, and time.

    `time_s` is the median duration of the training orbits over 2π, so that a typical orbit turns
    once in 2π. They are stored with the model, and every dataset that it is
    used on is scaled with them.
    """

    length_km: float
    speed_km_s: float
    time_s: float

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The scales of a training set."""
        square = np.nanmean(dataset.y**2, axis=(0, 1))
        last = np.nanmax(dataset.t, axis=1)
        duration = np.median(last - dataset.t[:, 0])
        return cls(
            length_km=float(np.sqrt(square[:3].sum())),
            speed_km_s=float(np.sqrt(square[3:].sum())),
            time_s=float(duration / (2 * np.pi)),
        )

    @property
    def state(self) -> npt.NDArray[np.float64]:
        """The divisors of the six states."""
        return np.array([self.length_km] * 3 + [self.speed_km_s] * 3)

    def plain(self) -> dict[str, float]:
        """As a mapping for JSON."""
        return {
            "length_km": self.length_km,
            "speed_km_s": self.speed_km_s,
            "time_s": self.time_s,
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Back from `plain`."""
        return cls(*(float(data[key]) for key in ("length_km", "speed_km_s", "time_s")))


@dataclass(frozen=True, eq=False)
class Series:
    """N series of n times, scaled, in float32.

    `t` (N, n) starts at 0 and repeats its last time over the padding; `y` (N, n, 6) is 0 there;
    `real` (N, n) marks what is not padding and `mask` (N, n, 6) what is observed.
    """

    t: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    real: npt.NDArray[np.bool_]
    mask: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.t)

    def take(self, orbits: slice | npt.NDArray[np.int64]) -> Series:
        """Some of the series."""
        return Series(self.t[orbits], self.y[orbits], self.real[orbits], self.mask[orbits])


def observe(dataset: Dataset, data: Data, scales: Scales) -> Series:
    """`dataset` thinned by the stride, scaled, and observed as `data` says.

    Which samples are observed depends on the dataset's name and the data seed alone, as do the
    orbits. Raises DatasetError when an orbit keeps fewer than two samples.
    """
    t, y = dataset.t[:, :: data.stride], dataset.y[:, :: data.stride]
    real: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(y), axis=-1)
    short = np.flatnonzero(real.sum(axis=-1) < 2)
    if short.size:
        raise DatasetError(
            f"dataset {dataset.name!r}: with a `stride` of {data.stride} orbit {short[0]} has "
            f"fewer than two samples"
        )
    last = np.take_along_axis(t, real.sum(axis=-1, keepdims=True) - 1, axis=1)
    t = (np.where(real, t, last) - t[:, :1]) / scales.time_s
    y = np.where(real[..., None], y, 0.0) / scales.state
    components = np.array([name in data.observed_components for name in COMPONENTS])
    observed = _observed(dataset.name, data, real.shape) & real
    return Series(
        t=t.astype(np.float32),
        y=y.astype(np.float32),
        real=real,
        mask=observed[..., None] & components,
    )


def _observed(name: str, data: Data, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which samples (N, n) are observed: the same share of any run of samples, as near as may be.

    Evenly spaced, the first included; or each by chance.
    """
    orbits, samples = shape
    if not data.irregular:
        steps = np.floor((np.arange(samples) + 1e-9) * data.observed_fraction)
        even = np.diff(steps, prepend=-1.0) > 0
        return np.broadcast_to(even, shape)
    drawn = uniform(f"latent_ode observations\n{name}\n{data.data_seed}", orbits * samples)
    # By rank within each orbit, so that each has the same number of observations.
    rank = np.argsort(np.argsort(drawn.reshape(shape), axis=-1), axis=-1)
    return rank < max(2, round(data.observed_fraction * samples))


def windows(config: Config, samples: int) -> tuple[int, int]:
    """How many of `samples` times the encoder sees, and how many the objective asks for."""
    parameters = config.parameters
    return (
        math.ceil(parameters.observed_window * samples),
        math.ceil(parameters.target_window * samples),
    )
