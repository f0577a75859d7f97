"""The trainer ``models.neural_ode``: neural ODEs that learn the two-body problem.

Importing it is cheap and imports no JAX; `train`, `evaluate` and `load` do when they are called.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.neural_ode.config import Config
from models.neural_ode.phases import problems

if TYPE_CHECKING:
    from models.neural_ode.trained import Trained
    from sweeper.trainer import Run

__all__ = [
    "Config",
    "check",
    "check_dataset",
    "evaluate",
    "headline",
    "load",
    "preload",
    "program_key",
    "train",
    "units",
]

headline = "tests/mean"
"""Mean percent error of the acceleration over all samples of all test sets."""

units = {
    "*mean": "%",
    "*median": "%",
    "*theta_deg": "°",
    "*_pct": "%",
    "percent": "%",
    "*_s": "s",
}

preload = ("jax", "jax.numpy", "equinox", "optax", "models.neural_ode.training")


def check(config: Config) -> list[str]:
    """Why valid values don't work together, as sentences; loads no data."""
    return problems(config)


def check_dataset(name: str) -> list[str]:
    """What is wrong with the name of a dataset to evaluate on; loads no data."""
    from models.two_body.names import name_problems

    return name_problems(name)


def program_key(config: Config) -> Hashable:
    """Equal for configs that share all compiled programs.

    Learning rates, weights of losses, tolerances, seeds, numbers of steps and windows make no
    difference, nor do training sets that fill the same batches.
    """
    from models.neural_ode.programs import key

    return key(config)


def train(configs: Sequence[Config], runs: Sequence[Run]) -> list[Mapping[str, float]]:
    """Train each config; see `models.neural_ode.training`."""
    from models.neural_ode.training import train_one

    return [train_one(config, run) for config, run in zip(configs, runs, strict=True)]


def evaluate(config: Config, folder: Path, datasets: Sequence[str]) -> dict[str, float]:
    """The figures of a trained run on other datasets, from its folder, without training."""
    from models.neural_ode.trained import evaluate_run

    return evaluate_run(config, folder, datasets)


def load(run_folder: str | Path, which: str = "best") -> Trained:
    """The trained model of a run: ``load("runs/my-group/runs/abc…").acceleration(states_km)``.

    `which` is ``best`` (lowest validation loss), ``final``, or ``phase_1``, ``phase_2``, … for the
    best of a phase. Raises ModelFileError, a ValueError that says why, if it can't be read.
    """
    from models.neural_ode.trained import load_run

    return load_run(Path(run_folder), which)
