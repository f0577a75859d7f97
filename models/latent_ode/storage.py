"""A trained latent ODE in a file, and the contents of its header."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.random as jr

from models.latent_ode.config import Config, config_from_plain
from models.latent_ode.model import LatentOde
from models.latent_ode.series import Scales
from models.training import checkpoints

__all__ = ["FAMILY", "Trained", "build", "load", "write"]

FAMILY = "latent_ode"
_NAME = "final"


@dataclass(frozen=True, eq=False)
class Trained:
    """A model with what it needs to be used: its config and its scales."""

    config: Config
    scales: Scales
    model: LatentOde


def build(config: Config) -> LatentOde:
    """The untrained model of a config, its weights drawn from the config's seed."""
    return LatentOde(config.parameters, key=jr.key(config.seed))


def write(trained: Trained, path: Path) -> None:
    """Write the model's file."""
    header = {
        "config": dataclasses.asdict(trained.config),
        "scales": trained.scales.plain(),
    }
    checkpoints.write(path, FAMILY, header, {_NAME: trained.model})


def load(run_folder: Path | str) -> Trained:
    """The trained model of a run, from its folder. Raises ModelFileError."""
    path = Path(run_folder) / checkpoints.FILE
    (config, scales), models = checkpoints.read(
        path,
        FAMILY,
        header_of=_header,
        blank_of=lambda header: eqx.filter_eval_shape(build, header[0]),
    )
    if _NAME not in models:
        raise checkpoints.ModelFileError(f"{path} has no model {_NAME!r}: it is damaged")
    return Trained(config, scales, models[_NAME])


def _header(data: Mapping[str, Any]) -> tuple[Config, Scales]:
    return config_from_plain(data["config"]), Scales.from_plain(data["scales"])
