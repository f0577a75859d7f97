"""Latent ODEs of orbits: trained on some observations, they interpolate and extrapolate.

A trainer for sweeps (``trainer: models.latent_ode``). Importing it, and checking configs, needs no
JAX. ``models.latent_ode.load(run_folder)`` gives a trained model back.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.latent_ode.config import Config, Data, Parameters, problems
from models.two_body.names import name_problems
from sweeper.trainer import Run

if TYPE_CHECKING:
    from models.latent_ode.storage import Trained

__all__ = [
    "Config",
    "Data",
    "Parameters",
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

headline = "validation/reconstruction_pct"
"""Mean percent error of held-out orbits where they were observed."""

units = {"*_pct": "%", "*elbo": "nat"}

preload = ("jax", "jax.numpy", "diffrax", "equinox", "optax")


def train(configs: Sequence[Config], runs: Sequence[Run]) -> list[Mapping[str, Any]]:
    """Train each config, reporting to its run."""
    from models.latent_ode.training import train_one

    return [train_one(config, run) for config, run in zip(configs, runs, strict=True)]


def check(config: Config) -> list[str]:
    """Why valid values don't work together, as sentences."""
    return problems(config)


def check_dataset(name: str) -> list[str]:
    """What is wrong with the name of a dataset to evaluate on; loads no data."""
    return name_problems(name)


def program_key(config: Config) -> Hashable:
    """Configs with equal keys share one compiled program.

    Rates, weights, noise, tolerances, seeds and what is observed are arguments of it.
    """
    data, p = config.data, config.parameters
    sizes = (p.latent_size, p.hidden_size, p.width, p.depth, p.activation)
    orbits = (data.dataset_name, p.num_trajs, p.train_val_split, p.batch_size)
    times = (data.stride, p.observed_window, p.target_window, p.max_steps)
    return (*sizes, *orbits, *times, config.device)


def evaluate(config: Config, folder: Path, datasets: Sequence[str]) -> dict[str, float]:
    """Figures of a trained run on the named datasets, as ``<dataset>/<figure>``."""
    from models import two_body
    from models.latent_ode.evaluation import figures, named
    from models.training.device import on

    result: dict[str, float] = {}
    with on(config.device):
        trained = load(folder)
        for name in datasets:
            dataset = two_body.load(name, seed=config.data.data_seed)
            result |= named(name, figures(trained, dataset))
    return result


def load(run_folder: Path | str) -> Trained:
    """The trained model of a run, with its config and its scales, from the run's folder.

    Raises ModelFileError, a ValueError that says why, if it can't be read.
    """
    from models.latent_ode.storage import load as load_trained

    return load_trained(run_folder)
