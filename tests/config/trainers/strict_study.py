"""A trainer with required fields, two seeds and a rule between fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bounds:
    low: float = 0.0
    high: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"`low <= high` must hold, but got low={self.low}, high={self.high}")


@dataclass(frozen=True)
class Model:
    width: int
    depth: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Config:
    model: Model
    steps: int
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.steps == self.model.width:
            raise TypeError("steps and width are the same")


def train(configs: Sequence[Config], runs: Sequence[Any]) -> None:
    """Nothing is ever trained by the tests of config."""
