"""A neural ODE so small that it trains in a moment, and what one such training left."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from models.neural_ode import Config, train
from models.neural_ode.config import Data, Parameters
from sweeper.engine.run_context import RunContext
from sweeper.records.layout import RunFolder

# Every training of these tests that doesn't ask for something else has the shape of this one, so
# that all of them share two compiled programs.
TINY = Config(
    data=Data(
        dataset_name="simple_TBP_planar_2_train",
        test_datasets=("simple_TBP_planar_1_test", "simple_TBP_planar_2_test"),
    ),
    parameters=Parameters(
        width=8,
        depth=1,
        activation="tanh",
        batch_size=16,
        segment_length_strategy=(12,),
        steps_strategy=(40,),
        lr_strategy=(1e-2,),
        validation_every=10,
        rtol=1e-4,
        atol=1e-6,
        max_steps=64,
    ),
    device="cpu",
)


def tiny(seed: int = 0, data: Mapping[str, Any] | None = None, **parameters: Any) -> Config:
    """The tiny config with some parameters changed."""
    return dataclasses.replace(
        TINY,
        seed=seed,
        data=dataclasses.replace(TINY.data, **(data or {})),
        parameters=dataclasses.replace(TINY.parameters, **parameters),
    )


class Tiny(Protocol):
    """`tiny`, as tests get it."""

    def __call__(
        self, seed: int = 0, data: Mapping[str, Any] | None = None, **parameters: Any
    ) -> Config: ...


class Trains(Protocol):
    """Trains a config in a fresh folder."""

    def __call__(self, config: Config, stop: Path | None = None) -> Done: ...


@dataclasses.dataclass
class Done:
    """A training that has run: its folder, result, rows of metrics, printed text."""

    config: Config
    folder: Path
    result: dict[str, float]
    stop: Path | None = None

    @property
    def rows(self) -> list[dict[str, float]]:
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def training_rows(self) -> list[dict[str, float]]:
        """Rows of optimiser steps, without the clock."""
        return [{k: v for k, v in r.items() if k != "time"} for r in self.rows if "loss" in r]

    @property
    def validation_rows(self) -> list[dict[str, float]]:
        return [row for row in self.rows if "val_loss" in row]


def run_training(config: Config, folder: Path, stop: Path | None = None) -> Done:
    record = RunFolder(folder)
    record.make()
    run = RunContext("abcdefghij", record, stop or folder / "no-stop-flag")
    try:
        [result] = train([config], [run])
    finally:
        run.flush()
    return Done(config, folder, dict(result))
