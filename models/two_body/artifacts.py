"""Datasets in W&B artifacts: downloaded once, then read like any file."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from models.two_body.dataset import Dataset
from models.two_body.errors import DatasetError
from models.two_body.files import SUFFIXES, read_file

__all__ = ["load_artifact"]

_REFERENCE = re.compile(
    r"wandb:(?P<entity>[\w.-]+)/(?P<project>[\w.-]+)/(?P<name>[\w.-]+):(?P<version>[\w.-]+)"
)


def load_artifact(reference: str, *, cache: Path | None = None) -> Dataset:
    """The dataset in the artifact ``wandb:entity/project/name:version``.

    The artifact must hold one ``.npz`` or ``.parquet`` file. A numbered version (``v3``) never
    changes, so once it is below `cache` it needs no network and no login; an alias (``latest``)
    is looked up each time. Raises DatasetError.
    """
    match = _REFERENCE.fullmatch(reference)
    if not match or any(part.strip(".") == "" for part in match.groups()):
        raise DatasetError(
            f"dataset {reference!r}: an artifact is written `wandb:entity/project/name:version`"
        )
    folder = (cache or _default_cache()).joinpath("wandb", *match.groups())
    numbered = re.fullmatch(r"v\d+", match["version"]) is not None
    if not (numbered and folder.is_dir()):
        _download(reference, folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise DatasetError(
            f"dataset {reference!r}: the artifact must hold one .npz or .parquet file, "
            f"but it holds {found}"
        )
    return read_file(files[0])


def _default_cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(base, "sweeper", "datasets")


def _download(reference: str, folder: Path) -> None:
    """Fetch the artifact into `folder`, whole or not at all."""
    try:
        import wandb
    except ImportError as error:
        raise DatasetError(
            f"dataset {reference!r}: `wandb` isn't installed: pip install 'sweeper[wandb]'"
        ) from error
    if not wandb.login(prompt=False, verify=False):
        raise DatasetError(
            f"dataset {reference!r}: not logged in to W&B on this machine; run `wandb login` "
            f"where there is a network, or save the dataset as a .npz file and name that"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    try:
        # W&B raises a dozen unrelated classes here; each means that the artifact isn't available.
        try:
            wandb.Api().artifact(reference.removeprefix("wandb:")).download(root=str(part))
        except Exception as error:
            raise DatasetError(f"dataset {reference!r}: can't get it from W&B: {error}") from error
        shutil.rmtree(folder, ignore_errors=True)
        try:
            part.replace(folder)
        except OSError:
            # Another process has put the same artifact there: use its copy.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
