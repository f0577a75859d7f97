"""A trainer whose config has dictionaries and lists of sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Gt, Len


@dataclass(frozen=True)
class Layer:
    width: int = 4
    act: str = "tanh"


@dataclass(frozen=True)
class Config:
    layers: list[Layer] = field(default_factory=list)
    weights: dict[str, Annotated[float, Gt(0)]] = field(default_factory=lambda: {"data": 1.0})
    maybe: dict[str, float] | None = None
    lists: dict[str, list[int]] = field(default_factory=dict)
    parts: dict[str, Layer] = field(default_factory=dict)
    nested: dict[str, dict[str, int]] = field(default_factory=dict)
    short: Annotated[dict[str, int], Len(1, 3)] = field(default_factory=lambda: {"a": 1})
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Any]) -> None:
    """Nothing is ever trained by the tests of config."""
