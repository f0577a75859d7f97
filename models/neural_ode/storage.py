"""The models of a run in a file, and the contents of its header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from models.neural_ode.config import Architecture
from models.neural_ode.model import NeuralODE
from models.training import checkpoints
from models.training.checkpoints import ModelFileError
from models.two_body import Units

__all__ = ["FAMILY", "Bundle", "Header", "read", "write"]

FAMILY = "neural_ode"


@dataclass(frozen=True)
class Header:
    """What a file says before its arrays.

    `best` is the name of the best of all models by validation loss. `rtol`, `atol`, `max_steps` are
    what the solver was trained with.
    """

    architecture: Architecture
    units: Units
    best: str
    rtol: float
    atol: float
    max_steps: int


@dataclass(frozen=True)
class Bundle:
    """The models of a run by name.

    ``final`` and one ``phase_N`` per phase, the best of that phase by validation loss.
    """

    header: Header
    models: Mapping[str, NeuralODE]

    def model(self, which: str) -> NeuralODE:
        """``final``, ``best`` or ``phase_N``. Raises ModelFileError for another name."""
        name = self.header.best if which == "best" else which
        if name not in self.models:
            raise ModelFileError(
                f"there is no model {which!r}: it has best, {', '.join(self.models)}"
            )
        return self.models[name]


def write(path: Path, bundle: Bundle) -> None:
    """Write the models of a run."""
    header = asdict(bundle.header) | {"units": bundle.header.units.plain()}
    checkpoints.write(path, FAMILY, header, bundle.models)


def read(path: Path, expected: Architecture | None = None) -> Bundle:
    """The models of a file.

    Raises ModelFileError where there is none, where it is damaged or of another format, and where
    it was trained with another architecture than `expected`.
    """

    def header_of(data: Mapping[str, Any]) -> Header:
        header = _header(data)
        if expected is not None:
            _compare(path, header.architecture, expected)
        return header

    header, models = checkpoints.read(path, FAMILY, header_of=header_of, blank_of=_blank)
    return Bundle(header, models)


def _blank(header: Header) -> NeuralODE:
    return NeuralODE(header.architecture, rng=np.random.default_rng(0))


def _header(data: Mapping[str, Any]) -> Header:
    return Header(
        architecture=_architecture(data["architecture"]),
        units=Units.from_plain(data["units"]),
        best=str(data["best"]),
        rtol=float(data["rtol"]),
        atol=float(data["atol"]),
        max_steps=int(data["max_steps"]),
    )


def _architecture(data: Mapping[str, Any]) -> Architecture:
    known = {field.name for field in fields(Architecture)}
    if set(data) != known:
        odd = ", ".join(sorted(set(data) ^ known))
        raise ValueError(f"its architecture and that of this version differ in the keys {odd}")
    return Architecture(**data)


def _compare(path: Path, found: Architecture, expected: Architecture) -> None:
    there, here = asdict(found), asdict(expected)
    differing = [
        f"{key} {there[key]!r} (config: {here[key]!r})" for key in here if there[key] != here[key]
    ]
    if differing:
        raise ModelFileError(
            f"{path} does not fit the config: it was trained with {', '.join(differing)}"
        )
