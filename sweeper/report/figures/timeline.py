"""The timeline of a sweep: a row per slot, a bar per attempt, and above them each wave's Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sweeper.records import GroupFolder, GroupState, Outcome, read_events
from sweeper.records.state import INTERRUPTED, RUNNING
from sweeper.report.figures import style
from sweeper.report.slot_usage import Bar, Block, Occupancy, occupancy, rarest
from sweeper.units import duration

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

__all__ = ["TimelineInfo", "save_timeline_figure", "thinned", "timeline_figure", "timeline_info"]

WORD_COLOURS = {
    str(Outcome.FINISHED): style.COLOURS[4],
    str(Outcome.DIVERGED): style.COLOURS[1],
    str(Outcome.CRASHED): style.COLOURS[5],
    str(Outcome.TIMED_OUT): style.COLOURS[2],
    str(Outcome.STOPPED): style.COLOURS[0],
    str(Outcome.LOST): style.COLOURS[3],
    INTERRUPTED: style.GREY,
    RUNNING: "#56B4E9",  # the sky blue of the same palette
}
# What a Ray does, in greys, as colours show outcomes.
PHASE_COLOURS = {
    "Ray starts": "#b4b4b4",
    "waits for a slot": "#e6e6e6",
    "trains": "#8ea3b8",
    "shuts down": "#4a4a4a",
}
# In waves of even number, so that one sees where a slot changes over.
PALE_FINISHED = "#66c5ab"

WIDTH_IN = 9.0
AXES_WIDTH_IN = 8.4  # what is about left of it beside the labels of the rows
PIXELS = AXES_WIDTH_IN * 150
FEW_BARS = 2000  # more are pixels in the SVG too
FEW_ROWS = 40  # more have no gaps between them
EDGE_PIXELS = 8  # bars that are this wide on average have room for a white edge
LEGEND_ACROSS = 6
ROW_LABEL_IN = 0.16  # what a number beside a row needs
LETTER_IN = 0.075
ROW_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

_LINE: dict[str, Any] = {"color": "black", "linewidth": 1.0}
_DEATH: dict[str, Any] = {"color": "black", "marker": "X", "markersize": 6}
_WAVE_DEATH: dict[str, Any] = {"color": style.COLOURS[5], "marker": "X", "markersize": 6}


@dataclass(frozen=True)
class TimelineInfo:
    """What the figure shows, in seconds; its axis is in `unit`, of `unit_s` seconds each.

    `bars` are those of `occupancy`, the narrow ones joined; `words` the outcomes that occur.
    """

    title: str
    note: str
    unit: str
    unit_s: float
    occupancy: Occupancy
    bars: tuple[Bar, ...]
    words: tuple[str, ...]


def timeline_info(found: Occupancy) -> TimelineInfo:
    """Gather what `timeline_figure` draws; bars thinner than a pixel are joined."""
    unit, unit_s = _unit(found.span_s)
    bars = thinned(found.bars, found.span_s / PIXELS, found.attempts)
    return TimelineInfo(
        title=_title(found),
        note=_note(found, joined=len(bars) < len(found.bars)),
        unit=unit,
        unit_s=unit_s,
        occupancy=found,
        bars=bars,
        words=tuple(word for word in WORD_COLOURS if found.attempts.get(word)),
    )


def thinned(
    bars: Sequence[Bar], narrowest_s: float, attempts: Mapping[str, int]
) -> tuple[Bar, ...]:
    """`bars`, by row and start, with neighbours joined that are too narrow to be distinguished.

    A joined bar shows the word that is rarest among all `attempts`, so that nothing rare vanishes.
    """
    joined: list[Bar] = []
    for bar in bars:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.row == bar.row
            and max(last.end - last.start, bar.start - last.end, bar.end - bar.start) < narrowest_s
        ):
            joined[-1] = replace(
                last,
                end=bar.end,
                word=rarest((last.word, bar.word), attempts),
                attempts=last.attempts + bar.attempts,
            )
        else:
            joined.append(bar)
    return tuple(joined)


def _unit(span_s: float) -> tuple[str, float]:
    """A unit in which the axis ends somewhere between 2 and 200."""
    units = (("s", 1.0, 200.0), ("min", 60.0, 180.0), ("h", 3600.0, 96.0))
    fitting = (unit for unit in units if span_s < unit[1] * unit[2])
    name, size, _ = next(fitting, ("days", 86400.0, 0.0))
    return name, size


def _title(found: Occupancy) -> str:
    attempts = sum(found.attempts.values())
    launches = len(found.relaunches) + 1
    counts = [
        _count(found.runs, "run"),
        *([_count(attempts, "attempt")] if attempts != found.runs else []),
        _count(len(found.rays), "wave"),
        *([_count(launches, "launch", "launches")] if launches > 1 else []),
    ]
    slots = sum(block.count for block in found.blocks)
    words = f"{', '.join(counts)} on {_count(slots, 'slot')}"
    return f"{words}: busy for {_share(found.busy_s, found)} of the time"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _share(seconds: float, found: Occupancy) -> str:
    return f"{100 * seconds / found.available_s:.1f} %" if found.available_s else "none"


def _note(found: Occupancy, *, joined: bool) -> str:
    parts = [
        f"slot time: {_share(found.busy_s, found)} busy, "
        f"{_share(found.before_s, found)} before a slot's first run, "
        f"{_share(found.between_s, found)} between runs, "
        f"{_share(found.after_s, found)} after its last"
    ]
    if any(_is_pale(bar) for bar in found.bars):
        parts.append("paler: waves of even number")
    if found.relaunches:
        parts.append("pauses without a launch are cut out")
    if joined:
        parts.append("runs narrower than a pixel are joined and show their rarest outcome")
    return "; ".join(parts)


@style.own_settings()
def timeline_figure(info: TimelineInfo) -> Figure:
    """Draw the timeline. The cost is bounded by the pixels, not by the number of runs."""
    from matplotlib.figure import Figure

    found = info.occupancy
    lanes = max((ray.lane + 1 for ray in found.rays), default=1)
    rows = max(sum(block.count for block in found.blocks), 1)
    heights = 0.22 * min(lanes, 6), min(max(0.26 * rows, 0.5 * len(found.blocks), 0.5), 5.5)
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 1.75), layout="constrained")
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.0}
    )
    _draw_rays(above, info, lanes)
    _draw_slots(below, info, rows)
    _label_rows(below, found.blocks, row_in=heights[1] / rows)
    _draw_relaunches(above, below, info)
    below.set_xlim(0, max(found.span_s / info.unit_s, 1e-9))
    below.set_xlabel(f"time since the first launch ({info.unit})", fontsize=9)
    for axes in (above, below):
        axes.tick_params(labelsize=8, length=0)
        axes.spines[:].set_visible(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    above.tick_params(axis="x", labelbottom=False)
    _draw_legend(figure, info)
    style.add_note(figure, info.note)
    return figure


def _draw_rays(axes: Axes, info: TimelineInfo, lanes: int) -> None:
    rays = info.occupancy.rays
    for colour, (begin, end) in zip(
        PHASE_COLOURS.values(), pairwise(("start", "ready", "began", "over", "end")), strict=True
    ):
        spans = [(getattr(ray, begin), getattr(ray, end), ray.lane) for ray in rays]
        axes.add_collection(_boxes(info, spans, [colour] * len(spans), height=0.8))
    point_s = info.occupancy.span_s / (AXES_WIDTH_IN * 72)
    digits = max((len(str(ray.number)) for ray in rays), default=1)
    for ray in rays:
        room = (ray.over - ray.began) / point_s if point_s else 0.0
        for text in (f"wave {ray.number}", str(ray.number)):
            # All or none of alike waves, so the longest number must fit.
            if 4.5 * (len(text) - len(str(ray.number)) + digits) + 3 < room:
                middle = (ray.began + ray.over) / 2 / info.unit_s
                axes.text(middle, ray.lane, text, fontsize=7, ha="center", va="center_baseline")
                break
        if ray.died:
            axes.plot([ray.end / info.unit_s], [ray.lane], **_WAVE_DEATH, clip_on=False)
    axes.set_ylim(lanes - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_ylabel("Ray", fontsize=9)


def _draw_slots(axes: Axes, info: TimelineInfo, rows: int) -> None:
    # The rarest last, so that no neighbour's edge hides them.
    attempts = info.occupancy.attempts
    bars = sorted(info.bars, key=lambda bar: -attempts.get(bar.word, 0))
    pixel_s = info.occupancy.span_s / PIXELS
    spans = [(bar.start, max(bar.end, bar.start + pixel_s), bar.row) for bar in bars]
    edged = bool(bars) and fmean(bar.end - bar.start for bar in bars) > EDGE_PIXELS * pixel_s
    axes.add_collection(
        _boxes(
            info,
            spans,
            [_colour(bar) for bar in bars],
            height=0.8 if rows <= FEW_ROWS else 1.0,
            linewidth=0.6 if edged else 0.0,
            edgecolor="white",
            rasterized=len(bars) > FEW_BARS,
        )
    )
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_ylabel("slot", fontsize=9)


def _boxes(
    info: TimelineInfo,
    spans: Sequence[tuple[float, float, int]],
    colours: Sequence[str],
    *,
    height: float,
    **options: Any,
) -> PolyCollection:
    """Boxes from start to end (seconds) in rows, as one artist."""
    import numpy as np
    from matplotlib.collections import PolyCollection

    start, end, row = np.array(spans, dtype=float).reshape(-1, 3).T
    left, right = start / info.unit_s, end / info.unit_s
    top, bottom = row - height / 2, row + height / 2
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1)
    options = {"linewidth": 0.0, **options}
    boxes: Any = corners.reshape(-1, 4, 2)  # which is faster than a list of boxes
    return PolyCollection(boxes, facecolors=colours, **options)


def _colour(bar: Bar) -> str:
    return PALE_FINISHED if _is_pale(bar) else WORD_COLOURS[bar.word]


def _is_pale(bar: Bar) -> bool:
    return bar.word == Outcome.FINISHED and bar.wave is not None and bar.wave % 2 == 0


def _label_rows(axes: Axes, blocks: Sequence[Block], row_in: float) -> None:
    """The numbers of the slots, in rows `row_in` inches high; of several blocks the hosts too."""
    step = next((step for step in ROW_STEPS if step * row_in >= ROW_LABEL_IN), ROW_STEPS[-1])
    places = [
        (block.first + slot, slot) for block in blocks for slot in range(0, block.count, step)
    ]
    axes.set_yticks([place for place, _ in places], [str(slot) for _, slot in places])
    if len(blocks) < 2:
        return
    for block in blocks:
        axes.axhline(block.first - 0.5, color=style.GREY, linewidth=0.8)
        letters = max(int(block.count * row_in / LETTER_IN), 3)
        axes.annotate(
            style.shown(style.shortened(", ".join(block.hosts), letters)),
            xy=(1.0, block.first + (block.count - 1) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            rotation=90,
            fontsize=8,
            va="center",
        )


def _draw_relaunches(above: Axes, below: Axes, info: TimelineInfo) -> None:
    """A line per relaunch, and how long the pause was where there is room to say so."""
    room_s = info.occupancy.span_s * 0.13
    told_s = -room_s
    for mark in info.occupancy.relaunches:
        place = mark.at / info.unit_s
        for axes in (above, below):
            axes.axvline(place, **_LINE)
        if mark.earlier == "died":
            edge = above.get_xaxis_transform()
            above.plot([place], [1.0], **_DEATH, clip_on=False, transform=edge)
        if mark.pause_s and mark.at - told_s >= room_s:
            told_s = mark.at
            above.annotate(
                f"pause of {duration(mark.pause_s)}",
                xy=(place, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 5),
                textcoords="offset points",
                fontsize=7,
                ha="center",
            )


def _draw_legend(figure: Figure, info: TimelineInfo) -> None:
    """The legend, row by row, under the title."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = info.occupancy
    entries: list[tuple[str, Artist]] = [
        (name, Patch(color=colour)) for name, colour in PHASE_COLOURS.items()
    ]
    entries += [
        (f"{word} ({found.attempts[word]:,})", Patch(color=WORD_COLOURS[word]))
        for word in info.words
    ]
    if any(ray.died for ray in found.rays):
        entries.append(("wave died", Line2D([], [], linestyle="", **_WAVE_DEATH)))
    if found.relaunches:
        entries.append(("launched again", Line2D([], [], **_LINE)))
    if any(mark.earlier == "died" for mark in found.relaunches):
        entries.append(("supervisor died", Line2D([], [], linestyle="", **_DEATH)))
    across = min(len(entries), LEGEND_ACROSS)
    # The legend fills its columns one after the other.
    entries = [entry for column in range(across) for entry in entries[column::across]]
    figure.legend(
        [handle for _, handle in entries],
        [name for name, _ in entries],
        title=info.title,
        loc="outside upper center",
        ncols=across,
        frameon=False,
        fontsize=8,
        title_fontsize=10,
        handlelength=1.4,
    )


def save_timeline_figure(
    folder: GroupFolder, state: GroupState | None = None, *, name: str = "timeline"
) -> list[Path]:
    """Draw a group's timeline into ``<results folder>/<name>.png`` and ``.svg``; the paths written.

    `state` is the fold of its journal, if at hand. Nothing is written, and no path returned, when
    no run has started.
    """
    found = occupancy(read_events(folder.journal_dir), state)
    if not found.bars:
        return []
    return style.save_figure(timeline_figure(timeline_info(found)), folder.results_dir / name)
