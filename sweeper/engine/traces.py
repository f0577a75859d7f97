"""What an attempt leaves on disk, read back into records."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeper.engine.faults import DeathTraces
from sweeper.engine.scratch import WaveScratch
from sweeper.records.folders import RunFolder, write_atomically
from sweeper.records.lines import finite
from sweeper.records.metrics import last_values
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["death_traces", "died_record", "finished_record", "write_result"]

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


def death_traces(
    scratch: WaveScratch, folder: RunFolder, run: str, killed_for: Cause | None, detail: str
) -> DeathTraces:
    """Collect what the vanished worker of `run` has left."""
    code = None
    with contextlib.suppress(OSError, ValueError):
        code = int(scratch.exit_note(run).read_text())
    return DeathTraces(
        started=scratch.mark(run).exists(),
        stack=_head(folder.stack_file),
        exit_code=code,
        killed_for=killed_for,
        detail=detail,
    )


def _head(file: Path) -> str:
    try:
        with file.open(errors="replace") as text:
            return text.read(_STACK_LIMIT)
    except OSError:
        return ""


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
    written_step = last.pop("step", None)
    last.pop("time", None)
    step = written_step if counted_step is None else counted_step
    return {
        "id": run,
        "attempt": attempt,
        "outcome": outcome.value,
        "cause": cause.plain(),
        "metrics": last,
        "last_step": None if step is None else int(step),
        "wall_s": round(wall_s, 4),
        "started": ended - wall_s,
        "ended": ended,
    }


def finished_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a result that goes into the journal."""
    return {key: record[key] for key in _JOURNALLED if record.get(key) is not None}


def write_result(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write a run's result.json whole or not at all. Raises OSError."""
    write_atomically(folder.result_file, json.dumps(finite(record), indent=1) + "\n")
