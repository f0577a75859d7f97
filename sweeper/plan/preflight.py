"""What can be known to be impossible before anything starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweeper.keys import value_key
from sweeper.records.outcomes import Cause, CauseKind

if TYPE_CHECKING:
    from sweeper.config import RunSpec
    from sweeper.trainer import Trainer

__all__ = ["InvalidGroup", "invalid_cause", "invalid_groups", "reasons_against"]

# Beyond this many reasons a person reads the first ones only, and looking for causes gets slow.
CAUSES_SOUGHT = 100


def reasons_against(spec: RunSpec, trainer: Trainer) -> tuple[str, ...]:
    """Why a run can't work, each one line; empty if nothing speaks against it.

    What its config says of itself, else what the trainer's `check` says. A `check` that raises is
    itself the reason: it would stop the sweep otherwise, and it stops nothing but this run.
    """
    if spec.invalid:
        return tuple(_line(reason) for reason in spec.invalid)
    try:
        return tuple(_line(reason) for reason in trainer.check(spec.config))
    except Exception as error:
        return (failure("check", error),)


def failure(function: str, error: Exception) -> str:
    """The reason for a trainer's function that raised."""
    return _line(f"{function} failed with {type(error).__name__}: {error}")


def invalid_cause(reasons: Sequence[str]) -> Cause:
    """The cause to record for an invalid run; equal reasons give equal causes."""
    return Cause(CauseKind.PREFLIGHT, "; ".join(reasons))


def _line(text: object) -> str:
    return " ".join(str(text).split())


@dataclass(frozen=True)
class InvalidGroup:
    """Runs that are invalid for the same reason.

    `axis_values` are values that they share and that tell them from every run without this reason,
    as few as that takes. When no values do, they are all those that they share.
    """

    reason: str
    runs: tuple[str, ...]
    axis_values: Mapping[str, Any]


def invalid_groups(
    invalid: Iterable[tuple[RunSpec, tuple[str, ...]]], valid: Iterable[RunSpec]
) -> list[InvalidGroup]:
    """The invalid runs by reason, most runs first; a run with two reasons is in two groups.

    `valid` are the other runs of the sweep: values that some of them have too aren't the cause.
    """
    points = [(spec, set(reasons)) for spec, reasons in invalid]
    everything = [
        *((_keys(spec), reasons) for spec, reasons in points),
        *((_keys(spec), set[str]()) for spec in valid),
    ]
    constant = _constant_axes(keys for keys, _ in everything)
    by_reason: dict[str, list[RunSpec]] = defaultdict(list)
    for spec, reasons in points:
        for reason in sorted(reasons):
            by_reason[reason].append(spec)
    groups = []
    for reason, specs in by_reason.items():
        shared = {key: value for key, value in _shared(specs).items() if key not in constant}
        if len(by_reason) <= CAUSES_SOUGHT:
            others = [keys for keys, reasons in everything if reason not in reasons]
            shared = _fewest(shared, others)
        groups.append(InvalidGroup(reason, tuple(spec.id for spec in specs), shared))
    return sorted(groups, key=lambda group: -len(group.runs))


def _keys(spec: RunSpec) -> dict[str, str]:
    return {key: value_key(value) for key, value in spec.axis_values.items()}


def _constant_axes(points: Iterable[Mapping[str, str]]) -> set[str]:
    """The axes on which all points agree: they tell nothing."""
    values: dict[str, set[str]] = defaultdict(set)
    for keys in points:
        for key, value in keys.items():
            values[key].add(value)
    return {key for key, seen in values.items() if len(seen) == 1}


def _shared(specs: Sequence[RunSpec]) -> dict[str, Any]:
    """The axis values that all of these runs have."""
    counts = Counter(pair for spec in specs for pair in _keys(spec).items())
    return {
        key: value
        for key, value in specs[0].axis_values.items()
        if counts[key, value_key(value)] == len(specs)
    }


def _fewest(shared: Mapping[str, Any], others: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """`shared` without the values that aren't needed to leave all of `others` out.

    Values are tried for removal in order, so of two that would do the later one stays.
    """
    needed = {key: value_key(value) for key, value in shared.items()}
    if any(needed.items() <= other.items() for other in others):
        return dict(shared)
    for key in list(needed):
        fewer = {name: value for name, value in needed.items() if name != key}
        if not any(fewer.items() <= other.items() for other in others):
            needed = fewer
    return {key: shared[key] for key in needed}
