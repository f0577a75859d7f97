"""A trainer whose Config has a field of a reserved name, which no sweep file can give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Config:
    group: str = "x"
    seeds: int = 1
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Any]) -> None:
    """Nothing is ever trained by the tests of config."""
