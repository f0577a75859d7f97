"""Results of runs gathered by their parameters: the data behind every table and figure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sweeper.errors import RecordError
from sweeper.keys import value_key
from sweeper.records import GroupFolder, GroupState, Outcome, RunState, snapshot

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
        return math.fsum(self.values) / len(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation (over n − 1); None for fewer than two values."""
        if len(self.values) < 2 or self.mean is None:
            return None
        squares = math.fsum((value - self.mean) ** 2 for value in self.values)
        return math.sqrt(squares / (len(self.values) - 1))


@dataclass(frozen=True)
class AxisColumn:
    """A parameter that varies; `label` is the shortest unique ending of its dotted key."""

    key: str
    label: str


@dataclass(frozen=True)
class Row:
    """The runs that agree in the table's parameters."""

    group: str
    axis_values: Mapping[str, Any]  # by key; a run without the parameter has None
    runs: tuple[str, ...]
    metrics: Mapping[str, Statistic]
    finished: int
    others: Mapping[str, int]  # all other runs by standing, none hidden


@dataclass(frozen=True)
class Table:
    """Results by parameters. `metrics` begins with the headline if it is among them."""

    groups: tuple[str, ...]
    axes: tuple[AxisColumn, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    headline: str | None = None
    per_run: bool = False


def group_table(
    folder: GroupFolder,
    *,
    by: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    group_seeds: bool = True,
) -> Table:
    """`results_table` of the group in `folder`, read from its records."""
    states = {folder.group: snapshot(folder).state}
    return results_table(states, by=by, metrics=metrics, group_seeds=group_seeds)


def results_table(
    states: Mapping[str, GroupState],
    *,
    by: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    group_seeds: bool = True,
) -> Table:
    """Gather the runs of one or more groups (by name) into rows of equal parameters.

    `by` names the parameters of the rows by label or key; None takes all that vary, seeds apart.
    Everything else, seeds first of all, becomes the spread within a row. `metrics` names metrics
    whole, by what follows or precedes their last ``/`` (``mean``, ``circular_10_test``) or by a
    pattern (``*_test/mean``); None takes the headline metric and what it is on other data sets, or,
    where there is only one, its siblings there. `group_seeds=False` without `by` gives a row to
    every run. Metrics are those of finished runs; all other runs are counted by standing.
    Raises `RecordError` for a parameter or metric that isn't there, with the nearest.
    """
    runs = [(group, run) for group, state in states.items() for run in state.runs.values()]
    rows = [run for _, run in runs]
    per_run = by is None and not group_seeds
    if by is None:
        columns = varying_axes(rows, with_seeds=per_run)
    else:
        short = _labels(rows)
        columns = tuple(AxisColumn(key, short[key]) for key in _named(by, short))
    finished = [run for run in rows if run.outcome is Outcome.FINISHED]
    headline = next((state.headline for state in states.values() if state.headline), None)
    chosen = _metrics(_metric_names(finished), metrics, headline)
    places = _places(columns, rows)
    gathered: dict[tuple[Any, ...], list[RunState]] = defaultdict(list)
    for index, (group, run) in enumerate(runs):
        values = tuple(
            places[column.key][value_key(run.axis_values.get(column.key))] for column in columns
        )
        gathered[list(states).index(group), *values, index if per_run else 0].append(run)
    return Table(
        groups=tuple(states),
        axes=columns,
        metrics=chosen,
        rows=tuple(
            _row(list(states)[place[0]], columns, chosen, gathered[place])
            for place in sorted(gathered)
        ),
        headline=headline,
        per_run=per_run,
    )


def _row(
    group: str, columns: Sequence[AxisColumn], metrics: Sequence[str], runs: list[RunState]
) -> Row:
    finished = [run.metrics for run in runs if run.outcome is Outcome.FINISHED]
    standings = Counter(run.standing for run in runs)
    return Row(
        group=group,
        axis_values={c.key: runs[0].axis_values.get(c.key) for c in columns},
        runs=tuple(run.id for run in runs),
        metrics={name: _statistic(finished, name) for name in metrics},
        finished=len(finished),
        others={word: n for word, n in standings.items() if word != Outcome.FINISHED},
    )


def _statistic(finished: Sequence[Mapping[str, float]], name: str) -> Statistic:
    values = (float(metrics[name]) for metrics in finished if name in metrics)
    return Statistic(tuple(value for value in values if math.isfinite(value)), len(finished))


def varying_axes(runs: Sequence[RunState], *, with_seeds: bool = False) -> tuple[AxisColumn, ...]:
    """The parameters in which these runs differ, in the order of the sweep file."""
    return tuple(
        AxisColumn(key, label)
        for key, label in _labels(runs).items()
        if (with_seeds or not _is_seed(key))
        and len({value_key(run.axis_values.get(key)) for run in runs}) > 1
    )


def _labels(runs: Sequence[RunState]) -> Mapping[str, str]:
    """The parameters of all rows: key → label."""
    from sweeper.keys import labels  # brings the YAML reader along

    return labels(list(dict.fromkeys(key for run in runs for key in run.axis_values)))


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"


def _named(by: Sequence[str], short: Mapping[str, str]) -> list[str]:
    """The keys that a person means by labels, keys or unique endings of keys."""
    found = []
    for word in by:
        fits = [key for key in short if word in (key, short[key])]
        fits = fits or [key for key in short if key.endswith("." + word)]
        if len(fits) == 1:
            found.append(fits[0])
            continue
        names = ", ".join(f"`{short[key]}`" for key in (fits or short)) or "none"
        what = "could be several parameters" if fits else "is no parameter of these runs"
        raise RecordError(f"`{word}` {what}{_meant(word, short.values())}; there are: {names}")
    return list(dict.fromkeys(found))


def _places(columns: Sequence[AxisColumn], runs: Sequence[RunState]) -> dict[str, dict[str, int]]:
    """For each column the order of its values: that in which they were planned."""
    places: dict[str, dict[str, int]] = {column.key: {} for column in columns}
    for run in runs:
        for column in columns:
            own = places[column.key]
            own.setdefault(value_key(run.axis_values.get(column.key)), len(own))
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
