"""Which runs in the records of a group a person means: by conditions, or the first few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweeper.config.recorded_where import recorded_rows
from sweeper.errors import RecordError
from sweeper.launch.chosen import RunChoice
from sweeper.records import GroupState, RunState
from sweeper.records.parameters import ABSENT, parameter
from sweeper.suggest import listed

__all__ = ["chosen_state"]


def chosen_state(state: GroupState, choice: RunChoice) -> GroupState:
    """The state with only the runs that are meant, in the order in which they were planned.

    Raises `ConfigError` for a bad condition, `RecordError` where no run is left.
    """
    runs = list(state.runs.values())
    if choice.where and runs:
        keys = list(_keys(runs))
        columns = {key: [parameter(run, key) for run in runs] for key in keys}
        axes = list(dict.fromkeys(key for run in runs for key in run.axis_values))
        found = recorded_rows(choice.where, columns, axes, missing=ABSENT, renamed=state.renamed)
        runs = [run for place, run in enumerate(runs) if place in found]
    if not runs and choice.where:
        raise RecordError(f"--where: no run of this group fulfils {listed(choice.where)}")
    kept = {run.id: run for run in runs[: choice.limit]}
    return replace(state, runs=kept, total=len(kept))


def _keys(runs: Sequence[RunState]) -> dict[str, None]:
    """The dotted keys of all that is known of the runs, those inside of mappings too."""
    fixed = {id(run.fixed): run.fixed for run in runs}.values()
    found: dict[str, None] = {}
    for values in (*(run.axis_values for run in runs), *fixed):
        for key, value in values.items():
            found |= dict.fromkeys(_paths(key, value))
    return found


def _paths(key: str, value: Any) -> Iterator[str]:
    yield key
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _paths(f"{key}.{name}", inner)
