"""A trainer that does nothing, so that only the overhead is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rivals.first import note_first_run
from sweeper.trainer import Run


@dataclass(frozen=True)
class Config:
    seed: int = 0


def program_key(_config: Config) -> str:
    """All runs share one program, as those of a real sweep mostly do."""
    return "noop"


def train(configs: Sequence[Config], _runs: Sequence[Run]) -> list[dict[str, float]]:
    """Returns a metric per run, nothing more."""
    note_first_run()
    return [{"loss": 1.0 / (1 + config.seed)} for config in configs]
