"""A trained latent ODE in one file: a line of JSON, then the arrays."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import equinox as eqx
import jax.random as jr

from models.latent_ode.config import Config, config_from_plain
from models.latent_ode.model import LatentOde
from models.latent_ode.series import Scales

__all__ = ["MODEL_FILE", "Trained", "build", "load", "write"]

MODEL_FILE = "model.eqx"
_FORMAT = "latent_ode 1"


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
        "format": _FORMAT,
        "config": dataclasses.asdict(trained.config),
        "scales": trained.scales.plain(),
    }
    with path.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        eqx.tree_serialise_leaves(file, trained.model)


def load(run_folder: Path | str) -> Trained:
    """The trained model of a run, from its folder.

    Raises FileNotFoundError when the run left none, ValueError when the file is none of this
    version's models.
    """
    path = Path(run_folder) / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no trained model: {path} isn't there; did the run finish?")
    with path.open("rb") as file:
        try:
            return _read(file)
        except (ValueError, KeyError, TypeError, RuntimeError, EOFError) as error:
            raise ValueError(
                f"{path} holds no latent ODE that this version reads: {error}"
            ) from error


def _read(file: IO[bytes]) -> Trained:
    header = json.loads(file.readline())
    if header["format"] != _FORMAT:
        raise ValueError(f"its format is {header['format']!r}, not {_FORMAT!r}")
    config = config_from_plain(header["config"])
    model = eqx.tree_deserialise_leaves(file, eqx.filter_eval_shape(build, config))
    return Trained(config, Scales.from_plain(header["scales"]), model)
