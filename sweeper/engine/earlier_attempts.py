"""A clean folder for each attempt, without losing what the one before has left.

Of the earlier attempts two are kept, the last that finished and the last that didn't: the model,
and the log, stack and metrics of a crash, survive a retry, and ten retries don't keep ten models.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from sweeper.records.layout import RunFolder, make_folder
from sweeper.records.permissions import folder_mode

__all__ = ["clear", "set_aside"]


def set_aside(folder: RunFolder, attempt: int) -> None:
    """Move what the attempt before `attempt` has left to `attempts/<its number>/`, by renaming.

    The config and the checkpoint stay, as the run has but one, and so does the progress, whose
    number says whose files these are: if this is cut short, the next attempt goes on with it.
    Raises OSError or `RecordError`, with nothing lost.
    """
    own = (folder.config_file, folder.progress_file, folder.attempts, folder.checkpoints)
    stay = {path.name for path in own}
    names = sorted(entry.name for entry in os.scandir(folder.path) if entry.name not in stay)
    if not names:
        return
    if folder.attempts.is_symlink() or not folder.attempts.is_dir():
        folder.attempts.unlink(missing_ok=True)  # a training has put it there
    mode = folder_mode(folder.path)
    number = folder.begun_attempt
    # Records of early versions don't say the number.
    kept = RunFolder(folder.attempts / str(max(attempt - 1, 0) if number is None else number))
    make_folder(folder.attempts, mode)
    _keep_two(folder, kept, finished=folder.has_finished)
    make_folder(kept.path, mode)
    for name in names:
        _move(folder.path / name, kept.path / name)


def _keep_two(folder: RunFolder, new: RunFolder, *, finished: bool) -> None:
    """Make room for `new`: an earlier attempt that ended like it goes."""
    for other in folder.kept_attempts():
        if other != new and other.has_finished == finished:
            shutil.rmtree(other.path)


def _move(source: Path, target: Path) -> None:
    # Two launches that took each other for dead may both have had this number.
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif source.is_dir():
        target.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # a ghost's temporary file is gone already
        source.rename(target)


def clear(folder: RunFolder) -> None:
    """Delete what an earlier evaluation of the run has left. Raises OSError."""
    for file in (
        folder.metrics_file,
        folder.result_file,
        folder.progress_file,
        folder.stack_file,
        folder.log_file,
    ):
        file.unlink(missing_ok=True)
