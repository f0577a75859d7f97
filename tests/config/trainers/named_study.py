"""A trainer whose Config has a `name` of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Config:
    name: str = "x"
    width: int = 1


def train(configs: Sequence[Config], runs: Sequence[Any]) -> None:
    """Nothing is ever trained by the tests of config."""
