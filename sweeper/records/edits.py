"""What users do to records by hand, in the fold: runs that they remove, names and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sweeper.records.events import Ended, Evaluated, Planned, Recorded, Removed, Started
from sweeper.records.state import RunState

__all__ = ["annotated", "without_removed"]

_Position = tuple[float, str, int]


def _position(recorded: Recorded) -> _Position:
    return recorded.time, recorded.writer, recorded.seq


def without_removed(in_order: Sequence[Recorded]) -> Sequence[Recorded]:
    """The events, which are in order, without the attempts at runs that were removed after them.

    An attempt goes with its start: what a launch that was taken for dead still writes of it counts
    no more.
    """
    removed: dict[str, _Position] = {}
    for recorded in in_order:
        if isinstance(recorded.event, Removed):
            removed[recorded.event.run] = _position(recorded)
    if not removed:
        return in_order
    last_start: dict[tuple[str, str, int], _Position] = {}
    for recorded in in_order:
        event = recorded.event
        if isinstance(event, Started):
            last_start[event.run, recorded.writer, event.attempt] = _position(recorded)
    return [it for it in in_order if not _is_removed(it, removed, last_start)]


def _is_removed(
    recorded: Recorded,
    removed: Mapping[str, _Position],
    last_start: Mapping[tuple[str, str, int], _Position],
) -> bool:
    event = recorded.event
    if not isinstance(event, Started | Ended | Evaluated) or event.run not in removed:
        return False
    began = _position(recorded)
    if isinstance(event, Ended):
        began = last_start.get((event.run, event.of or recorded.writer, event.attempt), began)
    return min(began, _position(recorded)) < removed[event.run]


def annotated(
    runs: Mapping[str, RunState], planned: Mapping[str, Planned], notes: Mapping[str | None, str]
) -> Mapping[str, RunState]:
    """The runs with their names and notes."""
    names = {run_id: plan.names.get(run_id) for run_id, plan in planned.items() if plan.names}
    if not names and not notes:
        return runs
    return {
        run_id: replace(run, name=names.get(run_id) or None, note=notes.get(run_id) or None)
        for run_id, run in runs.items()
    }
