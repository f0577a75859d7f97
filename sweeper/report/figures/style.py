"""What all figures share: colours, units, scales, and how they become files."""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.records import make_folder, write_atomically
from sweeper.records.parameters import AxisColumn
from sweeper.report.format import NOTHING, column_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DASHES",
    "GREY",
    "MARKERS",
    "add_legend",
    "add_note",
    "axis_label",
    "first_axis",
    "log_ticks",
    "own_settings",
    "row_label",
    "save_figure",
    "shortened",
    "shown",
    "spans_decades",
    "unit_of",
]

# Okabe and Ito (2008), distinguished by the colour-blind; the order alternates dark and light, and
# markers and dashes repeat it for print in grey.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#D55E00")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
)
GREY = "#777777"

LONGEST_LABEL = 44

# By how names of metrics end, where no unit is given.
UNITS = {"percent": "%", "_pct": "%", "_deg": "°", "_rad": "rad", "_s": "s", "_bytes": "bytes"}


def unit_of(metric: str, units: Mapping[str, str]) -> str | None:
    """The unit of a metric: from `units` by name or pattern, else by how its name ends."""
    for pattern, unit in units.items():
        if metric == pattern or fnmatchcase(metric, pattern):
            return unit
    return next((unit for ending, unit in UNITS.items() if metric.endswith(ending)), None)


def axis_label(name: str, unit: str | None) -> str:
    return f"{name} ({unit})" if unit else name


def first_axis(
    axes: Iterable[AxisColumn], points: Sequence[Mapping[str, Any]], most: int = len(COLOURS)
) -> AxisColumn | None:
    """The first parameter with two to `most` values, by default as many as there are colours."""
    for axis in axes:
        write = texts(axis, points)
        if 2 <= len({write(point) for point in points}) <= most:
            return axis
    return None


def texts(
    axis: AxisColumn, points: Sequence[Mapping[str, Any]]
) -> Callable[[Mapping[str, Any]], str]:
    """How the values of a parameter are written, so that no two of these points look the same."""
    write = column_text(point.get(axis.key, NOTHING) for point in points)
    return lambda point: write(point.get(axis.key, NOTHING))


def row_label(parts: Sequence[str]) -> str:
    """Values side by side, or one below the other where that gets too long."""
    one = " · ".join(parts)
    return one if len(one) <= LONGEST_LABEL else " ·\n".join(shortened(part) for part in parts)


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """A long text without its middle: values mostly differ at their ends."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def shown(text: str) -> str:
    """Users' text as matplotlib may draw it: no formula by accident, always in a legend."""
    # A leading underscore would take a label out of the legend.
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def add_note(figure: Figure, note: str) -> None:
    """A small note below everything, in as many lines as it needs."""
    if note:
        lines = textwrap.wrap(note, int(figure.get_size_inches()[0] * 15))
        figure.supxlabel(shown("\n".join(lines)), fontsize=8, color=GREY)


def add_legend(
    figure: Figure, title: str | None, handles: Sequence[Artist], names: Sequence[str]
) -> None:
    """A legend above everything, in rows that fit the width."""
    across = max(int(figure.get_size_inches()[0] * 12 / (max(map(len, names)) + 6)), 1)
    figure.legend(
        handles,
        [shown(shortened(name)) for name in names],
        title=title,
        loc="outside upper center",
        ncols=min(across, len(names)),
        frameon=False,
        fontsize=9,
        title_fontsize=9,
    )


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows these numbers better: positive, over more than a decade."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 10


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis as plain numbers, few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    decades = max(values) / min(values)
    subs = (1.0, 2.0, 5.0) if decades < 300 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=8 if decades < 300 else 6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """matplotlib as it comes, whatever matplotlibrc and MPLBACKEND say; also a decorator.

    A paper's style file may want LaTeX, and a notebook's backend isn't there outside of it: either
    would fail when a figure is drawn or already when matplotlib is imported.
    """
    theirs = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib as mpl
    finally:
        del os.environ["MPLBACKEND"]
        if theirs is not None:
            os.environ["MPLBACKEND"] = theirs
    with mpl.rc_context():
        mpl.rcdefaults()
        yield


@own_settings()
def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write the figure as ``<path>.png`` and ``<path>.svg`` (whole or not at all); the paths."""
    import matplotlib as mpl

    make_folder(path.parent)
    files = []
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": path.name}):
        # A group named in a script that the font lacks is drawn as boxes; the warning is no help.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # Log axes look at the far ends of a range of 1e-200; what they find isn't drawn.
        warnings.filterwarnings("ignore", message="overflow encountered", category=RuntimeWarning)
        for suffix, options in ((".png", {"dpi": 150}), (".svg", {"metadata": {"Date": None}})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], **options)
            file = path.with_name(path.name + suffix)
            write_atomically(file, buffer.getvalue())
            files.append(file)
    return files
