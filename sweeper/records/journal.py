"""The journal: what has happened in a group, event by event, appended and never changed.

Each writer owns one file, so that launches on several hosts can share a folder without a database
and without locks; the state is the fold over all files (`sweeper.records.fold`). Each line is an
event as JSON: `v` (the version of the format), `event` (its kind), `writer`, `seq`, `time` and the
fields of its dataclass in `sweeper.records.events`, those left out that are unknown or empty:

- ``launched``: launch, host, pid, pid_start, boot, namespace, machine, job, shard, claim, cpus,
  slots, version, trainer, purpose, resources, total, sweep_sha, renamed, sources, again,
  to_train
- ``sources_changed``: sources, files, unchanged_until
- ``planned``: runs, fixed, headline, maximise, units, names
- ``wave_started``: wave, runs, slots
- ``started``: run, attempt, wave, slot
- ``ended``: run, attempt, outcome, cause, wave, of, last_step, wall_s, cpu_s, rss_peak_bytes,
  metrics, restored_step, restored_sources
- ``evaluation_started``: run, attempt, wave, slot
- ``evaluated``: run, attempt, outcome, cause, wave, last_step, wall_s, cpu_s, rss_peak_bytes,
  metrics
- ``held_back``: where, reason, released
- ``wave_ended``: wave, reason, processes_reaped, startup_s, training_s, shutdown_s,
  scratch_peak_bytes
- ``launch_ended``: launch, reason, message
- ``removed``: run
- ``noted``: run, text
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sweeper.errors import RecordError
from sweeper.records.event_codec import VERSION, decode, encode
from sweeper.records.events import Event, Recorded
from sweeper.records.json_fields import sequence_of
from sweeper.records.jsonl import append_bytes, naming, read_lines
from sweeper.records.layout import folder_name, make_folder, sync_folder
from sweeper.records.permissions import file_mode, folder_mode

__all__ = ["VERSION", "Journal", "JournalWriter", "journal_files", "read_events", "read_journal"]

_LATER_S = 1e-3


class JournalWriter:
    """Appends events to ``<journal dir>/<writer>.jsonl``.

    One process and one thread own a writer's name; two processes with the same name would break
    each other's repair of a torn tail. A file that is already there is continued. `after` is the
    time of the journal's last event, if the caller has read it; else it is read here.
    """

    def __init__(
        self,
        journal_dir: Path,
        writer: str,
        clock: Callable[[], float] = time.time,
        *,
        after: float | None = None,
    ) -> None:
        self.writer = writer
        self.path = (
            make_folder(journal_dir, folder_mode(journal_dir.parent))
            / f"{folder_name(writer)}.jsonl"
        )
        self._clock = clock
        own, _ = read_lines(self.path)
        # The fold orders by time, so time must never fall, even if the clock is set back: what this
        # writer appends comes after all that it could have read.
        if after is None:
            after = max((event.time for event in read_events(journal_dir)), default=0.0)
        self._floor = after + _LATER_S
        self._next = max(map(sequence_of, own), default=-1) + 1
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor: int | None = os.open(self.path, flags, file_mode(self.path))
        sync_folder(journal_dir)

    def check(self) -> None:
        """Raise `RecordError` once the file is no longer where it was: nobody would read it."""
        try:
            os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise RecordError(
                f"the journal {self.path} was moved or deleted while the launch used it: its runs "
                f"were ended. Put the folder back where it was, and launch again"
            ) from None
        except OSError:  # a share that is away for a moment
            return

    def append(self, *events: Event) -> None:
        """Append events in one write and one fsync; on return they outlive a power cut.

        All or nothing: when the disk is full this raises OSError, and the same events can be
        appended again later. Raises `RecordError` as `check` does.
        """
        if self._descriptor is None:
            raise RecordError(f"{self.path} has been closed: nothing can be appended any more")
        self.check()
        self._floor = max(self._clock(), self._floor)
        lines = [
            encode(Recorded(event, self.writer, seq, self._floor))
            for seq, event in enumerate(events, start=self._next)
        ]
        with naming(self.path):
            append_bytes(self._descriptor, lines, durable=True)
        self._next += len(lines)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Journal:
    """The events of a group in the order of their files, and how many lines hold none.

    Events that this version doesn't know are left out, and don't count as damage.
    """

    events: list[Recorded]
    damaged_lines: int


def journal_files(journal_dir: Path) -> list[Path]:
    """The files of a journal, sorted; a folder, pipe or dangling link of such a name is none."""
    return [path for path in sorted(journal_dir.glob("*.jsonl")) if path.is_file()]


def read_journal(journal_dir: Path) -> Journal:
    """Read every file of a journal. Torn lines and garbage are counted and skipped.

    Raises `RecordError` when a file may not be read.
    """
    events: list[Recorded] = []
    damaged = 0
    for path in journal_files(journal_dir):
        try:
            objects, skipped = read_lines(path)
        except OSError as error:
            raise RecordError(f"{path} can't be read: {error.strerror}") from error
        events.extend(event for item in objects if (event := decode(item)) is not None)
        damaged += skipped + sum(not isinstance(item.get("event"), str) for item in objects)
    return Journal(events, damaged)


def read_events(journal_dir: Path) -> list[Recorded]:
    """The events of every file of a journal; see `read_journal`."""
    return read_journal(journal_dir).events
