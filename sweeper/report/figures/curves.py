"""Loss curves of many runs: colours by one parameter, a panel per value of another."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sweeper.errors import RecordError
from sweeper.records import GroupFolder, GroupState, RunState, read_rows
from sweeper.records.parameters import ABSENT, AxisColumn, parameter, varying_axes
from sweeper.report.figures import style
from sweeper.suggest import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "CurvesInfo", "curves_figure", "curves_info", "save_curves_figure"]

MOST_RUNS = 240
MOST_PANELS = 12
PANELS_ABREAST = 3
# Few enough that the noise of single batches goes, many enough for the shape.
POINTS = 100
# More lines of one look in one panel are a thicket: then their median and range are drawn.
MOST_LINES = 3


@dataclass(frozen=True)
class Curve:
    """A metric over the steps: of one run, thinned, or the median of many `runs` of one look.

    `until` is the last step that was logged, finite or not: only runs of one length are pooled.
    `low` and `high` bound a band around a median: the smallest and largest of its runs. `lost`
    counts the runs whose last value wasn't finite.
    """

    runs: tuple[str, ...]
    panel: int
    hue: int
    steps: tuple[float, ...]
    values: tuple[float, ...]
    until: float
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    lost: int = 0


@dataclass(frozen=True)
class CurvesInfo:
    """What the figure shows."""

    label: str
    log: bool
    panels: tuple[str, ...]
    hue: str | None
    hues: tuple[str, ...]
    curves: tuple[Curve, ...]
    note: str


def curves_info(
    folder: GroupFolder,
    state: GroupState,
    *,
    metric: str = "loss",
    units: Mapping[str, str] | None = None,
) -> CurvesInfo:
    """Gather the curves of `metric` of every run of the group that has logged it.

    The first parameter with two to six values gives the colours, the next one with up to twelve the
    panels; all others, seeds among them, are several lines of one look, or their median and range
    if there are more than three of one length. Long curves are thinned to medians of neighbouring
    steps, and of very many runs an even choice is drawn. Raises `RecordError` when no run has
    logged the metric.
    """
    runs = list(state.runs.values())
    axes = varying_axes(runs)
    points = [_point(run, axes) for run in runs]
    hue = style.first_axis(axes, points)
    panel = style.first_axis([axis for axis in axes if axis != hue], points, MOST_PANELS)
    panel_text, hue_text = _texts(panel, points), _texts(hue, points)
    panels, hues = _values(panel_text, points), _values(hue_text, points)
    curves = []
    for run in _even_choice(runs):
        series = _series(folder, run, metric)
        if series:
            curves.append(
                _curve(
                    run.id,
                    panels.index(panel_text(_point(run, axes))),
                    hues.index(hue_text(_point(run, axes))),
                    series,
                )
            )
    if not curves:
        raise RecordError(f"no run of group `{folder.group}` has logged `{metric}`")
    return CurvesInfo(
        label=style.axis_label(metric, style.unit_of(metric, units or {})),
        log=style.spans_decades([value for curve in curves for value in curve.values]),
        panels=tuple(f"{panel.label} {value}" if panel else "" for value in panels),
        hue=hue.label if hue else None,
        hues=tuple(hues),
        curves=tuple(_merged(curves)),
        note=_note(curves, len(runs)),
    )


def _even_choice(runs: Sequence[RunState]) -> list[RunState]:
    count = min(len(runs), MOST_RUNS)
    return [runs[len(runs) * index // count] for index in range(count)]


def _point(run: RunState, axes: Sequence[AxisColumn]) -> dict[str, Any]:
    """The run's values of these parameters, without those that its config doesn't have."""
    values = {axis.key: parameter(run, axis.key) for axis in axes}
    return {key: value for key, value in values.items() if value is not ABSENT}


_Text = Callable[[Mapping[str, Any]], str]


def _values(text: _Text, points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The values of a parameter as text, in the order in which they were planned."""
    return list(dict.fromkeys(text(point) for point in points))


def _texts(axis: AxisColumn | None, points: Sequence[Mapping[str, Any]]) -> _Text:
    return style.texts(axis, points) if axis else lambda point: ""


def _series(folder: GroupFolder, run: RunState, metric: str) -> list[tuple[float, float]]:
    """(step, value) of every row that has the metric, non-finite values included."""
    files = folder.run(run.id)
    if run.deciding is not None:
        files = files.of_attempt(run.deciding.number)
    rows = read_rows(files.metrics_file)
    return [(row["step"], row[metric]) for row in rows if "step" in row and metric in row]


def _curve(run_id: str, panel: int, hue: int, series: Sequence[tuple[float, float]]) -> Curve:
    """Thinned to at most `POINTS` medians; medians, as a single spike must not draw a hill."""
    finite = [(step, value) for step, value in series if math.isfinite(value)]
    count = min(len(finite), POINTS)
    blocks = [
        finite[len(finite) * index // count : len(finite) * (index + 1) // count]
        for index in range(count)
    ]
    return Curve(
        runs=(run_id,),
        panel=panel,
        hue=hue,
        steps=tuple(median(step for step, _ in block) for block in blocks),
        values=tuple(median(value for _, value in block) for block in blocks),
        until=series[-1][0],
        lost=int(not math.isfinite(series[-1][1])),
    )


def _merged(curves: Sequence[Curve]) -> list[Curve]:
    """Few curves of one look and length as they are, many as one.

    A median over runs of several lengths would jump wherever some of them end.
    """
    looks: dict[tuple[int, int, float], list[Curve]] = defaultdict(list)
    for curve in curves:
        looks[curve.panel, curve.hue, curve.until].append(curve)
    merged = []
    for same in looks.values():
        drawable = [curve for curve in same if curve.steps]
        merged += [_median(drawable)] if len(drawable) > MOST_LINES else same
    return merged


def _median(curves: Sequence[Curve]) -> Curve:
    """Median and range of curves at common steps, each where it has values."""
    first, last = min(c.steps[0] for c in curves), max(c.steps[-1] for c in curves)
    steps, columns = [], []
    for index in range(POINTS):
        step = first + (last - first) * index / (POINTS - 1)
        column = [_at(curve, step) for curve in curves if curve.steps[0] <= step <= curve.steps[-1]]
        if column:
            steps.append(step)
            columns.append(column)
    return Curve(
        runs=tuple(run for curve in curves for run in curve.runs),
        panel=curves[0].panel,
        hue=curves[0].hue,
        steps=tuple(steps),
        values=tuple(map(median, columns)),
        until=curves[0].until,
        low=tuple(map(min, columns)),
        high=tuple(map(max, columns)),
        lost=sum(curve.lost for curve in curves),
    )


def _at(curve: Curve, step: float) -> float:
    """The value at a step between the first and the last, interpolated."""
    after = bisect_left(curve.steps, step)
    if curve.steps[after] == step:
        return curve.values[after]
    before = after - 1
    share = (step - curve.steps[before]) / (curve.steps[after] - curve.steps[before])
    return curve.values[before] + share * (curve.values[after] - curve.values[before])


def _note(curves: Sequence[Curve], runs: int) -> str:
    parts = []
    if any(len(curve.values) == POINTS for curve in curves):
        parts.append("medians of neighbouring steps")
    if any(curve.low for curve in _merged(curves)):
        parts.append("lines with a band: median and range of several runs of one length")
    if len(curves) < runs:
        parts.append(f"{len(curves)} of {counted(runs, 'run')}")
    lost = sum(curve.lost for curve in curves)
    if lost:
        parts.append(f"left the finite numbers: {lost} run{'s' if lost > 1 else ''} (×)")
    return "; ".join(parts)


@style.own_settings()
def curves_figure(info: CurvesInfo) -> Figure:
    """Draw the curves, panels side by side with common axes."""
    from matplotlib.figure import Figure

    across = min(len(info.panels), PANELS_ABREAST)
    down = -(-len(info.panels) // across)
    size = (3.1 * across + 0.5, 2.3 * down + 0.9) if len(info.panels) > 1 else (6.0, 4.0)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index < len(info.panels):
            _draw_panel(axes, info, index)
            # Shared axes are labelled where no panel follows below.
            if index + across >= len(info.panels):
                axes.set_xlabel("step", fontsize=9)
                axes.tick_params(axis="x", labelbottom=True)
                axes.locator_params(axis="x", integer=True)  # there is no step 2.5
        else:
            axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(style.shown(info.label), fontsize=9)
    _draw_legend(figure, info)
    style.add_note(figure, info.note)
    return figure


def _draw_panel(axes: Axes, info: CurvesInfo, panel: int) -> None:
    if info.log:
        axes.set_yscale("log")
    for curve in info.curves:
        if curve.panel == panel and curve.steps:
            _draw_curve(axes, curve)
    axes.set_title(style.shown(style.shortened(info.panels[panel], 38)), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if info.log:
        values = [value for curve in info.curves for value in curve.values]
        style.log_ticks(axes.yaxis, values)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    colour = style.COLOURS[curve.hue]
    if curve.low:
        axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(
        curve.steps, curve.values, color=colour, linestyle=style.DASHES[curve.hue], linewidth=1.3
    )
    if curve.lost:
        axes.plot(curve.steps[-1:], curve.values[-1:], "x", color=colour, markersize=7)


def _draw_legend(figure: Figure, info: CurvesInfo) -> None:
    from matplotlib.lines import Line2D

    if info.hue is None:
        return
    handles = [
        Line2D([], [], color=style.COLOURS[index], linestyle=style.DASHES[index])
        for index in range(len(info.hues))
    ]
    style.add_legend(figure, info.hue, handles, info.hues)


def save_curves_figure(
    folder: GroupFolder,
    state: GroupState,
    *,
    metric: str = "loss",
    name: str = "curves",
    units: Mapping[str, str] | None = None,
) -> list[Path]:
    """Draw a group's curves into ``<results folder>/<name>.png`` and ``.svg``; the paths written.

    Raises `RecordError` when no run has logged the metric.
    """
    info = curves_info(folder, state, metric=metric, units=units)
    return style.save_figure(curves_figure(info), folder.results_dir / name)
