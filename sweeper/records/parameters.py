"""The parameters of runs: in which of them they differ, what they are called, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sweeper.errors import RecordError
from sweeper.keys import value_key
from sweeper.records.state import RunState

__all__ = [
    "ABSENT",
    "AxisColumn",
    "is_seed",
    "named_columns",
    "parameter",
    "parameter_key",
    "varying_axes",
    "varying_values",
]


class _Absent:
    """The type of `ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of a parameter that a run's config doesn't have; None is a value like any other."""


@dataclass(frozen=True)
class AxisColumn:
    """A parameter that varies; `label` is the shortest unique ending of its dotted key."""

    key: str
    label: str


def parameter(run: RunState, key: str) -> Any:
    """The plain value that a run has for a dotted key, or `ABSENT`.

    Where a mapping is one value in one sweep file and has axes inside in another, it is taken apart
    or put together.
    """
    if key in run.axis_values:
        return run.axis_values[key]
    if key in run.fixed:
        return run.fixed[key]
    found = _inside(run.axis_values, key)
    found = _inside(run.fixed, key) if found is ABSENT else found
    return _around((run.fixed, run.axis_values), key) if found is ABSENT else found


def parameter_key(run: RunState, key: str) -> str:
    """A text that is equal for runs with equal values under `key`; empty where there is none."""
    value = parameter(run, key)
    return "" if value is ABSENT else value_key(value)


def _inside(values: Mapping[str, Any], key: str) -> Any:
    """What a mapping under a beginning of `key` has for the rest of it."""
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        found: Any = values.get(".".join(parts[:length]), ABSENT)
        for part in parts[length:]:
            found = found.get(part, ABSENT) if isinstance(found, Mapping) else ABSENT
        if found is not ABSENT:
            return found
    return ABSENT


def _around(sources: Iterable[Mapping[str, Any]], key: str) -> Any:
    """The mapping of everything below `key`."""
    built: dict[str, Any] = {}
    for values in sources:
        for name, value in values.items():
            if name.startswith(f"{key}."):
                *folders, last = name[len(key) + 1 :].split(".")
                place = built
                for folder in folders:
                    # A journal from elsewhere may hold both `a.b` and `a.b.c`.
                    if not isinstance(place.get(folder), dict):
                        place[folder] = {}
                    place = place[folder]
                place[last] = value
    return built or ABSENT


def varying_axes(runs: Sequence[RunState], *, with_seeds: bool = False) -> tuple[AxisColumn, ...]:
    """The parameters in which these runs differ: axes as in the sweep file, then all others.

    Others differ where runs are of several sweep files, or where a default has changed since.
    """
    return tuple(
        AxisColumn(key, label)
        for key, label in _labels(runs).items()
        if (with_seeds or not is_seed(key)) and len({parameter_key(run, key) for run in runs}) > 1
    )


def varying_values(runs: Sequence[RunState]) -> list[Mapping[str, Any]]:
    """For each run its axis values, and its values of whatever else varies among these runs.

    What is an axis in one sweep file may be fixed in another.
    """
    keys = _labels(runs)
    found = []
    for run in runs:
        others = ((key, parameter(run, key)) for key in keys if key not in run.axis_values)
        known = {key: value for key, value in others if value is not ABSENT}
        found.append({**run.axis_values, **known} if known else run.axis_values)
    return found


def is_seed(key: str) -> bool:
    """Whether runs that differ in this parameter only are replicates."""
    return key.rpartition(".")[2] == "seed"


def named_columns(by: Sequence[str], runs: Sequence[RunState]) -> tuple[AxisColumn, ...]:
    """The parameters that a person means by labels, keys or unique endings of keys.

    Those that vary come first, then all that the configs hold. Raises `RecordError` with the
    nearest for what is none.
    """
    varying = _labels(runs)
    everything = _labelled([*varying, *(key for fixed in _fixed(runs) for key in fixed)])
    found: dict[str, str] = {}
    for word in by:
        fits = _fitting(word, varying) or _fitting(word, everything)
        if len(fits) != 1:
            raise RecordError(_misnamed(word, fits, varying, everything))
        found[fits[0]] = varying.get(fits[0]) or everything[fits[0]]
    return tuple(AxisColumn(key, label) for key, label in found.items())


def _fitting(word: str, short: Mapping[str, str]) -> list[str]:
    fits = [key for key in short if word in (key, short[key])]
    return fits or [key for key in short if key.endswith("." + word)]


def _misnamed(
    word: str, fits: Sequence[str], varying: Mapping[str, str], everything: Mapping[str, str]
) -> str:
    from sweeper.suggest import meant

    short = {**everything, **varying}
    names = ", ".join(f"`{short[key]}`" for key in (fits or varying)) or "none"
    what = "could be several parameters" if fits else "is no parameter of these runs"
    there = "there are" if fits else "those that vary"
    return f"`{word}` {what}{meant(word, short.values())}; {there}: {names}"


def _labels(runs: Sequence[RunState]) -> Mapping[str, str]:
    """All axes of these runs, and what else varies among them: key → label."""
    axes = list(dict.fromkeys(key for run in runs for key in run.axis_values))
    fixed = _fixed(runs)
    others = [
        key
        for key in dict.fromkeys(key for values in fixed for key in values)
        if not any(_related(key, axis) for axis in axes) and len({_key(v, key) for v in fixed}) > 1
    ]
    return _labelled([*axes, *others])


def _fixed(runs: Sequence[RunState]) -> list[Mapping[str, Any]]:
    """What runs were planned with besides axes: thousands of runs share one such mapping.

    Runs whose plan was lost have none; of them nothing is known.
    """
    return [values for values in {id(run.fixed): run.fixed for run in runs}.values() if values]


def _key(values: Mapping[str, Any], key: str) -> str:
    return value_key(values[key]) if key in values else ""


def _related(key: str, axis: str) -> bool:
    """Whether one of them is inside the other, or the same."""
    return f"{key}.".startswith(f"{axis}.") or axis.startswith(f"{key}.")


def _labelled(keys: Sequence[str]) -> Mapping[str, str]:
    from sweeper.keys import labels

    return labels(list(dict.fromkeys(keys)))
