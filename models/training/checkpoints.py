"""Trained models in a file, in one format for all families: a line of JSON, then the arrays.

The line names the format, the family and the models in the file, and its `header` holds what the
family needs in order to build them again. After it come the arrays of each model, in the order of
the names and of the model's leaves, as NumPy writes them (.npy). Nothing in the file is ever
evaluated or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import jax
import numpy as np

__all__ = ["FILE", "ModelFileError", "is_array", "read", "write"]

FILE = "model.eqx"
_FORMAT = "sweeper model 1"
_MOST_HEADER_BYTES = 1 << 20

Header = TypeVar("Header")
Model = TypeVar("Model")


class ModelFileError(ValueError):
    """A model file that can't be used, with the reason and how to fix it."""


def write(path: Path, family: str, header: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    """Write models of one family by name; `header` is plain data of JSON's types.

    A model is any JAX tree; leaves that aren't arrays (functions) aren't written.
    """
    line = {"format": _FORMAT, "family": family, "names": list(models), "header": header}
    with path.open("wb") as file:
        file.write(json.dumps(line).encode() + b"\n")
        for model in models.values():
            for leaf in jax.tree.leaves(model):
                if is_array(leaf):
                    np.save(file, np.asarray(leaf), allow_pickle=False)


def read(
    path: Path,
    family: str,
    *,
    header_of: Callable[[Mapping[str, Any]], Header],
    blank_of: Callable[[Header], Model],
) -> tuple[Header, dict[str, Model]]:
    """The header of a file, and its models by name.

    `header_of` reads what `write` was given, raising KeyError, TypeError or ValueError where it is
    damaged. `blank_of` gives a model of the same structure, shapes and types (abstract arrays will
    do), raising KeyError for a name that it doesn't know. Raises ModelFileError where there is no
    file, where it is damaged, or where it is of another format or family; a ModelFileError of
    `header_of` is passed on.
    """
    try:
        with path.open("rb") as file:
            data = _line(path, family, file.readline(_MOST_HEADER_BYTES))
            header, names, blank = _read_header(path, data, header_of, blank_of)
            models = {name: _filled(path, file, blank) for name in names}
            if file.read(1):
                raise ModelFileError(f"{path} holds more than its header says: it is damaged")
    except FileNotFoundError:
        raise ModelFileError(
            f"{path} does not exist: only runs that finished or were stopped have a model"
        ) from None
    return header, models


def _line(path: Path, family: str, line: bytes) -> Mapping[str, Any]:
    """The JSON of a file of this format and family."""
    try:
        data: Any = json.loads(line)
        found = data["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path} is not a model file") from None
    if found != _FORMAT:
        raise ModelFileError(
            f"{path} has the format {found!r}, this version reads {_FORMAT!r}: train the run again"
        )
    if data.get("family") != family:
        raise ModelFileError(
            f"{path} is a model of the family {data.get('family')!r}, not {family!r}: "
            "load it with that family"
        )
    checked: Mapping[str, Any] = data
    return checked


def _read_header(
    path: Path,
    data: Mapping[str, Any],
    header_of: Callable[[Mapping[str, Any]], Header],
    blank_of: Callable[[Header], Model],
) -> tuple[Header, tuple[str, ...], Model]:
    try:
        names = tuple(str(name) for name in data["names"])
        header = header_of(data["header"])
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} has a damaged header: {error}") from error
    try:
        return header, names, blank_of(header)
    except KeyError as error:
        raise ModelFileError(
            f"{path} was trained with {error.args[0]!r}, which this version does not know"
        ) from None
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path} has a damaged header: {error}") from error


def _filled(path: Path, file: IO[bytes], blank: Model) -> Model:
    """The blank model with the next arrays of the file."""
    leaves, structure = jax.tree.flatten(blank)
    filled = [_next(path, file, leaf) if is_array(leaf) else leaf for leaf in leaves]
    model: Model = jax.tree.unflatten(structure, filled)
    return model


def _next(path: Path, file: IO[bytes], expected: Any) -> Any:
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ModelFileError(f"{path} ends too early or is damaged: {error}") from error
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise ModelFileError(
            f"{path} is damaged: an array has shape {array.shape} and type {array.dtype}, "
            f"expected {expected.shape} and {expected.dtype}"
        )
    return array


def is_array(leaf: Any) -> bool:
    """Whether a leaf of a tree is written to the file."""
    return isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
