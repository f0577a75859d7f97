"""What an attempt leaves on disk, read back into records."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from sweeper.engine.decide import Running
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
    scratch: WaveScratch, folder: RunFolder, run: str, killed_for: Cause | None
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
    )


def _head(file: Path) -> str:
    try:
        with file.open(errors="replace") as text:
            return text.read(_STACK_LIMIT)
    except OSError:
        return ""


def died_record(
    running: Running, outcome: Outcome, cause: Cause, folder: RunFolder, now: float
) -> dict[str, Any]:
    """The result of an attempt that couldn't write one itself."""
    began = running.began or running.dispatched
    last = last_values(folder.metrics_file)
    step = last.pop("step", None)
    last.pop("time", None)
    return {
        "id": running.run,
        "attempt": running.attempt,
        "outcome": outcome.value,
        "cause": cause.plain(),
        "metrics": last,
        "last_step": None if step is None else int(step),
        "wall_s": round(now - began, 4),
        "started": began,
        "ended": now,
    }


def finished_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a result that goes into the journal."""
    return {key: record[key] for key in _JOURNALLED if record.get(key) is not None}


def write_result(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write a run's result.json whole or not at all. Raises OSError."""
    write_atomically(folder.result_file, json.dumps(finite(record), indent=1) + "\n")
