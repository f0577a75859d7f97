"""A trainer that got two fields after its first runs were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from sweeper.trainer import Formerly


@dataclass(frozen=True)
class Model:
    drop: Annotated[float | None, Formerly(None)] = None
    width: int = 64


@dataclass(frozen=True)
class Config:
    model: Model = field(default_factory=Model)
    others: tuple[Model, ...] = (Model(),)
    share: Annotated[float, Formerly(0.0)] = 0.0
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Any]) -> None:
    """Nothing is ever trained by the tests of config."""
