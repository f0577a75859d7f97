"""Learning rates within a phase, computed outside the compiled step, which takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.training.config import LrSchedule

__all__ = ["SCHEDULES", "learning_rates"]

Floats = npt.NDArray[np.float64]


def _constant(done: Floats, final: float) -> Floats:
    """1."""
    return np.ones_like(done)


def _cosine(done: Floats, final: float) -> Floats:
    """Half a cosine from 1 to `final` (Loshchilov and Hutter, arXiv:1608.03983)."""
    return final + (1 - final) * (1 + np.cos(np.pi * done)) / 2


def _exponential(done: Floats, final: float) -> Floats:
    """final^done: the same factor at each step, from 1 to `final`."""
    return np.asarray(final**done, np.float64)


SCHEDULES: Mapping[str, Callable[[Floats, float], Floats]] = MappingProxyType(
    {"constant": _constant, "cosine": _cosine, "exponential": _exponential}
)


def learning_rates(
    schedule: LrSchedule, lr: float, steps: int, final: float
) -> npt.NDArray[np.float32]:
    """The rate of each step of a phase (steps,): `lr` at the first, `lr · final` at the last."""
    done = np.linspace(0.0, 1.0, steps) if steps > 1 else np.zeros(1)
    return (lr * SCHEDULES[schedule](done, final)).astype(np.float32)
