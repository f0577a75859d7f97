"""The result of one attempt: written by its worker, read back, and cut for the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sweeper.records import json_fields as read
from sweeper.records.events import Ended, Evaluated
from sweeper.records.jsonl import finite, number
from sweeper.records.layout import RunFolder, read_json, write_atomically
from sweeper.records.metrics import last_values
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["Result", "died_result", "ended_event", "evaluated_event", "own_result", "write_result"]


@dataclass(frozen=True)
class Result:
    """How an attempt ended, and what it took; times in seconds, `started` and `ended` since 1970.

    `restored_step` is the step of the checkpoint that it went on from, `restored_sources` are the
    digests of the code that trained up to there. `spoilt` says that the process must not be used
    again; it isn't written to any record.
    """

    id: str
    attempt: int
    outcome: Outcome
    cause: Cause | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    last_step: int | None = None
    wall_s: float | None = None
    started: float | None = None
    ended: float | None = None
    cpu_s: float | None = None
    rss_peak_bytes: int | None = None
    restored_step: int | None = None
    restored_sources: tuple[str, ...] = ()
    spoilt: bool = False

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON, with the cause only if there is one."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        data["outcome"] = self.outcome.value
        if self.cause is None:
            del data["cause"]
        else:
            data["cause"] = self.cause.plain()
        finite_data: dict[str, Any] = finite(data)
        return finite_data

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Result:
        """Back from `plain`, without trust: what isn't of its kind becomes None.

        Raises KeyError, TypeError, ValueError or AttributeError where no outcome can be read.
        """
        cause = data.get("cause")
        metrics = data.get("metrics")
        numbers = {
            str(name): number(value)
            for name, value in (metrics.items() if isinstance(metrics, Mapping) else ())
        }
        return cls(
            id=str(data["id"]),
            attempt=int(data["attempt"]),
            outcome=Outcome(data["outcome"]),
            cause=None if cause is None else Cause.from_plain(cause),
            metrics={name: float(value) for name, value in numbers.items() if value is not None},
            last_step=read.integer(data, "last_step"),
            wall_s=read.real(data, "wall_s"),
            started=read.real(data, "started"),
            ended=read.real(data, "ended"),
            cpu_s=read.real(data, "cpu_s"),
            rss_peak_bytes=read.integer(data, "rss_peak_bytes"),
            restored_step=read.integer(data, "restored_step"),
            restored_sources=read.texts(data, "restored_sources") or (),
            spoilt=bool(data.get("spoilt")),
        )


def own_result(folder: RunFolder, run: str, attempt: int) -> Result | None:
    """The result that this attempt wrote as its last act, or None.

    A training may have saved a file of that name, so nothing in it is trusted.
    """
    data = read_json(folder.result_file)
    if data is None or (data.get("id"), data.get("attempt")) != (run, attempt):
        return None
    try:
        return Result.from_plain(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def died_result(
    run: str,
    attempt: int,
    outcome: Outcome,
    cause: Cause,
    folder: RunFolder,
    *,
    wall_s: float,
    ended: float,
    counted_step: int | None = None,
    usage: Mapping[str, Any] | None = None,
) -> Result:
    """The result of an attempt that couldn't write one itself.

    Rows that were still buffered are lost with the process; `counted_step` counts them. `usage`
    holds `cpu_s` and `rss_peak_bytes`, if they are known.
    """
    last = last_values(folder.metrics_file)
    written_step = read.integer(last, "step")
    for column in ("step", "time"):
        last.pop(column, None)
    return Result(
        id=run,
        attempt=attempt,
        outcome=outcome,
        cause=cause,
        metrics=last,
        last_step=written_step if counted_step is None else counted_step,
        wall_s=round(wall_s, 4),
        started=ended - wall_s,
        ended=ended,
        **_restored(folder, attempt),
        **(usage or {}),
    )


def _restored(folder: RunFolder, attempt: int) -> dict[str, Any]:
    """From where this attempt went on, as it has said itself."""
    said = read_json(folder.progress_file) or {}
    if said.get("attempt") != attempt:
        return {}
    return {
        "restored_step": read.integer(said, "restored_step"),
        "restored_sources": read.texts(said, "restored_sources") or (),
    }


def ended_event(result: Result, *, wave: int | None = None, of: str | None = None) -> Ended:
    """What the journal says of a training's end; `of` names the writer whose attempt it closes."""
    return Ended(
        **_journalled(result),
        wave=wave,
        of=of,
        restored_step=result.restored_step,
        restored_sources=result.restored_sources,
    )


def evaluated_event(result: Result, *, wave: int | None = None) -> Evaluated:
    """What the journal says of an evaluation's end."""
    return Evaluated(**_journalled(result), wave=wave)


def _journalled(result: Result) -> dict[str, Any]:
    names = ("attempt", "outcome", "cause", "last_step", "wall_s", "cpu_s", "rss_peak_bytes")
    return {
        "run": result.id,
        "metrics": dict(result.metrics),
        **{name: getattr(result, name) for name in names},
    }


def write_result(folder: RunFolder, result: Result) -> None:
    """Write a run's result.json whole or not at all. Raises OSError.

    Not synced: two fsyncs are some 10 ms for which the slot would idle, and the journal, which
    decides, holds the same facts and is synced.
    """
    data = {key: value for key, value in result.plain().items() if key != "spoilt"}
    write_atomically(folder.result_file, json.dumps(data, indent=1) + "\n", durable=False)
