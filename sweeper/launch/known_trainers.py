"""Where trainers are looked for, and which of them this user has launched from where.

Records may come from somebody else, so what they say imports nothing. But what this user has
launched before may be imported again: it is noted below ``$XDG_STATE_HOME/sweeper/trainers`` (else
``~/.local/state/sweeper/trainers``), which nobody else can write, a small file for each group and
trainer. So launches that go on side by side never write the same file unless they mean the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeper.errors import SweeperError
from sweeper.host.ownership import others_may_write, write_refusal
from sweeper.host.paths import xdg_folder
from sweeper.records import write_atomically
from sweeper.records.layout import make_folder, read_json
from sweeper.trainer import DEFAULT_TRAINER, Trainer

__all__ = ["MOST_FOLDERS", "Remembered", "follow", "remember", "remembered", "search_folders"]

# A file has some 200 bytes; the oldest go when there are more.
MOST = 1000
# A launch looks in two; each place from which a user names the trainer later is one more.
MOST_FOLDERS = 4


def search_folders(file: Path) -> tuple[Path, ...]:
    """Where the trainer of a sweep file is looked for first: the current folder, then the file's.

    The latter not if anybody may write there, as in /tmp, where the user only keeps the file.
    """
    here, beside = Path.cwd(), file.absolute().parent
    try:
        is_open = bool(beside.stat().st_mode & stat.S_IWOTH)
    except OSError:
        is_open = True  # reading the file will say so
    return (here,) if is_open or beside == here else (here, beside)


@dataclass(frozen=True)
class Remembered:
    """The folders in which a trainer was looked for; `refusal` is why they aren't trusted now."""

    search: tuple[Path, ...]
    refusal: str | None = None


def remember(group: Path, trainer: Trainer, environ: Mapping[str, str]) -> None:
    """Note that this user has launched the group in that folder with this trainer.

    Where that isn't possible, nothing is noted: then later commands ask for the trainer's name.
    """
    if trainer.name != DEFAULT_TRAINER:
        _note(group, trainer.name, trainer.search, environ)


def follow(group: Path, new: Path, trainer: str, environ: Mapping[str, str]) -> None:
    """Note of a group that this user has renamed what is noted of its old folder, which is gone."""
    known = remembered(group, trainer, environ)
    if known is None or known.refusal is not None:
        return
    _note(new, trainer, known.search, environ)
    folder = _folder(environ)
    assert folder is not None  # it has just been read
    with contextlib.suppress(OSError):
        (folder / _file_name(os.path.realpath(group), trainer)).unlink()


def _note(group: Path, trainer: str, search: Sequence[Path], environ: Mapping[str, str]) -> None:
    with contextlib.suppress(OSError, SweeperError):
        folder = _folder(environ)
        if folder is None or write_refusal(folder):
            return
        real = os.path.realpath(group)
        places = [os.path.realpath(place) for place in search]
        note = {"group": real, "trainer": trainer, "search": places}
        file = make_folder(folder) / _file_name(real, trainer)
        write_atomically(file, json.dumps(note) + "\n", durable=False)
        _forget_oldest(folder)


def remembered(group: Path, trainer: str, environ: Mapping[str, str]) -> Remembered | None:
    """What was noted of a group's folder and the canonical name of a trainer; None for nothing.

    A note that can't be read, or that others could have written, is none.
    """
    try:
        folder = _folder(environ)
        real = os.path.realpath(group)
        file = folder / _file_name(real, trainer) if folder else None
        if folder is None or file is None or write_refusal(folder):
            return None
        info = file.lstat()
        if info.st_uid != os.getuid() or others_may_write(info):
            return None
        note = read_json(file) or {}
    except (OSError, SweeperError):
        return None
    search = note.get("search")
    if (note.get("group"), note.get("trainer")) != (real, trainer) or not isinstance(search, list):
        return None
    places = tuple(Path(place) for place in search if isinstance(place, str))
    if len(places) != len(search) or not all(place.is_absolute() for place in places):
        return None
    # Somebody else may have made a folder anew that this user has removed since.
    refusals = [refusal for place in places if (refusal := write_refusal(place))]
    return Remembered(places, refusals[0] if refusals else None)


def _folder(environ: Mapping[str, str]) -> Path | None:
    base = xdg_folder(environ, "XDG_STATE_HOME", ".local/state")
    return base / "sweeper" / "trainers" if base else None


def _file_name(group: str, trainer: str) -> str:
    digest = hashlib.sha256(os.fsencode(group) + b"\0" + trainer.encode("utf-8", "replace"))
    return f"{digest.hexdigest()[:32]}.json"


def _forget_oldest(folder: Path) -> None:
    files = list(folder.glob("*.json"))
    if len(files) > MOST:
        files.sort(key=lambda file: file.stat().st_mtime_ns)
        for file in files[: len(files) - MOST]:
            file.unlink(missing_ok=True)
