"""Results of runs gathered by their parameters: the data behind every table and figure."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from sweeper.errors import RecordError
from sweeper.records import GroupFolder, GroupState, Outcome, RunState, snapshot
from sweeper.records.code import code_of
from sweeper.records.parameters import (
    ABSENT,
    AxisColumn,
    is_seed,
    named_columns,
    parameter,
    parameter_key,
    varying_axes,
)
from sweeper.records.state import ALL_RUNS, Chosen
from sweeper.report.format import part_words

__all__ = [
    "AxisColumn",
    "Row",
    "Statistic",
    "Table",
    "group_table",
    "results_table",
    "varying_axes",
]

# A table with more columns of its own choice fits no terminal.
MOST_METRICS = 6


@dataclass(frozen=True)
class Statistic:
    """One metric over the finished runs of a row; `values` are the finite ones of `runs` values."""

    values: tuple[float, ...]
    runs: int

    @property
    def mean(self) -> float | None:
        # `statistics` computes exactly: the sum of two losses of 1e308 is no float, their mean is.
        return statistics.mean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation (over n − 1); None for fewer than two values.

        It is infinite where no float is as large, which takes values of both signs near 1e308.
        """
        if len(self.values) < 2:
            return None
        try:
            return statistics.stdev(self.values)
        except OverflowError:
            return math.inf


@dataclass(frozen=True)
class Row:
    """The runs that agree in the table's parameters."""

    group: str
    axis_values: Mapping[str, Any]  # by key; without those that the config doesn't have
    runs: tuple[str, ...]
    metrics: Mapping[str, Statistic]
    finished: int
    others: Mapping[str, int]  # all other runs by standing, none hidden
    names: tuple[str | None, ...] = ()  # of `runs`


@dataclass(frozen=True)
class Table:
    """Results by parameters.

    `metrics` begins with the headline if it is among them; `more` are the names of all other
    metrics of finished runs. `averaged` are the parameters, seeds among them, in which finished
    runs of one row differ. `earlier` counts runs of the groups that only earlier sweep files had
    and that are left out.
    """

    groups: tuple[str, ...]
    axes: tuple[AxisColumn, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    headline: str | None = None
    maximise: bool = False  # whether the largest headline is the best, not the smallest
    per_run: bool = False
    averaged: tuple[AxisColumn, ...] = ()
    earlier: int = 0
    more: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what else to say of these runs, a sentence each
    choice: Mapping[str, Any] = field(default_factory=dict)  # see `Chosen.plain`


def group_table(
    folder: GroupFolder,
    *,
    by: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    group_seeds: bool = True,
    everything: bool = False,
    chosen: Chosen = ALL_RUNS,
) -> Table:
    """`results_table` of the group in `folder`, or of the `chosen` runs, read from its records."""
    seen = snapshot(folder).state
    whole = seen if everything else seen.as_planned()
    state = chosen.part(whole)
    found = results_table(
        {folder.group: state},
        by=by,
        metrics=metrics,
        group_seeds=group_seeds,
        everything=True,  # what isn't wanted is left out already
    )
    choice = chosen.plain(whole)
    part = part_words(choice, state.total)
    return replace(
        found,
        earlier=0 if everything else len(seen.earlier),
        notes=(*([part] if part else []), *code_of(folder, state)["messages"]),
        choice=choice,
    )


def results_table(
    states: Mapping[str, GroupState],
    *,
    by: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    group_seeds: bool = True,
    everything: bool = False,
) -> Table:
    """Gather the runs of one or more groups (by name) into rows of equal parameters.

    The runs are those of each sweep as it was last launched, or with `everything` all that the
    records have. `by` names the parameters of the rows by label or key; None takes all in which
    configs differ, axes or not, but for seeds: then runs of one row differ in nothing else.
    Everything that `by` leaves out, seeds first of all, becomes the spread within a row. `metrics`
    names metrics whole, by what follows or precedes their last ``/`` (``mean``,
    ``circular_10_test``) or by a pattern (``*_test/mean``); None takes the headline metric and what
    it is on other data sets, or, where there is only one, its siblings there. `group_seeds=False`
    without `by` gives a row to every run. Metrics are those of finished runs; all other runs are
    counted by standing.
    Raises `RecordError` for a parameter or metric that isn't there, with the nearest.
    """
    earlier = 0 if everything else sum(len(state.earlier) for state in states.values())
    if not everything:
        states = {group: state.as_planned() for group, state in states.items()}
    runs = [(group, run) for group, state in states.items() for run in state.runs.values()]
    rows = [run for _, run in runs]
    per_run = by is None and not group_seeds
    varying = varying_axes(rows, with_seeds=True)
    if by is None:
        columns = varying_axes(rows, with_seeds=per_run)
    else:
        new_names = {old: new for state in states.values() for old, new in state.renamed.items()}
        columns = named_columns([new_names.get(word, word) for word in by], rows)
    finished = [run for run in rows if run.standing == Outcome.FINISHED]
    ranking = next((state for state in states.values() if state.headline), GroupState())
    headline = ranking.headline
    logged = _metric_names(finished)
    chosen = _metrics(logged, metrics, headline)
    places = _places(columns, rows)
    gathered: dict[tuple[int, ...], list[RunState]] = defaultdict(list)
    for index, (group, run) in enumerate(runs):
        values = tuple(places[column.key][parameter_key(run, column.key)] for column in columns)
        gathered[list(states).index(group), *values, index if per_run else 0].append(run)
    if by is None:
        gathered = _without_twins(gathered, columns, [a.key for a in varying if is_seed(a.key)])
    return Table(
        groups=tuple(states),
        axes=columns,
        metrics=chosen,
        rows=tuple(
            _row(list(states)[place[0]], columns, chosen, gathered[place])
            for place in sorted(gathered)
        ),
        headline=headline,
        maximise=ranking.maximise,
        per_run=per_run,
        averaged=_averaged([axis for axis in varying if axis not in columns], gathered.values()),
        earlier=earlier,
        more=tuple(name for name in logged if name not in chosen),
    )


def _without_twins(
    rows: Mapping[tuple[int, ...], list[RunState]],
    columns: Sequence[AxisColumn],
    seeds: Sequence[str],
) -> dict[tuple[int, ...], list[RunState]]:
    """Rows taken apart where runs of equal seeds meet: those differ in 1 and 1.0, say.

    Where no seed is there twice they may be one value, once from a file and once from a default.
    """
    apart: dict[tuple[int, ...], list[RunState]] = {}
    for place, runs in rows.items():
        if len({tuple(parameter_key(run, key) for key in seeds) for run in runs}) == len(runs):
            apart[place] = runs
            continue
        exact: dict[str, list[RunState]] = defaultdict(list)
        for run in runs:
            exact[repr([parameter(run, column.key) for column in columns])].append(run)
        apart |= {(*place, number): kept for number, kept in enumerate(exact.values())}
    return apart


def _averaged(
    axes: Sequence[AxisColumn], rows: Iterable[Sequence[RunState]]
) -> tuple[AxisColumn, ...]:
    """Those of `axes` in which finished runs of one row differ."""
    left = list(axes)
    averaged = set()
    for row in rows:
        finished = [run for run in row if run.standing == Outcome.FINISHED]
        for axis in left if len(finished) > 1 else ():
            if len({parameter_key(run, axis.key) for run in finished}) > 1:
                averaged.add(axis)
        left = [axis for axis in left if axis not in averaged]
    return tuple(axis for axis in axes if axis in averaged)


def _row(
    group: str, columns: Sequence[AxisColumn], metrics: Sequence[str], runs: list[RunState]
) -> Row:
    finished = [run.metrics for run in runs if run.standing == Outcome.FINISHED]
    standings = Counter(run.standing for run in runs)
    return Row(
        group=group,
        axis_values={
            column.key: value
            for column in columns
            if (value := parameter(runs[0], column.key)) is not ABSENT
        },
        runs=tuple(run.id for run in runs),
        names=tuple(run.name for run in runs),
        metrics={name: _statistic(finished, name) for name in metrics},
        finished=len(finished),
        others={word: n for word, n in standings.items() if word != Outcome.FINISHED},
    )


def _statistic(finished: Sequence[Mapping[str, float]], name: str) -> Statistic:
    values = (float(metrics[name]) for metrics in finished if name in metrics)
    return Statistic(tuple(value for value in values if math.isfinite(value)), len(finished))


def _places(columns: Sequence[AxisColumn], runs: Sequence[RunState]) -> dict[str, dict[str, int]]:
    """For each column the order of its values: that in which they were planned."""
    places: dict[str, dict[str, int]] = {column.key: {} for column in columns}
    for run in runs:
        for column in columns:
            own = places[column.key]
            own.setdefault(parameter_key(run, column.key), len(own))
    return places


def _metric_names(finished: Iterable[RunState]) -> list[str]:
    return list(dict.fromkeys(name for run in finished for name in run.metrics))


def _metrics(
    available: Sequence[str], wanted: Sequence[str] | None, headline: str | None
) -> tuple[str, ...]:
    """The metrics of the columns. Before anything has finished there are none."""
    if not available:
        return ()
    if wanted is not None:
        return tuple(dict.fromkeys(name for word in wanted for name in _fitting(available, word)))
    if headline is None or headline not in available:
        return tuple(available[:MOST_METRICS])
    place, slash, statistic = headline.rpartition("/")
    if not slash:
        return (headline,)
    family = [
        name
        for name in available
        if name.endswith(f"/{statistic}") and name.count("/") == headline.count("/")
    ]
    if len(family) == 1:
        family = [name for name in available if name.startswith(f"{place}/")]
        # The headline leads; the others follow as they were recorded.
        family.sort(key=lambda name: name != headline)
    return tuple(family[:MOST_METRICS])


def _fitting(available: Sequence[str], word: str) -> list[str]:
    if word in available:
        return [word]
    fits = [
        name
        for name in available
        if word in (name.rpartition("/")[2], name.rpartition("/")[0]) or fnmatchcase(name, word)
    ]
    if fits:
        return fits
    endings = [name.rpartition("/")[2] for name in available]
    raise RecordError(
        f"`{word}` is no metric of the finished runs{_meant(word, [*available, *endings])}; "
        f"there are: {', '.join(f'`{name}`' for name in available)}"
    )


def _meant(word: str, words: Iterable[str]) -> str:
    from sweeper.suggest import meant

    return meant(word, words)
