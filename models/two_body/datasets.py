"""Datasets by name: made, or read from a file or a W&B artifact."""

from __future__ import annotations

import functools
from pathlib import Path

from models.two_body.artifacts import load_artifact
from models.two_body.dataset import Dataset
from models.two_body.files import read_file
from models.two_body.generate import make
from models.two_body.names import ARTIFACT_PREFIX, DatasetName, is_name, parse_name

__all__ = ["load"]


def load(name_or_path: str | Path, *, seed: int = 0, cache: Path | None = None) -> Dataset:
    """The dataset of that name, file (``.npz``, ``.parquet``) or W&B artifact.

    A name (see `models.two_body.names`) with a data `seed` >= 0 gives the same draws on every
    machine, its states equal to 1e-12. Files and artifacts don't depend on the seed. An artifact is
    written ``wandb:entity/project/name:version`` and is downloaded below `cache`, by default
    ``$XDG_CACHE_HOME/sweeper/datasets``.

    A made dataset is kept in this process only: 100 orbits take 12 ms to make, less than a file
    that would have to be locked, checked and deleted some day. Raises DatasetError.
    """
    text = str(name_or_path)
    if text.startswith(ARTIFACT_PREFIX):
        return load_artifact(text, cache=cache)
    if isinstance(name_or_path, Path) or not is_name(text):
        return read_file(Path(name_or_path))
    return _made(parse_name(text), seed)


@functools.lru_cache(maxsize=8)
def _made(name: DatasetName, seed: int) -> Dataset:
    return make(name, seed)
