"""Checkpoints within a run: written whole or not at all, and which of them an attempt goes on from.

    <run folder>/.checkpoint/<number>/
        about.json      step, attempt, code, metrics so far
        metrics.jsonl   the rows that were logged up to it (a hard link where there are such)
        files/          what the training wrote

The highest number counts. The one before it is deleted once the new one is complete, and the last
once the run has a settled outcome.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.records import json_fields as read
from sweeper.records.events import Ended, Event
from sweeper.records.jsonl import finite, naming, sync
from sweeper.records.layout import GroupFolder, RunFolder, make_folder, read_json, sync_folder
from sweeper.records.outcomes import SETTLED, CauseKind, Outcome
from sweeper.records.permissions import folder_mode

__all__ = ["Checkpoint", "delete", "delete_settled", "last_of", "usable", "write"]

_VERSION = 1
_ABOUT, _ROWS, _FILES = "about.json", "metrics.jsonl", "files"
# What a training does by itself: another attempt from the same step would end the same way.
_OWN_CRASHES = (CauseKind.EXCEPTION, CauseKind.EXIT)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint. `seconds` is for how long the run had trained, over all attempts.

    `metrics` has the last value of each metric, `first_step` and `last_step` are those of the rows
    before it (None where nothing was logged), `rows_bytes` is the length of these rows in the file.
    `sources` are the digests of the code that trained up to it.
    """

    place: Path
    attempt: int
    step: int
    seconds: float = 0.0
    metrics: Mapping[str, float] | None = None
    first_step: int | None = None
    last_step: int | None = None
    rows_bytes: int = 0
    sources: tuple[str, ...] = ()

    @property
    def files(self) -> Path:
        """The folder that the training has filled."""
        return self.place / _FILES

    def copy_rows(self, target: Path) -> None:
        """Make `target` the rows up to the checkpoint. Raises OSError."""
        rows = self.place / _ROWS
        if not rows.exists():  # nothing was logged
            target.unlink(missing_ok=True)
            return
        with naming(target):
            shutil.copyfile(rows, target)
            # The attempt that wrote it may have gone on with the same file.
            os.truncate(target, min(self.rows_bytes, target.stat().st_size))

    def words(self, sources: str | None) -> str:
        """That a run goes on from here, with code of today's digest `sources`."""
        said = f"goes on from the checkpoint of attempt {self.attempt} at step {self.step}"
        if sources is None or not self.sources or self.sources == (sources,):
            return said
        return f"{said}; the trainer's sources have changed since it was trained to there"


def write(
    folder: RunFolder,
    about: Checkpoint,
    writer: Callable[[Path], object],
    check: Callable[[], None],
) -> None:
    """Write a checkpoint whole or not at all; the one before it goes once it is there.

    `about` says of it what is known, its place aside; the rows are those in the metrics file.
    `check` is called right before it counts. Raises OSError and what `writer` raises, and then the
    last checkpoint stays.
    """
    place = make_folder(folder.checkpoints, folder_mode(folder.path))
    new = place / f".{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with naming(new):
            make_folder(new / _FILES, folder_mode(folder.path))
            writer(new / _FILES)
            _link(folder.metrics_file, new / _ROWS)
            (new / _ABOUT).write_text(json.dumps(_plain(about, folder)) + "\n")
            _sync_all(new)
        check()
        number = max(_numbers(place), default=0) + 1
        new.rename(place / str(number))
        sync_folder(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    for older in _numbers(place):
        if older < number:
            shutil.rmtree(place / str(older), ignore_errors=True)


def _plain(about: Checkpoint, folder: RunFolder) -> dict[str, Any]:
    rows = folder.metrics_file
    plain: dict[str, Any] = finite(
        {
            "version": _VERSION,
            "run": folder.id,
            "attempt": about.attempt,
            "step": about.step,
            "seconds": about.seconds,
            "metrics": about.metrics or {},
            "first_step": about.first_step,
            "last_step": about.last_step,
            "rows_bytes": rows.stat().st_size if rows.exists() else 0,
            "sources": about.sources,
        }
    )
    return plain


def _link(source: Path, target: Path) -> None:
    """A second name of a file, or a copy where the file system has no such names."""
    if not source.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sync_all(folder: Path) -> None:
    """Make every file and folder below it durable."""
    for place, _, names in os.walk(folder):
        for name in names:
            with Path(place, name).open("rb") as file:
                sync(file.fileno())
        sync_folder(Path(place))


def _numbers(place: Path) -> list[int]:
    try:
        names = [entry.name for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(name) for name in names if name.isascii() and name.isdecimal()]


def last_of(folder: RunFolder) -> Checkpoint | None:
    """The last complete checkpoint of a run; None without one that this version can read."""
    for number in sorted(_numbers(folder.checkpoints), reverse=True):
        found = _read(folder, folder.checkpoints / str(number))
        if found is not None:
            return found
    return None


def _read(folder: RunFolder, place: Path) -> Checkpoint | None:
    about = read_json(place / _ABOUT) or {}
    attempt, step = read.integer(about, "attempt"), read.integer(about, "step")
    if about.get("version") != _VERSION or about.get("run") != folder.id:
        return None
    if attempt is None or step is None or not (place / _FILES).is_dir():
        return None
    sources = about.get("sources")
    return Checkpoint(
        place=place,
        attempt=attempt,
        step=step,
        seconds=read.real(about, "seconds") or 0.0,
        metrics=read.metrics(about),
        first_step=read.integer(about, "first_step"),
        last_step=read.integer(about, "last_step"),
        rows_bytes=read.integer(about, "rows_bytes") or 0,
        sources=tuple(it for it in sources if isinstance(it, str))
        if isinstance(sources, list)
        else (),
    )


def usable(folder: RunFolder, *, since: int) -> Checkpoint | None:
    """The checkpoint that the next attempt may go on from; any other is deleted.

    It must have been written by attempt `since` or a later one. After a crash of the run's own the
    next attempt goes on too, as the code may be corrected by then; but not if that attempt had gone
    on from the same checkpoint and came no further: then what it holds may be what is wrong.

    Call it before the files of the last attempt are set aside. Raises OSError.
    """
    found = last_of(folder)
    if found is None or found.attempt < since or _has_failed(folder, found):
        delete(folder)
        return None
    return found


def _has_failed(folder: RunFolder, found: Checkpoint) -> bool:
    """Whether the last attempt went on from this checkpoint, crashed, and wrote no later one."""
    result = read_json(folder.result_file) or {}
    cause = read.cause(result)
    return (
        read.outcome(result) is Outcome.CRASHED
        and cause is not None
        and cause.kind in _OWN_CRASHES
        and read.integer(result, "restored_step") == found.step
        and read.integer(result, "attempt") != found.attempt
    )


def delete(folder: RunFolder) -> None:
    """Delete the checkpoints of a run. Raises OSError."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder.checkpoints)


def delete_settled(group: GroupFolder, events: Iterable[Event] | Sequence[Event]) -> None:
    """Delete the checkpoints of the runs whose settled outcome is among these events.

    Call it once the events are on disk: until then another attempt may need them.
    """
    for event in events:
        if isinstance(event, Ended) and event.outcome in SETTLED:
            with suppress(OSError, RecordError):  # they are in nobody's way
                delete(group.run(event.run))
