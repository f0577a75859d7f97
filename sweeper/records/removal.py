"""Groups and runs are removed or renamed: only whole, only one's own, never under a launch.

What is removed gets a hidden name first, in one step, and is deleted then. So no half of it is ever
taken for records, and what an interrupted deletion has left is deleted by the next one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweeper.errors import BusyError, RecordError
from sweeper.host.identity import Host, this_host
from sweeper.records.claims import Claim, claim
from sweeper.records.edit_writer import write_edits
from sweeper.records.events import Removed
from sweeper.records.layout import GroupFolder, sync_folder
from sweeper.records.queries import snapshot

__all__ = ["finish_removals", "held_still", "move_group", "remove_group", "remove_runs"]

_HIDDEN = ".removed-"


@contextlib.contextmanager
def held_still(
    folder: GroupFolder, here: Host | None = None, *, take_over: bool = False
) -> Iterator[Claim]:
    """The claim on a whole group while its files are changed, so that no launch can begin.

    Raises `BusyError` while a launch lives, or may live unless `take_over`, and `RecordError` for a
    folder that isn't this user's own.
    """
    _check_own(folder)
    here = here or this_host()
    with claim(folder, secrets.token_hex(4), here=here, take_over=take_over) as held:
        for launch in snapshot(folder, here, take_over=take_over).open_launches:
            raise BusyError(
                f"the group `{folder.group}` may be run by the launch on host {launch.host}, "
                f"process {launch.pid}. If you know that it is dead, add --take-over"
            )
        yield held


def _check_own(folder: GroupFolder) -> None:
    for path in (folder.path, folder.runs_folder):
        if path.is_symlink():
            raise RecordError(f"{path} is a link: remove or rename what it leads to yourself")
    if folder.path.stat().st_uid != os.geteuid():
        raise RecordError(f"{folder.path} belongs to another user")


def remove_group(folder: GroupFolder, here: Host | None = None, *, take_over: bool = False) -> None:
    """Delete a group with all its records. Raises `BusyError`, `RecordError`, OSError."""
    with held_still(folder, here, take_over=take_over):
        hidden = _hide(folder.path)
        sync_folder(folder.runs_dir)
    _delete(hidden)


def remove_runs(
    folder: GroupFolder,
    runs: Sequence[str],
    here: Host | None = None,
    *,
    take_over: bool = False,
) -> None:
    """Delete the folders of runs, and let the journal say so: the next launch trains them again.

    The journal comes first: should this be interrupted, a folder without a run is harmless, a
    finished run without its files is not. Raises `BusyError`, `RecordError`, OSError.
    """
    paths = [folder.run(run).path for run in runs]
    with held_still(folder, here, take_over=take_over):
        write_edits(folder, *(Removed(run=run) for run in runs))
        hidden = [_hide(path) for path in paths if os.path.lexists(path)]
    for path in hidden:
        _delete(path)


def move_group(folder: GroupFolder, new: GroupFolder, here: Host | None = None) -> None:
    """Give a group another name. Raises `BusyError`, OSError, `RecordError` if there is such one.

    The name must be one that a sweep file can give.
    """
    if os.path.lexists(new.path):
        raise RecordError(f"there is a group or file {new.path} already: choose another name")
    with held_still(folder, here) as held:
        folder.path.rename(new.path)
        held.follow(new)
        sync_folder(folder.runs_dir)


def finish_removals(*folders: Path) -> None:
    """Delete what interrupted removals have left right below these folders."""
    for folder in folders:
        try:
            left = [Path(it.path) for it in os.scandir(folder) if it.name.startswith(_HIDDEN)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for path in left:
            with contextlib.suppress(OSError):  # what can't be deleted must not block the rest
                if path.lstat().st_uid == os.geteuid():
                    _delete(path)


def _hide(path: Path) -> Path:
    """Rename a folder in one step, so that nothing finds it any more."""
    hidden = path.with_name(f"{_HIDDEN}{secrets.token_hex(6)}")
    path.rename(hidden)
    return hidden


def _delete(path: Path) -> None:
    """Delete a folder with all that is in it; a link goes, and what it leads to stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except FileNotFoundError:  # another command deletes it too
        if path.exists():
            raise
