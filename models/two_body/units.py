"""Non-dimensional units in which μ = 1 and the positions of a training set lie in [−1, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.two_body.constants import MU
from models.two_body.dataset import Dataset

__all__ = ["Units"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The length unit DU in km and the time unit TU in s of a model.

    They are stored with the model: other datasets are normalised with these, not with units of
    their own.
    """

    length_km: float
    time_s: float

    def __post_init__(self) -> None:
        for name in ("length_km", "time_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name} > 0` must hold, but got {name}={value}")

    @classmethod
    def of(cls, dataset: Dataset, mu: float = MU) -> Self:
        """DU = largest radius in `dataset` (the training set), TU = sqrt(DU³/μ), μ in km³/s²."""
        length_km = float(np.nanmax(np.linalg.norm(dataset.y[..., :3], axis=-1)))
        return cls(length_km, math.sqrt(length_km**3 / mu))

    @property
    def _state_scale(self) -> Array:
        speed = self.length_km / self.time_s
        return np.array([self.length_km] * 3 + [speed] * 3)

    def normalise_states(self, y: npt.ArrayLike) -> Array:
        """States (..., 6) in km and km/s, made non-dimensional."""
        return np.asarray(y, dtype=np.float64) / self._state_scale

    def denormalise_states(self, y: npt.ArrayLike) -> Array:
        """Non-dimensional states (..., 6) in km and km/s."""
        return np.asarray(y, dtype=np.float64) * self._state_scale

    def normalise_times(self, t: npt.ArrayLike) -> Array:
        """Times in s, made non-dimensional."""
        return np.asarray(t, dtype=np.float64) / self.time_s

    def denormalise_times(self, t: npt.ArrayLike) -> Array:
        """Non-dimensional times in s."""
        return np.asarray(t, dtype=np.float64) * self.time_s

    def normalise_accelerations(self, a: npt.ArrayLike) -> Array:
        """Accelerations (..., 3) in km/s², made non-dimensional."""
        return np.asarray(a, dtype=np.float64) * (self.time_s**2 / self.length_km)

    def denormalise_accelerations(self, a: npt.ArrayLike) -> Array:
        """Non-dimensional accelerations (..., 3) in km/s²."""
        return np.asarray(a, dtype=np.float64) * (self.length_km / self.time_s**2)

    def plain(self) -> dict[str, float]:
        """As a mapping for JSON."""
        return {"length_km": self.length_km, "time_s": self.time_s}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Back from `plain`. Raises ValueError if an entry is missing or no positive number."""
        try:
            return cls(float(data["length_km"]), float(data["time_s"]))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"units need the numbers `length_km` and `time_s`, but got {dict(data)!r}"
            ) from error
