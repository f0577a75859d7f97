"""A plan as data, for `sweep plan --json` and the text of `sweep plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeper.plan.planner import Plan

if TYPE_CHECKING:
    from sweeper.config import Sweep

__all__ = ["FIRST_SHOWN", "describe"]

FIRST_SHOWN = 10


def describe(
    plan: Plan, sweep: Sweep, *, invalid_groups: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What the plan says, ready for JSON.

    `total` = `to_train` + the sum of `done` + the length of `invalid`. `invalid_groups` are the
    invalid runs by reason, as mappings. `waves` counts the runs of each.
    `earlier` counts the runs that the group has from other sweep files, or from this one before it
    changed. `estimate_s` is the training on one slot in seconds (divide by the slots), None without
    history. `first` are the first runs in the order of dispatch.
    """
    runs = [run for pack in plan.packs for run in pack.runs]
    return {
        "group": sweep.group,
        "total": plan.total,
        "to_train": plan.to_train,
        "done": dict(plan.done),
        "earlier": plan.earlier,
        "axes": [
            {"key": axis.key, "label": axis.label, "values": list(axis.plain_values)}
            for axis in sweep.axes
        ],
        "invalid": [
            {"id": spec.id, "axis_values": dict(spec.axis_values), "reasons": list(reasons)}
            for spec, reasons in plan.invalid
        ],
        "invalid_groups": list(invalid_groups),
        "programs": len({run.program for run in runs}),
        "packs": len(plan.packs),
        "waves": [wave.runs for wave in plan.waves],
        "estimate_s": plan.estimate_s,
        "first": [
            {
                "id": run.spec.id,
                "axis_values": dict(run.spec.axis_values),
                "program": run.program,
                "estimate_s": run.estimate_s,
            }
            for run in runs[:FIRST_SHOWN]
        ],
    }
