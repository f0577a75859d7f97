"""Datasets in files: NumPy's ``.npz`` and, where pyarrow is installed, ``.parquet``.

A ``.npz`` file holds the arrays `t` (N, T), `y` (N, T, 6) and, if known, `elements` (N, 6), as in
`Dataset`. A ``.parquet`` file has one row per sample, in order of time within each orbit: the
columns ``orbit`` (any integer; orbits keep the order of their first rows), ``t``, ``x``, ``y``,
``z``, ``vx``, ``vy``, ``vz``, and, if known, ``a``, ``e``, ``i``, ``Omega``, ``omega``, ``nu0``.
Without elements, those of the first states are taken. Pickled objects are never read.
"""

from __future__ import annotations

import difflib
import importlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.two_body.dataset import Dataset
from models.two_body.errors import DatasetError

__all__ = ["read_file", "write_file"]

Array = npt.NDArray[np.float64]

_SAMPLE_COLUMNS = ("t", "x", "y", "z", "vx", "vy", "vz")
_ELEMENT_COLUMNS = ("a", "e", "i", "Omega", "omega", "nu0")
SUFFIXES = (".npz", ".parquet")
_ENDINGS = f"its name must end in one of {', '.join(SUFFIXES)}"


def read_file(path: Path) -> Dataset:
    """The dataset in a file, named after the file. Raises DatasetError."""
    read = {".npz": _read_npz, ".parquet": _read_parquet}.get(path.suffix)
    if read is None:
        raise DatasetError(f"dataset file {path}: {_ENDINGS}")
    if not path.is_file():
        raise DatasetError(f"dataset file {path}: there is no such file{_nearest_file(path)}")
    try:
        arrays = read(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"dataset file {path}: it can't be read: {error}") from error
    name = str(path)
    if "elements" in arrays:
        return Dataset(name, arrays["t"], arrays["y"], arrays["elements"])
    return Dataset.from_states(name, arrays["t"], arrays["y"])


def write_file(dataset: Dataset, path: Path) -> None:
    """Write `dataset` so that `read_file` gives it back. Raises DatasetError."""
    if path.suffix == ".npz":
        with path.open("wb") as file:
            np.savez(file, t=dataset.t, y=dataset.y, elements=dataset.elements)
    elif path.suffix == ".parquet":
        _write_parquet(dataset, path)
    else:
        raise DatasetError(f"dataset file {path}: {_ENDINGS}")


def _nearest_file(path: Path) -> str:
    folder = path.parent
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    names = [name for name in names if name.endswith(SUFFIXES)]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean `{folder / close[0]}`?" if close else ""


def _read_npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        missing = [key for key in ("t", "y") if key not in file.files]
        if missing:
            raise DatasetError(
                f"dataset file {path}: it lacks the array `{missing[0]}`; it has "
                f"{', '.join(f'`{key}`' for key in sorted(file.files)) or 'none'}"
            )
        kept = [key for key in ("t", "y", "elements") if key in file.files]
        arrays = {key: file[key] for key in kept}
    for key, array in arrays.items():
        if not (np.issubdtype(array.dtype, np.number) and np.isrealobj(array)):
            raise DatasetError(f"dataset file {path}: `{key}` holds no real numbers: {array.dtype}")
    return {key: np.asarray(array, dtype=np.float64) for key, array in arrays.items()}


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DatasetError(
            f"dataset file {path}: `pyarrow` isn't installed: pip install pyarrow, or use .npz"
        ) from error
    return pyarrow, parquet


def _read_parquet(path: Path) -> dict[str, Array]:
    pyarrow, parquet = _pyarrow(path)
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"dataset file {path}: it can't be read: {error}") from error
    missing = [key for key in ("orbit", *_SAMPLE_COLUMNS) if key not in table.column_names]
    if missing:
        raise DatasetError(
            f"dataset file {path}: it lacks the column `{missing[0]}`; it has "
            f"{', '.join(f'`{key}`' for key in table.column_names) or 'none'}"
        )

    def column(key: str) -> Array:
        return np.asarray(table.column(key).to_numpy(), dtype=np.float64)

    samples = np.stack([column(key) for key in _SAMPLE_COLUMNS], axis=-1)
    if not len(samples):
        raise DatasetError(f"dataset file {path}: it has no rows")
    _, first, orbit = np.unique(column("orbit"), return_index=True, return_inverse=True)
    orders = [np.flatnonzero(orbit == k) for k in np.argsort(first)]
    padded = np.full((len(orders), max(map(len, orders)), 7), np.nan)
    for row, order in zip(padded, orders, strict=True):
        row[: len(order)] = samples[order]
    arrays = {"t": padded[..., 0], "y": padded[..., 1:]}
    if all(key in table.column_names for key in _ELEMENT_COLUMNS):
        every = np.stack([column(key) for key in _ELEMENT_COLUMNS], axis=-1)
        arrays["elements"] = every[[order[0] for order in orders]]
    return arrays


def _write_parquet(dataset: Dataset, path: Path) -> None:
    pyarrow, parquet = _pyarrow(path)
    there = np.isfinite(dataset.y).all(axis=-1)
    samples = np.concatenate([dataset.t[..., None], dataset.y], axis=-1)[there]
    orbit = np.nonzero(there)[0]
    columns: dict[str, Any] = {"orbit": orbit}
    columns |= {key: samples[:, k] for k, key in enumerate(_SAMPLE_COLUMNS)}
    columns |= {key: dataset.elements[orbit, k] for k, key in enumerate(_ELEMENT_COLUMNS)}
    parquet.write_table(pyarrow.table(columns), path)
