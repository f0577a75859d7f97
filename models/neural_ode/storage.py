"""Saved models: one file per run with every model of it, the units, and what builds them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from models.neural_ode.config import Architecture
from models.neural_ode.model import NeuralODE
from models.two_body import Units

__all__ = ["FILE", "Bundle", "Header", "ModelFileError", "read", "write"]

FILE = "model.eqx"
_FORMAT = "sweeper neural ode 1"
_MOST_HEADER_BYTES = 1 << 20


class ModelFileError(ValueError):
    """A model file that can't be used, with the reason and the mend."""


@dataclass(frozen=True)
class Header:
    """What a file says before its arrays.

    `names` of the models in it: ``final`` and one ``phase_N`` per phase, the best of that phase by
    validation loss; `best` is the name of the best of all. `rtol`, `atol`, `max_steps` are what the
    solver was trained with.
    """

    architecture: Architecture
    units: Units
    names: tuple[str, ...]
    best: str
    rtol: float
    atol: float
    max_steps: int


@dataclass(frozen=True)
class Bundle:
    """The models of a run by name."""

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
    """Write a line of JSON, then the arrays of each model in the header's order (.npy format)."""
    header = {
        "format": _FORMAT,
        "architecture": asdict(bundle.header.architecture),
        "units": bundle.header.units.plain(),
        "names": list(bundle.header.names),
        "best": bundle.header.best,
        "rtol": bundle.header.rtol,
        "atol": bundle.header.atol,
        "max_steps": bundle.header.max_steps,
    }
    with path.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for name in bundle.header.names:
            for leaf in jax.tree.leaves(bundle.models[name]):
                np.save(file, np.asarray(leaf), allow_pickle=False)


def read(path: Path, expected: Architecture | None = None) -> Bundle:
    """The models of a file.

    Raises ModelFileError where there is none, where it is damaged or of another format, and where
    it was trained with another architecture than `expected`.
    """
    try:
        with path.open("rb") as file:
            header = _header(path, file.readline(_MOST_HEADER_BYTES))
            if expected is not None:
                _compare(path, header.architecture, expected)
            models = {name: _arrays(path, file, header.architecture) for name in header.names}
            if file.read(1):
                raise ModelFileError(f"{path} holds more than its header tells: it is damaged")
    except FileNotFoundError:
        raise ModelFileError(
            f"{path} does not exist: only runs that finished or were stopped have a model"
        ) from None
    return Bundle(header, models)


def _header(path: Path, line: bytes) -> Header:
    try:
        data: Any = json.loads(line)
        told = data["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path} is no model file of a neural ODE") from None
    if told != _FORMAT:
        raise ModelFileError(
            f"{path} has the format {told!r}, this version reads {_FORMAT!r}: train the run again"
        )
    try:
        return Header(
            architecture=_architecture(data["architecture"]),
            units=Units.from_plain(data["units"]),
            names=tuple(str(name) for name in data["names"]),
            best=str(data["best"]),
            rtol=float(data["rtol"]),
            atol=float(data["atol"]),
            max_steps=int(data["max_steps"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} has a damaged header: {error}") from error


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


def _arrays(path: Path, file: Any, architecture: Architecture) -> NeuralODE:
    try:
        blank = NeuralODE(architecture, rng=np.random.default_rng(0))
    except KeyError as error:
        raise ModelFileError(
            f"{path} was trained with {error.args[0]!r}, which this version does not know"
        ) from None
    leaves, structure = jax.tree.flatten(blank)
    read_leaves: list[npt.NDArray[Any]] = []
    for leaf in leaves:
        try:
            array = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ModelFileError(f"{path} ends too early or is damaged: {error}") from error
        if array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise ModelFileError(
                f"{path} is damaged: an array has shape {array.shape} and type {array.dtype}, "
                f"expected {leaf.shape} and {leaf.dtype}"
            )
        read_leaves.append(array)
    model: NeuralODE = jax.tree.unflatten(structure, read_leaves)
    return model
