"""Shapes are checked while these tests run; and one small training that many tests look at."""

import dataclasses
import json
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

from sweeper.engine.run_context import RunContext
from sweeper.records.layout import RunFolder

install_import_hook(
    [
        f"models.neural_ode.{name}"
        for name in ("activations", "features", "harmonics", "heads", "losses", "model", "vectors")
    ],
    "beartype.beartype",
)

from models.neural_ode import Config, train  # noqa: E402
from models.neural_ode.config import Data, Parameters  # noqa: E402

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


def tiny(seed=0, data=None, **parameters):
    """The tiny config with some parameters changed."""
    return dataclasses.replace(
        TINY,
        seed=seed,
        data=dataclasses.replace(TINY.data, **(data or {})),
        parameters=dataclasses.replace(TINY.parameters, **parameters),
    )


@dataclasses.dataclass
class Done:
    """A training that has run: its folder, result, rows of metrics, printed text."""

    config: Config
    folder: Path
    result: dict
    stop: Path | None = None

    @property
    def rows(self):
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def training_rows(self):
        """Rows of optimiser steps, without the clock."""
        return [{k: v for k, v in r.items() if k != "time"} for r in self.rows if "loss" in r]

    @property
    def validation_rows(self):
        return [row for row in self.rows if "val_loss" in row]


def run_training(config, folder, stop=None):
    record = RunFolder(folder)
    record.make()
    run = RunContext("abcdefghij", record, stop or folder / "no-stop-flag")
    try:
        [result] = train([config], [run])
    finally:
        run.flush()
    return Done(config, folder, dict(result))


@pytest.fixture(scope="session")
def tiny_config():
    return tiny


@pytest.fixture
def trained(tmp_path):
    """Trains a config in a fresh folder."""
    count = iter(range(100))

    def go(config, stop=None):
        return run_training(config, tmp_path / f"run{next(count)}", stop)

    return go


@pytest.fixture
def quickly_compiled():
    """XLA leaves most optimisations out: for programs that no other test shares."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The tiny config, trained once."""
    return run_training(TINY, tmp_path_factory.mktemp("tiny") / "run")
