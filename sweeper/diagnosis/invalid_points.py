"""Why points of a sweep are invalid: their reasons, and the axis values behind each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeper.diagnosis.bitmasks import Points, mask_of
from sweeper.diagnosis.exact import separate
from sweeper.diagnosis.explain import EXACT_SOUGHT, condition_text
from sweeper.diagnosis.rules import Condition
from sweeper.plan import Plan

__all__ = ["InvalidGroup", "invalid_groups"]


@dataclass(frozen=True)
class InvalidGroup:
    """Runs that are invalid for the same reason.

    `condition` holds for these runs and for no other run of the sweep; None where there is no such
    condition, or no other run. `axis_values` are the values that these runs share: those of the
    condition, or all that they share where there is none.
    """

    reason: str
    runs: tuple[str, ...]
    axis_values: Mapping[str, Any]
    condition: str | None

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return {
            "reason": self.reason,
            "count": len(self.runs),
            "axis_values": dict(self.axis_values),
            "condition": self.condition,
        }


def invalid_groups(plan: Plan) -> list[InvalidGroup]:
    """The invalid runs by reason, most runs first; a run with two reasons is in two groups."""
    valid = [*plan.settled, *(run.spec for pack in plan.packs for run in pack.runs)]
    specs = [*(spec for spec, _ in plan.invalid), *valid]
    by_reason: dict[str, list[int]] = defaultdict(list)
    for place, (_, reasons) in enumerate(plan.invalid):
        for reason in sorted(set(reasons)):
            by_reason[reason].append(place)
    points = Points([spec.axis_values for spec in specs])
    everything = mask_of(range(len(specs)), len(specs))
    groups = []
    for reason, places in by_reason.items():
        bad = mask_of(places, len(specs))
        condition = None
        # Beyond so many reasons a person reads the first ones only, and the search gets slow.
        if len(by_reason) <= EXACT_SOUGHT:
            condition = separate(points, bad, everything & ~bad, approximate=False)
        shared = _shared(points, bad)
        if condition:
            shared = {
                atom.axis: shared[atom.axis] for atom in condition.atoms if atom.axis in shared
            }
        runs = tuple(specs[place].id for place in places)
        groups.append(InvalidGroup(reason, runs, shared, _text(points, condition)))
    return sorted(groups, key=lambda group: -len(group.runs))


def _text(points: Points, condition: Condition | None) -> str | None:
    return condition_text(condition, points) if condition and condition.atoms else None


def _shared(points: Points, bad: int) -> dict[str, Any]:
    """The values that all of the runs `bad` have, on axes on which not all runs agree."""
    shared = {}
    for axis in points.axes:
        held = [value for value, mask in zip(axis.values, axis.masks, strict=True) if mask & bad]
        if len(held) == 1 and len(axis.values) > 1:
            shared[axis.key] = held[0]
    return shared
