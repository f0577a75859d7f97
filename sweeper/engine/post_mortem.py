"""What an attempt leaves on disk, read back into records."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.engine.failures import DeathTraces, cause_of_death
from sweeper.engine.policy import Running
from sweeper.engine.status_table import Row
from sweeper.host.cgroups import oom_kills
from sweeper.openers import plain_file
from sweeper.records import events as read
from sweeper.records.jsonl import finite
from sweeper.records.layout import RunFolder, read_json, write_atomically
from sweeper.records.metrics import last_values
from sweeper.records.outcomes import Cause, CauseKind, Outcome

if TYPE_CHECKING:
    from sweeper.engine.wave_process import WaveHandle

__all__ = [
    "death_of_wave",
    "died_record",
    "finished_record",
    "own_result",
    "record_of_death",
    "write_result",
]

_STACK_LIMIT = 20_000
_JOURNALLED = (
    "attempt",
    "outcome",
    "cause",
    "last_step",
    "wall_s",
    "metrics",
    "rss_peak_bytes",
    "cpu_s",
)


def _death_traces(
    noted: Row, stack: str, running: Running, killed_for: Cause | None, detail: str
) -> DeathTraces:
    """Collect what a vanished worker has left."""
    return DeathTraces(
        started=noted.pid is not None,
        stack=stack,
        exit_code=noted.exit_code,
        killed_for=killed_for,
        oom_kills=oom_kills() - running.oom_kills,
        detail=detail,
    )


def _take_stack(written: Path, kept: Path) -> str:
    """Keep a stack with its run if there is one; returns its head."""
    with contextlib.suppress(OSError):
        if written.stat().st_size:
            write_atomically(kept, written.read_bytes(), durable=False)
    return _head(kept)


def _head(file: Path) -> str:
    try:
        with open(file, errors="replace", opener=plain_file) as text:
            return text.read(_STACK_LIMIT)
    except OSError:
        return ""


def own_result(folder: RunFolder, run: str, attempt: int) -> dict[str, Any] | None:
    """The record that this attempt wrote as its last act, or None.

    A training may have saved a file of that name, so nothing in it is taken on trust.
    """
    record = read_json(folder.result_file)
    if record is None or (record.get("id"), record.get("attempt")) != (run, attempt):
        return None
    try:
        Outcome(record["outcome"])
        if record.get("cause") is not None:
            Cause.from_plain(record["cause"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return record


def record_of_death(
    wave: WaveHandle,
    running: Running,
    folder: RunFolder,
    killed_for: Cause | None,
    detail: str,
    *,
    lost: bool,
) -> tuple[dict[str, Any], bool]:
    """The record of an attempt whose process or (`lost`) whole wave is gone.

    If the attempt had written its own, that one (and True); else one made from the traces, which is
    written to the run's folder. `detail` is what the wave says of it.
    """
    own = own_result(folder, running.run, running.attempt)
    if own is not None:
        return own, True
    noted = wave.noted(running.run)
    stack = (
        "" if noted.pid is None else _take_stack(wave.scratch.stack(noted.pid), folder.stack_file)
    )
    if lost and killed_for is None:
        outcome, cause = Outcome.LOST, Cause(CauseKind.HOST, detail)
    else:
        outcome, cause = cause_of_death(_death_traces(noted, stack, running, killed_for, detail))
    began = running.dispatched if noted.began is None else noted.began
    record = died_record(
        running.run,
        running.attempt,
        outcome,
        cause,
        folder,
        wall_s=time.monotonic() - began,
        ended=time.time(),
        counted_step=noted.last_step,
    )
    record |= wave.usage.get(running.run, {})
    with contextlib.suppress(OSError):  # the journal tells it all the same
        write_result(folder, record)
    return record, False


def died_record(
    run: str,
    attempt: int,
    outcome: Outcome,
    cause: Cause,
    folder: RunFolder,
    *,
    wall_s: float,
    ended: float,
    counted_step: int | None = None,
) -> dict[str, Any]:
    """The result of an attempt that couldn't write one itself.

    Rows that were still buffered are lost with the process; `counted_step` knows of them.
    """
    last = last_values(folder.metrics_file)
    written_step = read.integer(last, "step")
    for column in ("step", "time"):
        last.pop(column, None)
    return {
        "id": run,
        "attempt": attempt,
        "outcome": outcome.value,
        "cause": cause.plain(),
        "metrics": last,
        "last_step": written_step if counted_step is None else counted_step,
        "wall_s": round(wall_s, 4),
        "started": ended - wall_s,
        "ended": ended,
    }


def finished_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a result that goes into the journal."""
    return {key: record[key] for key in _JOURNALLED if record.get(key) is not None}


def write_result(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write a run's result.json whole or not at all. Raises OSError.

    Not synced: two fsyncs are some 10 ms for which the slot would idle, and the journal, which
    decides, holds the same facts and is synced.
    """
    text = json.dumps(finite(record), indent=1) + "\n"
    write_atomically(folder.result_file, text, durable=False)


def death_of_wave(status: int | None, tail: str) -> str:
    """How a wave child ended, by its exit status and the last that it wrote."""
    if status is not None and status < 0:  # what it wrote before has nothing to do with it
        return f"the wave ended with signal {-status}"
    return f"the wave ended with status {status}" + (f" ({tail})" if tail else "")
