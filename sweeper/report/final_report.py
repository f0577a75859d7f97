"""The end of a launch: counts, the best runs, table and figures it saves, where to look next."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.records import (
    GroupFolder,
    GroupState,
    Outcome,
    make_folder,
    write_atomically,
)
from sweeper.records.permissions import folder_mode, readable_as
from sweeper.report.aggregate import Table, results_table
from sweeper.report.figures import (
    save_curves_figure,
    save_errors_figure,
    save_timeline_figure,
)
from sweeper.report.tables import render

__all__ = ["ending"]

_BEST = 3


def ending(
    folder: GroupFolder, state: GroupState, *, reason: str, message: str = ""
) -> dict[str, Any]:
    """What a launch says at its end, as data; writes table and figures to the results folder.

    It speaks of the sweep as it was launched; `earlier` counts runs that only earlier files had.
    """
    everything, earlier = state, len(state.earlier)
    state = state.as_planned()
    counts = {word: count for word, count in state.counts().items() if count}
    finished = counts.get("finished", 0)
    table = replace(results_table({folder.group: state}), earlier=earlier) if finished else None
    make_folder(folder.results_dir, folder_mode(folder.path))
    with readable_as(folder.path):
        files = _save_results(folder, state, table) if table else []
        files += save_timeline_figure(folder, everything)
    return {
        "group": folder.group,
        "total": state.total,
        "counts": counts,
        "earlier": earlier,
        "all_finished": finished == state.total,
        "reason": reason,
        "message": message,
        "headline": state.headline or "loss",
        "best": _best(state),
        "table": render(table, "table") if table else "",
        "files": [str(file) for file in files],
        "runs_folder": str(folder.runs_folder),
    }


def _best(state: GroupState) -> list[dict[str, Any]]:
    headline = state.headline or "loss"
    finished = [
        (metrics[headline], run)
        for run in state.runs.values()
        if run.standing == Outcome.FINISHED
        and math.isfinite((metrics := run.metrics).get(headline, math.nan))
    ]
    finished.sort(key=lambda item: item[0])
    return [
        {"id": run.id, "axis_values": dict(run.axis_values), headline: value}
        for value, run in finished[:_BEST]
    ]


def _save_results(folder: GroupFolder, state: GroupState, table: Table) -> list[Path]:
    files = [folder.results_dir / "table.md", folder.results_dir / "table.csv"]
    write_atomically(files[0], render(table, "markdown"))
    write_atomically(files[1], render(table, "csv"))
    files += save_errors_figure(table, folder.results_dir, units=state.units)
    with contextlib.suppress(RecordError):  # a training may log no loss
        files += save_curves_figure(folder, state, units=state.units)
    return files
