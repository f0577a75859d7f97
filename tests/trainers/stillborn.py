"""A trainer whose workers die before its runs begin, as long as the host is sick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweeper.trainer import Run

preload = ("dies_at_import",)


@dataclass(frozen=True)
class Config:
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Run]) -> None:
    runs[0].log(0, loss=1.0)
