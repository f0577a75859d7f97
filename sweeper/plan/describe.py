"""A plan as data, for `sweep plan --json` and the text of `sweep plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeper.plan.planner import Plan
from sweeper.records.shards import WHOLE, Shard

if TYPE_CHECKING:
    from sweeper.config import Axis, Sweep

__all__ = ["FIRST_SHOWN", "describe"]

FIRST_SHOWN = 10


def _cases(axis: Axis) -> dict[str, Any]:
    cases = [{"when": case.when, "values": list(case.plain_values)} for case in axis.cases]
    return {"cases": cases} if cases else {}


def describe(
    plan: Plan,
    sweep: Sweep,
    *,
    invalid_groups: Sequence[Mapping[str, Any]] = (),
    shard: Shard = WHOLE,
    chosen: bool = False,
    where: Sequence[str] = (),
    limit: int | None = None,
) -> dict[str, Any]:
    """What the plan says, ready for JSON.

    `shard` is the part of the sweep (``i/n``) that all of this is about, None for all of it.
    `total` = `to_train` + the sum of `done` + the length of `invalid`. `invalid_groups` are the
    invalid runs by reason, as mappings. `waves` counts the runs of each.
    `earlier` counts the runs that the group has from other sweep files, or from this one before it
    changed. `estimate_s` is the training on one slot in seconds (divide by the slots), None without
    history; `startup_s` is what a wave has taken besides, on average. `zipped` are the labels of
    axes that move together. An axis has `cases` if its values depend on a `when`: which it takes
    where which condition holds, and those for everywhere else. `excluded` counts the points that
    `exclude` and `only` took out of the grid, `failed_before` the runs to train that have failed
    before, `again` those that have finished or diverged before; `chosen_of` is the number of runs
    in the sweep where only some are considered, else None; `where` and `limit` say which, and are
    those of the command line; `programs` is None where the trainer
    doesn't say which runs share one. `first` are the first runs in the order of dispatch.
    """
    runs = [run for pack in plan.packs for run in pack.runs]
    labels = {axis.key: axis.label for axis in sweep.axes}
    return {
        "group": sweep.group,
        "shard": None if shard.is_whole else str(shard),
        "total": plan.total,
        "to_train": plan.to_train,
        "done": dict(plan.done),
        "earlier": plan.earlier,
        "axes": [
            {"key": axis.key, "label": axis.label, "values": list(axis.plain_values)} | _cases(axis)
            for axis in sweep.axes
        ],
        "invalid": [
            {"id": spec.id, "axis_values": dict(spec.axis_values), "reasons": list(reasons)}
            for spec, reasons in plan.invalid
        ],
        "zipped": [[labels[key] for key in keys] for keys in sweep.zipped],
        "excluded": sweep.grid_size() - sweep.count(),
        "failed_before": plan.failed_before,
        "again": plan.again,
        "chosen_of": sweep.count() if chosen else None,
        "where": list(where),
        "limit": limit,
        "invalid_groups": list(invalid_groups),
        "programs": len({run.program for run in runs}) if sweep.trainer.names_programs else None,
        "packs": len(plan.packs),
        "waves": [wave.runs for wave in plan.waves],
        "estimate_s": plan.estimate_s,
        "startup_s": plan.startup_s,
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
