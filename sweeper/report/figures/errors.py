"""Results as dots with error bars: one row per combination of parameters, one panel per metric."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.report.aggregate import AxisColumn, Row, Statistic, Table
from sweeper.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ErrorsInfo", "Panel", "Point", "errors_figure", "errors_info", "save_errors_figure"]

# More rows than this are no picture any more: the best are kept.
MOST_ROWS = 60
PANELS_ABREAST = 3


@dataclass(frozen=True)
class Point:
    """One combination of parameters in one panel; `statistic` has no mean if none finished."""

    row: int
    hue: int
    statistic: Statistic


@dataclass(frozen=True)
class Panel:
    """One metric; panels with the same label have the same scale.

    `span` are the smallest and largest value on that scale, None without any; `log` says that they
    span more than a decade.
    """

    metric: str
    title: str
    label: str
    span: tuple[float, float] | None
    log: bool
    points: tuple[Point, ...]


@dataclass(frozen=True)
class ErrorsInfo:
    """What the figure shows: rows from top to bottom, colours by `hue`, a note below.

    `heading` names the parameters whose values the labels of the rows are.
    """

    rows: tuple[str, ...]
    heading: str
    hue: str | None
    hues: tuple[str, ...]
    panels: tuple[Panel, ...]
    note: str


def errors_info(table: Table, units: Mapping[str, str] | None = None) -> ErrorsInfo:
    """Gather what `errors_figure` draws from a table's rows and metrics.

    `units` maps names or patterns of metrics to units (``{"*/mean": "%"}``); where it says nothing,
    endings like ``_pct`` and ``_deg`` do. Of more rows than fit a picture the best are kept.
    """
    kept = _best_rows(table)
    # With a single parameter the rows show it already.
    points = [row.axis_values for row in kept]
    hue = style.first_axis(table.axes, points) if len(table.axes) > 1 else None
    others = [axis for axis in table.axes if axis != hue]
    texts = {axis.key: style.texts(axis, points) for axis in table.axes}
    labels = [_row_label(table, row, texts, others) for row in kept]
    hues = [texts[hue.key](row.axis_values) if hue else "" for row in kept]
    rows, kinds = list(dict.fromkeys(labels)), list(dict.fromkeys(hues))
    places = [
        (rows.index(label), kinds.index(kind)) for label, kind in zip(labels, hues, strict=True)
    ]
    return ErrorsInfo(
        rows=tuple(style.row_label(row) for row in rows),
        heading=style.row_label([axis.label for axis in others]) if others else "",
        hue=hue.label if hue else None,
        hues=tuple(kinds),
        panels=_panels(table.metrics, kept, places, units or {}),
        note=_note(table, kept),
    )


def _best_rows(table: Table) -> list[Row]:
    """All rows, or of too many those with the best mean of the first metric, in table order."""
    if len(table.rows) <= MOST_ROWS or not table.metrics:
        return list(table.rows)[:MOST_ROWS]

    def mean(row: Row) -> float:
        value = row.metrics[table.metrics[0]].mean
        if value is None:
            return float("inf")
        return -value if table.maximise and table.metrics[0] == table.headline else value

    best = sorted(range(len(table.rows)), key=lambda index: mean(table.rows[index]))[:MOST_ROWS]
    return [table.rows[index] for index in sorted(best)]


def _row_label(
    table: Table,
    row: Row,
    texts: Mapping[str, Callable[[Mapping[str, Any]], str]],
    axes: Sequence[AxisColumn],
) -> tuple[str, ...]:
    """The parts of a row's label; the group's name where a single row has no parameter."""
    return (
        *([row.group] if len(table.groups) > 1 or not (axes or table.per_run) else []),
        *([row.runs[0]] if table.per_run else []),
        *(texts[axis.key](row.axis_values) for axis in axes),
    )


def _panels(
    metrics: Sequence[str],
    rows: Sequence[Row],
    places: Sequence[tuple[int, int]],
    units: Mapping[str, str],
) -> tuple[Panel, ...]:
    values: dict[str, list[float]] = defaultdict(list)
    labels = {}
    for metric in metrics:
        name = metric.rpartition("/")[2]
        labels[metric] = style.axis_label(name, style.unit_of(metric, units))
        for row in rows:
            values[labels[metric]] += row.metrics[metric].values
    return tuple(
        Panel(
            metric=metric,
            title=metric.rpartition("/")[0],
            label=labels[metric],
            span=(min(own), max(own)) if own else None,
            log=style.spans_decades(own),
            points=tuple(
                Point(place, hue, row.metrics[metric])
                for row, (place, hue) in zip(rows, places, strict=True)
            ),
        )
        for metric in metrics
        for own in [values[labels[metric]]]
    )


def _note(table: Table, kept: Sequence[Row]) -> str:
    counts = sorted({row.finished for row in kept if row.finished})
    several = counts[-1] > 1 if counts else False
    parts = []
    if several:
        n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
        parts.append(f"mean ± standard deviation over runs ({n}); small dots: single runs")
    bad = Counter[str]()
    for row in kept:
        bad.update(row.others)
    if bad:
        parts.append("not finished: " + ", ".join(f"{n} {word}" for word, n in bad.items()))
    if len(kept) < len(table.rows):
        parts.append(f"the best {len(kept)} of {len(table.rows)} combinations")
    return "; ".join(parts)


@style.own_settings()
def errors_figure(info: ErrorsInfo) -> Figure:
    """Draw dots with error bars. Raises ValueError for an info without panels."""
    from matplotlib.figure import Figure

    if not info.panels:
        raise ValueError("`len(info.panels) > 0` must hold, but no metric is there to draw")
    across = min(len(info.panels), PANELS_ABREAST)
    down = -(-len(info.panels) // across)
    lines = [line for row in (*info.rows, info.heading) for line in row.split("\n")]
    most_lines = max(row.count("\n") + 1 for row in info.rows)
    row_height = max(0.12 + 0.13 * len(info.hues), 0.05 + 0.15 * most_lines)
    figure = Figure(
        figsize=(
            0.075 * max(map(len, lines)) + 2.9 * across,
            (row_height * len(info.rows) + 0.9) * down + 0.7,
        ),
        layout="constrained",
    )
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index < len(info.panels):
            _draw_panel(axes, info.panels[index], info)
        else:
            axes.set_axis_off()
    for axes in grid[:, 0]:
        # Beside the panels' titles, above the labels that it names.
        heading = {"fontsize": 9, "color": style.GREY, "ha": "right", "va": "bottom"}
        axes.annotate(
            style.shown(info.heading),
            xy=(0, 1),
            xytext=(-4, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            **heading,
        )
    _draw_legend(figure, info)
    style.add_note(figure, info.note)
    return figure


def _draw_panel(axes: Axes, panel: Panel, info: ErrorsInfo) -> None:
    if panel.span is not None and panel.log:
        axes.set_xscale("log")
        axes.set_xlim(panel.span[0] / 1.3, panel.span[1] * 1.3)
        style.log_ticks(axes.xaxis, panel.span)
    for point in panel.points:
        _draw_point(axes, point, len(info.hues))
    if panel.span is not None and not panel.log:
        _fit(axes, info, panel.label)
    for row in range(1, len(info.rows)):
        axes.axhline(row - 0.5, color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(info.rows)), [style.shown(row) for row in info.rows], fontsize=9)
    axes.set_ylim(len(info.rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(style.shown(style.shortened(panel.title, 36)), fontsize=9)
    axes.set_xlabel(style.shown(style.shortened(panel.label, 36)), fontsize=9)


def _fit(axes: Axes, info: ErrorsInfo, label: str) -> None:
    """The linear scale of all panels with this label, error bars included."""
    ends = [
        end
        for panel in info.panels
        if panel.label == label
        for point in panel.points
        for end in _bar(point.statistic)
    ]
    margin = (max(ends) - min(ends) or abs(max(ends)) or 1.0) * 0.06
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.locator_params(axis="x", nbins=6)


def _bar(statistic: Statistic) -> tuple[float, ...]:
    """What must fit on the scale: the values and both ends of the error bar."""
    if statistic.mean is None:
        return ()
    sd = statistic.sd or 0.0
    return (statistic.mean - sd, statistic.mean + sd, *statistic.values)


def _draw_point(axes: Axes, point: Point, hues: int) -> None:
    y = point.row + (point.hue - (hues - 1) / 2) * 0.8 / hues
    colour, marker = style.COLOURS[point.hue], style.MARKERS[point.hue]
    statistic = point.statistic
    if statistic.mean is None:
        # At the left edge, whatever the scale: there is no value.
        transform = axes.get_yaxis_transform()
        axes.plot([0.015], [y], "x", color=colour, markersize=5, transform=transform)
        return
    low, high = _bar(statistic)[:2]
    if axes.get_xscale() == "log":
        low = max(low, axes.get_xlim()[0])
    axes.plot([low, high], [y, y], "-", color=colour, linewidth=1.4, zorder=2)
    if len(statistic.values) > 1:
        axes.plot(
            statistic.values,
            [y] * len(statistic.values),
            "o",
            color=colour,
            markersize=3.2,
            markerfacecolor="white",
            markeredgewidth=0.8,
            zorder=3,
        )
    axes.plot(
        [statistic.mean], [y], marker, color=colour, markersize=6, markeredgecolor="white", zorder=4
    )


def _draw_legend(figure: Figure, info: ErrorsInfo) -> None:
    from matplotlib.lines import Line2D

    handles, names = [], []
    if info.hue is not None:
        for index, name in enumerate(info.hues):
            colour, marker = style.COLOURS[index], style.MARKERS[index]
            handles.append(Line2D([], [], linestyle="-", color=colour, marker=marker))
            names.append(name)
    if any(p.statistic.mean is None for panel in info.panels for p in panel.points):
        handles.append(Line2D([], [], linestyle="", marker="x", color=style.GREY))
        names.append("no run finished")
    if handles:
        style.add_legend(figure, info.hue, handles, names)


def save_errors_figure(
    table: Table, folder: Path, *, name: str = "errors", units: Mapping[str, str] | None = None
) -> list[Path]:
    """Draw a table's metrics into ``<folder>/<name>.png`` and ``.svg``; the paths written.

    Nothing is written, and no path returned, when no run has finished.
    """
    if not table.metrics:
        return []
    return style.save_figure(errors_figure(errors_info(table, units)), folder / name)
