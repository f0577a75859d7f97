"""Who may look at records: their owner alone, or the owner's group where the group folder is open.

A workstation is shared, so everything is private by default. A group folder that is open to its
Unix group (`sweep launch --shared` makes it so) hands that on to all that is made below it, by
whichever command and whenever.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "PRIVATE_FOLDER",
    "SHARED_FOLDER",
    "closed_on_the_way",
    "file_mode",
    "folder_mode",
    "open_to_group",
    "readable_as",
    "umask_in",
]

PRIVATE_FOLDER, SHARED_FOLDER, PRIVATE_FILE = 0o700, 0o750, 0o600
_GROUP_FOLDER, _GROUP_FILE = 0o050, 0o040


def _is_open(folder: Path) -> bool:
    """Whether the folder's group may look into it; a folder that isn't there is private."""
    try:
        return bool(folder.stat().st_mode & stat.S_IXGRP)
    except OSError:
        return False


def folder_mode(parent: Path) -> int:
    """For a folder below `parent`, which is a folder of records."""
    return SHARED_FOLDER if _is_open(parent) else PRIVATE_FOLDER


def file_mode(file: Path) -> int:
    """For a file in a folder of records."""
    return PRIVATE_FILE | (_GROUP_FILE if _is_open(file.parent) else 0)


def umask_in(folder: Path) -> int:
    """The umask of a program that writes into a folder of records."""
    return 0o027 if _is_open(folder) else 0o077


def closed_on_the_way(folder: Path) -> Path | None:
    """The uppermost folder on the way to this one, itself included, that only its owner passes."""
    way = [*reversed(folder.absolute().parents), folder.absolute()]
    passable = stat.S_IXGRP | stat.S_IXOTH
    return next((it for it in way if it.exists() and not it.stat().st_mode & passable), None)


@contextlib.contextmanager
def readable_as(folder: Path) -> Iterator[None]:
    """While files are made in a folder of records by code that asks for no mode."""
    before = os.umask(umask_in(folder))
    try:
        yield
    finally:
        os.umask(before)


def open_to_group(folder: Path) -> None:
    """Let the folder's Unix group read it and all that is in it; links are left alone.

    Raises OSError for what belongs to somebody else.
    """
    _add(folder, _GROUP_FOLDER)
    for place, folders, files in os.walk(folder):
        for names, more in ((folders, _GROUP_FOLDER), (files, _GROUP_FILE)):
            for name in names:
                _add(Path(place, name), more)


def _add(path: Path, more: int) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode) and mode & more != more:
        path.chmod(stat.S_IMODE(mode) | more)
