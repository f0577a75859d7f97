"""What `sweep watch` shows of a group, from the records alone: now, or as it stood at some time."""

from __future__ import annotations

import statistics
from typing import Any

from sweeper.errors import RecordError
from sweeper.records.fold import fold
from sweeper.records.journal import read_journal
from sweeper.records.layout import GroupFolder, is_run_id
from sweeper.records.metrics import Row, tail_rows
from sweeper.records.queries import Snapshot, corrected, snapshot, status_of
from sweeper.records.state import Attempt, GroupState, RunState
from sweeper.records.stop_requests import requested

__all__ = ["snapshot_at", "watched"]


def snapshot_at(folder: GroupFolder, moment: float) -> Snapshot:
    """The group as it stood at a unix time: what the journal had by then.

    A launch lived then if it wrote something later, or if it lives now. Raises `RecordError`
    without a journal, and for a time before its first event.
    """
    today = snapshot(folder)
    journal = read_journal(folder.journal_dir)
    events = [event for event in journal.events if event.time <= moment]
    if not events:
        raise RecordError(f"--at: group `{folder.group}` has no records of that time yet")
    later = {event.writer for event in journal.events if event.time > moment}
    state = fold(events)
    alive = {
        it.writer: False if it.ended is not None else (it.writer in later or today.alive[it.writer])
        for it in state.launches
    }
    return Snapshot(corrected(state, alive), alive, journal.damaged_lines)


def watched(
    folder: GroupFolder, seen: Snapshot, now: float, *, past: bool = False
) -> dict[str, Any]:
    """The answer of `sweep watch`: that of `status` with more of what runs and what went wrong.

    `now` is the time that it speaks of, in unix time; with `past` the files of today count only as
    far as they tell of it. Besides the keys of `status`: `at`; for each of `running` also `launch`,
    `host`, `loss` and `steps_per_s`; `ended` (the last ones first, with outcome and cause);
    `memory` and `scratch` in bytes, as far as the records know; for each of `launches` also
    `asked_to_stop` (see `requested`).
    """
    state = seen.state.as_planned()
    answer = status_of(folder, seen, now=now)
    hosts = {launch.writer: launch for launch in state.launches}
    for item in answer["running"]:
        run = state.runs[item["id"]]
        attempt = next(a for a in reversed(run.attempts) if a.running)
        rows = _rows(folder, run, attempt, now)
        owner = hosts.get(attempt.writer)
        item["launch"], item["host"] = (owner.id, owner.host) if owner else (None, None)
        item["loss"] = next((row["loss"] for row in reversed(rows) if "loss" in row), None)
        item["steps_per_s"] = _speed(rows)
        if past:
            item["fraction"] = None  # only its last value is known
            item["step"] = int(rows[-1]["step"]) if rows and "step" in rows[-1] else None
    for item in answer["launches"]:
        item["asked_to_stop"] = 0 if past else requested(folder, item["id"])
    return {
        **answer,
        "at": now,
        "ended": _ended(state),
        "memory": _memory(state),
        "scratch_peak_bytes": max((w.scratch_peak_bytes or 0 for w in state.waves), default=0),
    }


def _rows(folder: GroupFolder, run: RunState, attempt: Attempt, now: float) -> list[Row]:
    """The last rows that an attempt had logged by `now`."""
    if not is_run_id(run.id):  # a damaged journal may hold anything
        return []
    rows = tail_rows(folder.run(run.id).of_attempt(attempt.number).metrics_file)
    if attempt.started is None:
        return rows
    return [row for row in rows if row.get("time", 0.0) <= now - attempt.started]


def _speed(rows: list[Row]) -> float | None:
    """Steps in a second, over the rows."""
    known = [row for row in rows if "step" in row and "time" in row]
    if len(known) < 2 or known[-1]["time"] <= known[0]["time"]:
        return None
    return (known[-1]["step"] - known[0]["step"]) / (known[-1]["time"] - known[0]["time"])


def _ended(state: GroupState) -> list[dict[str, Any]]:
    """The runs that have ended, the last first."""
    ended = [
        (run.deciding.ended or 0.0, run.id, run, run.deciding)
        for run in state.runs.values()
        if run.deciding is not None and not run.running
    ]
    ended.sort(key=lambda item: item[:2], reverse=True)
    return [
        {
            "id": run.id,
            "name": run.name,
            "outcome": run.standing,
            "cause": end.cause.headline() if end.cause else None,
            "ended": end.ended,
            "wall_s": end.wall_s,
            "last_step": end.last_step,
            "axis_values": dict(run.axis_values),
        }
        for _, _, run, end in ended
    ]


def _memory(state: GroupState) -> dict[str, int | None]:
    """What a run needs: the largest and the middle one of those that have ended, and the limit."""
    peaks = [
        a.rss_peak_bytes for run in state.runs.values() for a in run.attempts if a.rss_peak_bytes
    ]
    last = state.last_training
    limit = last.resources.get("memory_per_run") if last else None
    return {
        "peak_bytes": max(peaks, default=None),
        "median_bytes": int(statistics.median(peaks)) if peaks else None,
        "limit_bytes": limit if isinstance(limit, int) else None,
    }
