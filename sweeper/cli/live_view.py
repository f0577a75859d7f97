"""What a launch shows while it runs: a live view in a terminal, a line per event elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from sweeper.records.code import edited_text
from sweeper.records.events import (
    Ended,
    Evaluated,
    EvaluationStarted,
    Event,
    HeldBack,
    SourcesChanged,
    Started,
    WaveEnded,
    WaveStarted,
)
from sweeper.records.origins import LOADING_S
from sweeper.records.outcomes import Outcome
from sweeper.report.format import axis_words
from sweeper.suggest import counted
from sweeper.units import duration, size
from sweeper.untrusted import printable

if TYPE_CHECKING:
    from sweeper.launch.work import Prepared, View

__all__ = ["LineView", "LiveView", "describe_event", "run_labels", "view_for"]

_LIVE_REFRESH_S = 0.5
_RECENT = 6
_STYLES = {
    Outcome.FINISHED: "green",
    Outcome.DIVERGED: "yellow",
    Outcome.CRASHED: "red",
    Outcome.TIMED_OUT: "red",
    Outcome.LOST: "magenta",
    Outcome.STOPPED: "cyan",
    Outcome.INVALID: "yellow",
}


def view_for(
    stream: TextIO,
    *,
    total: int,
    names: Mapping[str, str],
    headline: str,
    status: Callable[[], Mapping[str, Any]],
) -> View:
    """The view that fits `stream`: live in a terminal, else a line per event.

    `total` counts the runs to train, `names` gives a run's axis values, `headline` the metric to
    show with each end, `status` reads the records (for fractions and the time left).
    """
    if stream.isatty():
        return LiveView(Console(file=stream), total, names, headline, status)
    return LineView(stream, total, names, headline)


def run_labels(prepared: Prepared) -> dict[str, str]:
    """What distinguishes the planned runs for people: names, where they have one, and axis values.

    The names are those that the sweep file gives, else those in the records.
    """
    sweep = getattr(prepared.work, "sweep", None)
    names = sweep.names if sweep is not None else None
    labels = {}
    for spec in (planned.spec for pack in prepared.plan.packs for planned in pack.runs):
        known = prepared.state.runs.get(spec.id)
        name = names.of(spec.axis_values) if names else known.name if known else None
        words = axis_words(spec.axis_values)
        labels[spec.id] = f"({name})  {words}" if name else words
    return labels


def describe_event(event: Event, names: Mapping[str, str], headline: str) -> str | None:
    """One line for an event, or None for one that isn't shown."""
    match event:
        case Started() | EvaluationStarted():
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            return f"started   {event.run}{again}  {names.get(event.run, '')}".rstrip()
        case Ended() | Evaluated():
            return _describe_end(event, names, headline)
        case HeldBack():
            return _describe_held(event)
        case WaveStarted():
            runs, slots = counted(event.runs or 0, "run"), counted(event.slots or 0, "slot")
            return f"wave {event.wave}: {runs} on {slots}"
        case WaveEnded():
            peak = size(event.scratch_peak_bytes or 0)
            outside = (event.startup_s or 0.0) + (event.shutdown_s or 0.0)
            return (
                f"wave {event.wave} ended ({event.reason}): {event.training_s or 0.0:.1f} s of "
                f"training, {outside:.1f} s of start and stop, scratch peak {peak}"
            )
        case SourcesChanged():
            return _describe_edit(event)
        case _:
            return None


def _describe_held(event: HeldBack) -> str:
    if event.released:
        return f"go on    runs with {event.where}: one has finished"
    return f"hold back runs with {event.where}: {event.reason}"


def _describe_edit(event: SourcesChanged) -> str:
    moment = time.time() if event.unchanged_until is None else event.unchanged_until
    return f"warning: {edited_text(event.files, moment - LOADING_S)}"


def _describe_end(event: Ended | Evaluated, names: Mapping[str, str], headline: str) -> str:
    parts = [f"{event.outcome:<9} {event.run}", names.get(event.run, "")]
    value = event.metrics.get(headline)
    if event.outcome is Outcome.FINISHED and value is not None:
        parts.append(f"{headline} {value:.4g}")
    if event.cause:
        parts.append(event.cause.headline())
    if event.wall_s is not None:
        parts.append(f"{event.wall_s:.1f} s")
    return "  ".join(part for part in parts if part)


class LineView:
    """A line per event, each with the time and the progress of the launch."""

    def __init__(self, stream: TextIO, total: int, names: Mapping[str, str], headline: str) -> None:
        self._stream = stream
        self._total = total
        self._names = names
        self._headline = headline
        self._ended: set[str] = set()

    def observe(self, event: Event) -> None:
        if isinstance(event, Ended | Evaluated):
            self._ended.add(event.run)
        text = describe_event(event, self._names, self._headline)
        if text:
            now = time.strftime("%H:%M:%S")
            done = f"{len(self._ended):>{len(str(self._total))}}/{self._total}"
            print(
                f"{now} {done} {printable(text)}",
                file=self._stream,
                flush=True,
            )

    def tick(self) -> None:
        """Shows nothing between events."""

    def close(self) -> None:
        self._stream.flush()


class LiveView:
    """A bar, the counts, the running runs and the last ends, redrawn in place."""

    def __init__(
        self,
        console: Console,
        total: int,
        names: Mapping[str, str],
        headline: str,
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._names = names
        self._headline = headline
        self._status = status
        self._outcomes: dict[str, Outcome] = {}
        self._recent: deque[Text] = deque(maxlen=_RECENT)
        self._warning: list[Text] = []
        self._bar = Progress(
            TextColumn("runs"), BarColumn(bar_width=40), MofNCompleteColumn(), console=console
        )
        self._task: TaskID = self._bar.add_task("runs", total=total)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._next_draw = 0.0
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def observe(self, event: Event) -> None:
        if isinstance(event, Ended | Evaluated):
            self._outcomes[event.run] = event.outcome
            style = _STYLES.get(event.outcome, "")
            text = printable(_describe_end(event, self._names, self._headline))
            self._recent.append(Text(text, style=style, overflow="ellipsis", no_wrap=True))
        elif isinstance(event, HeldBack):
            text = printable(_describe_held(event))
            self._recent.append(Text(text, style="yellow", overflow="ellipsis", no_wrap=True))
        if isinstance(event, SourcesChanged):
            self._warning = [Text(printable(_describe_edit(event)), style="yellow")]

    def tick(self) -> None:
        began = time.monotonic()
        if began >= self._next_draw:
            self._live.update(self._draw(), refresh=True)
            ended = time.monotonic()
            # Reading a large journal takes long; the view may cost at most a twentieth of the time.
            self._next_draw = ended + max(_LIVE_REFRESH_S, 20 * (ended - began))

    def _draw(self) -> Group:
        status = self._status()
        self._bar.update(self._task, completed=len(self._outcomes))
        counts = Counter(self._outcomes.values())
        left = status.get("eta_s")
        summary = Text("  ".join(f"{n} {word}" for word, n in counts.items()))
        if left is not None:
            summary.append(f"   about {duration(left)} left", style="dim")
        return Group(self._bar, summary, *self._warning, self._running(status), *self._recent)

    def _running(self, status: Mapping[str, Any]) -> Table:
        table = Table.grid(padding=(0, 2))
        for run in status.get("running", []):
            fraction = run.get("fraction")
            table.add_row(
                run["id"],
                "" if fraction is None else f"{fraction:4.0%}",
                Text(self._names.get(run["id"], ""), overflow="ellipsis", no_wrap=True),
            )
        return table
