"""After a launch that died: how the attempts that it left open ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sweeper.engine.results import died_result, ended_event, own_result
from sweeper.records import json_fields as read
from sweeper.records.events import Ended, Event, Started
from sweeper.records.layout import GroupFolder, is_run_id, read_json
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.records.shards import WHOLE, Shard
from sweeper.records.state import Attempt, GroupState

__all__ = ["interrupted_ends"]


def interrupted_ends(
    folder: GroupFolder,
    state: GroupState,
    *,
    is_dead: Callable[[str], bool],
    shard: Shard = WHOLE,
) -> list[Event]:
    """The missing events of attempts that dead launches left without an end.

    Only of runs in `shard`, and of writers that are known to be dead: what runs elsewhere stays
    open. Must be called under a claim on the shard and after the dead launches' processes on this
    host were reaped. A run that had written its result keeps it; any other was lost. An
    attempt may even be unknown to the journal, if the launch died between its start and the next
    line.
    """
    events: list[Event] = [
        _end(folder, run.id, attempt)
        for run in state.runs.values()
        for attempt in run.attempts
        if attempt.outcome is None and is_run_id(run.id)
        if shard.holds(run.id) and is_dead(attempt.writer)
    ]
    for run_id in filter(shard.holds, folder.run_ids()):
        run = state.runs.get(run_id)
        known = max((attempt.number for attempt in run.attempts), default=0) if run else 0
        progress = read_json(folder.run(run_id).progress_file) or {}
        begun = read.integer(progress, "attempt")
        runs_elsewhere = run is not None and any(
            attempt.running and not is_dead(attempt.writer) for attempt in run.attempts
        )
        if run is not None and begun is not None and begun > known and not runs_elsewhere:
            attempt = Attempt(number=begun, writer="", started=read.real(progress, "time"))
            events.append(Started(run=run_id, attempt=begun))
            events.append(_end(folder, run_id, attempt))
    return events


def _end(folder: GroupFolder, run: str, attempt: Attempt) -> Ended:
    run_folder = folder.run(run)
    result = own_result(run_folder, run, attempt.number)
    if result is None:
        began = attempt.started or 0.0
        last_sign = _last_sign(run_folder.metrics_file, run_folder.log_file, default=began)
        cause = Cause(CauseKind.HOST, "the launch that ran it died")
        result = died_result(
            run,
            attempt.number,
            Outcome.LOST,
            cause,
            run_folder,
            wall_s=last_sign - began,
            ended=last_sign,
        )
    return ended_event(result, of=attempt.writer or None)


def _last_sign(*files: Path, default: float) -> float:
    """When the run last wrote anything."""
    times = [file.stat().st_mtime for file in files if file.exists()]
    return max([default, *times])
