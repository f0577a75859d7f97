"""What the folders of groups take on disk: exactly, or from a sample where that would take long."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sweeper.records.layout import GroupFolder

__all__ = ["Size", "group_size", "size_of"]

_SAMPLED = 16


@dataclass(frozen=True)
class Size:
    """Bytes on disk; where not `exact`, most run folders are taken to be as large as a few."""

    size_bytes: int
    exact: bool


def size_of(path: Path) -> int:
    """Bytes of all files below a folder, or of a file; links count for themselves."""
    total, left = 0, [path]
    while left:
        place = left.pop()
        try:
            info = place.lstat()
            if stat.S_ISDIR(info.st_mode):
                left += [Path(entry.path) for entry in os.scandir(place)]
            else:
                total += info.st_size
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return total


def group_size(folder: GroupFolder, *, exact: bool = False) -> Size:
    """What a group takes.

    A group has tens of thousands of files, and a file system in a network answers thousands of
    questions a second. So unless `exact`, only the folders of 16 runs are measured: ids are hashes,
    hence the first ones in their order are a fair sample.
    """
    ids = folder.run_ids()
    if exact or len(ids) <= _SAMPLED:
        return Size(size_of(folder.path), exact=True)
    sampled = sum(size_of(folder.runs_folder / run_id) for run_id in ids[:_SAMPLED])
    try:
        rest = [entry for entry in os.scandir(folder.path) if entry.name != folder.runs_folder.name]
    except OSError:
        rest = []
    besides = sum(size_of(Path(entry.path)) for entry in rest)
    return Size(besides + sampled * len(ids) // _SAMPLED, exact=False)
