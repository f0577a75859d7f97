"""The end of a launch: counts, the best runs, table and figures it saves, where to look next."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.extras import how_to_install, missing
from sweeper.records import (
    WHOLE,
    GroupFolder,
    GroupState,
    Outcome,
    Shard,
    make_folder,
    write_atomically,
)
from sweeper.records.code import code_of
from sweeper.records.permissions import folder_mode, readable_as
from sweeper.report.aggregate import Table, results_table
from sweeper.report.figures import (
    save_curves_figure,
    save_errors_figure,
    save_timeline_figure,
)
from sweeper.report.tables import Format, render

__all__ = ["ending"]

_BEST = 3
_ENDINGS: Mapping[Format, str] = {"markdown": "md", "csv": "csv"}


def ending(
    folder: GroupFolder,
    state: GroupState,
    *,
    reason: str,
    message: str = "",
    shard: Shard = WHOLE,
    chosen: Collection[str] | None = None,
    launch: str | None = None,
) -> dict[str, Any]:
    """What a launch says at its end, as data; writes table and figures to the results folder.

    It speaks of the sweep as it was launched; `earlier` counts runs that only earlier files had.
    `all_finished` is about the launch's own `shard` and the runs that were `chosen`, all else about
    every part; `code` is as in `code_of`, `launch` the id of the launch.
    Whatever can't be gathered, drawn or written is left out, with a line each in `problems`.
    """
    everything, earlier = state, len(state.earlier)
    state = state.as_planned()
    counts = {word: count for word, count in state.counts().items() if count}
    finished = counts.get("finished", 0)
    code = code_of(folder, state, watched=[launch] if launch else [])
    report = _Report(folder)
    if finished:
        report.results(state, earlier)
    report.draw("timeline.png", lambda: save_timeline_figure(folder, everything))
    return {
        "group": folder.group,
        "total": state.total,
        "counts": counts,
        "earlier": earlier,
        "all_finished": finished == state.total
        or ((chosen is not None or not shard.is_whole) and _is_done(state, shard, chosen)),
        "code": code,
        "reason": reason,
        "message": message,
        "headline": state.headline or "loss",
        "maximise": state.maximise,
        "best": _best(state),
        "table": report.table,
        "files": [str(file) for file in report.files],
        "problems": report.problems,
        "runs_folder": str(folder.runs_folder),
    }


def _is_done(state: GroupState, shard: Shard, chosen: Collection[str] | None) -> bool:
    own = [
        run
        for run in state.runs.values()
        if shard.holds(run.id) and (chosen is None or run.id in chosen)
    ]
    return all(run.standing == Outcome.FINISHED for run in own)


class _Report:
    """What is saved at the end, part by part: one that fails keeps none of the others back."""

    def __init__(self, folder: GroupFolder) -> None:
        self._folder = folder
        self.table = ""
        self.files: list[Path] = []
        self._lacks = missing(["matplotlib"])
        self.problems = [f"no figures: {how_to_install(self._lacks)}"] if self._lacks else []

    def results(self, state: GroupState, earlier: int) -> None:
        """The table, shown and saved, and the figures of the results."""
        folder, units = self._folder, state.units
        with self._careful("the table"):
            table = replace(results_table({folder.group: state}), earlier=earlier)
            self.table = render(table, "table")
            every = results_table({folder.group: state}, metrics=["*"])
            self.save("table.md", partial(_write, folder.results_dir, table, "markdown"))
            self.save("table.csv", partial(_write, folder.results_dir, every, "csv"))
            self.draw(
                "errors.png", lambda: save_errors_figure(table, folder.results_dir, units=units)
            )
        self.draw("curves.png", lambda: _save_curves(folder, state))

    def draw(self, name: str, write: Callable[[], list[Path]]) -> None:
        """Write a figure, if it can be drawn here."""
        if not self._lacks:
            self.save(name, write)

    def save(self, name: str, write: Callable[[], list[Path]]) -> None:
        """Write one part, readable as the group's folder is."""
        folder = self._folder
        with self._careful(f"{folder.results_dir / name}"), readable_as(folder.path):
            make_folder(folder.results_dir, folder_mode(folder.path))
            self.files += write()

    @contextlib.contextmanager
    def _careful(self, what: str) -> Iterator[None]:
        """One line for whatever goes wrong: the launch is over, and its outcome stands."""
        try:
            yield
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            self.problems.append(f"{what} can't be made: {said}")


def _write(results: Path, table: Table, form: Format) -> list[Path]:
    path = results / f"table.{_ENDINGS[form]}"
    write_atomically(path, render(table, form))
    return [path]


def _save_curves(folder: GroupFolder, state: GroupState) -> list[Path]:
    try:
        return save_curves_figure(folder, state, units=state.units)
    except RecordError:  # a training may log no loss
        return []


def _best(state: GroupState) -> list[dict[str, Any]]:
    headline = state.headline or "loss"
    finished = [
        (metrics[headline], run)
        for run in state.runs.values()
        if run.standing == Outcome.FINISHED
        and math.isfinite((metrics := run.metrics).get(headline, math.nan))
    ]
    finished.sort(key=lambda item: item[0], reverse=state.maximise)
    return [
        {"id": run.id, "name": run.name, "axis_values": dict(run.axis_values), headline: value}
        for value, run in finished[:_BEST]
    ]
