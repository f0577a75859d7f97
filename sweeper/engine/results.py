"""Results: the record of one attempt, written, read back and cut for the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sweeper.records import json_fields as read
from sweeper.records.events import Ended, Evaluated
from sweeper.records.jsonl import finite
from sweeper.records.layout import RunFolder, read_json, write_atomically
from sweeper.records.metrics import last_values
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["died_record", "ended_event", "evaluated_event", "own_result", "write_result"]


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


def ended_event(
    record: Mapping[str, Any], run: str, *, wave: int | None = None, of: str | None = None
) -> Ended:
    """The part of a result that goes into the journal; its outcome must be a known one."""
    attempt = read.integer(record, "attempt")
    return Ended(
        run=run,
        attempt=1 if attempt is None else attempt,
        outcome=Outcome(record["outcome"]),
        cause=read.cause(record),
        wave=wave,
        of=of,
        last_step=read.integer(record, "last_step"),
        wall_s=read.real(record, "wall_s"),
        cpu_s=read.real(record, "cpu_s"),
        rss_peak_bytes=read.integer(record, "rss_peak_bytes"),
        metrics=read.metrics(record),
    )


def evaluated_event(ended: Ended) -> Evaluated:
    """The end of an evaluation, whose attempts end as those of trainings do."""
    return Evaluated(**{item.name: getattr(ended, item.name) for item in fields(Evaluated)})


def write_result(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write a run's result.json whole or not at all. Raises OSError.

    Not synced: two fsyncs are some 10 ms for which the slot would idle, and the journal, which
    decides, holds the same facts and is synced.
    """
    text = json.dumps(finite(record), indent=1) + "\n"
    write_atomically(folder.result_file, text, durable=False)
