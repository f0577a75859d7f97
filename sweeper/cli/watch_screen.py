"""What `sweep watch` draws: a pure function of what is known, where the reader is, and the size."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size

from sweeper.report.format import axis_words, run_words, significant
from sweeper.suggest import counted
from sweeper.units import duration, size
from sweeper.untrusted import printable

__all__ = ["Reader", "choices", "entries", "screen"]

_KEYS = "q quit  j/k move  o outcome  enter log"
_LOG_KEYS = "esc back  q quit"
_GOOD = "finished"


@dataclass(frozen=True)
class Reader:
    """Where the reader is: the place in the list, its outcome (None: all), and the open log."""

    place: int = 0
    outcome: str | None = None
    log: tuple[str, ...] | None = None


def choices(seen: Mapping[str, Any]) -> list[str | None]:
    """What the list can be limited to: nothing, then each standing that any run has."""
    standings = {"running": len(seen["running"])} if seen["running"] else {}
    for run in seen["ended"]:
        standings[run["outcome"]] = standings.get(run["outcome"], 0) + 1
    return [None, *standings]


def entries(seen: Mapping[str, Any], outcome: str | None) -> list[Mapping[str, Any]]:
    """The runs of the list: those that run, then those that ended badly, the last first."""
    in_order = sorted(seen["running"], key=lambda run: (run["host"] or "", run["slot"] or 0))
    running = [{**run, "outcome": "running"} for run in in_order]
    if outcome is None:
        return [*running, *(run for run in seen["ended"] if run["outcome"] != _GOOD)]
    return [run for run in [*running, *seen["ended"]] if run["outcome"] == outcome]


def screen(
    seen: Mapping[str, Any], reader: Reader, width: int, height: int | None = None
) -> list[str]:
    """The lines of the screen, none wider than `width` and at most `height` of them (None: all)."""
    head = [*_head(seen, width), ""]
    runs = entries(seen, reader.outcome)
    if height is None:
        return [_cut(line, width) for line in [*head, *_rows(seen, runs, None)]]
    foot = _LOG_KEYS if reader.log is not None else _KEYS
    room = max(height - len(head) - 1, 1)
    if reader.log is not None:
        body = list(reader.log[-room:])
    else:
        place = min(reader.place, max(len(runs) - 1, 0))
        first = max(0, min(place - room // 2, len(runs) - room))
        body = _rows(seen, runs, place)[first : first + room]
    lines = [*head, *body][: height - 1]
    lines += [""] * (height - 1 - len(lines))
    shown = f"showing {reader.outcome or 'running and failed'}"
    return [_cut(line, width) for line in [*lines, f"{foot}  ({shown})"]]


def _head(seen: Mapping[str, Any], width: int) -> list[str]:
    counts = {word: count for word, count in seen["counts"].items() if count}
    done = counts.pop(_GOOD, 0)
    rest = ", ".join(f"{count} {word}" for word, count in counts.items())
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seen["at"]))
    lines = [f"{at}  {seen['group']}: {done} of {seen['total']} finished; {rest}".rstrip("; ")]
    over = seen["total"] - counts.get("running", 0) - counts.get("waiting", 0)
    bar = max(min(width - 50, 60), 10)
    filled = bar * over // max(seen["total"], 1)
    left = seen["eta_s"]
    eta = "" if left is None else f"  about {duration(left)} left{_range(seen['eta_range_s'])}"
    lines.append(f"{'█' * filled}{'░' * (bar - filled)}{eta}")
    lines += [_launch(launch) for launch in seen["launches"]] or [_over(seen["launch"])]
    facts = _facts(seen)
    return [*lines, *([facts] if facts else [])]


def _range(interval: Sequence[float] | None) -> str:
    """The uncertainty of the time left, where it is more than nothing."""
    if interval is None or duration(interval[0]) == duration(interval[1]):
        return ""
    return f" ({duration(interval[0])} to {duration(interval[1])})"


def _launch(launch: Mapping[str, Any]) -> str:
    words = [f"launch {launch['id']}", f"host {launch['host']}", f"process {launch['pid']}"]
    words += [f"job {launch['job']}"] if launch["job"] else []
    words += [f"shard {launch['shard']}"] if launch["shard"] else []
    words.append(counted(launch["slots"] or 0, "slot"))
    words += ["asked to stop"] if launch["asked_to_stop"] else []
    words += [] if launch["alive"] else ["can't tell whether it lives"]
    return ", ".join(words)


def _over(launch: Mapping[str, Any] | None) -> str:
    if launch is None:
        return "no launch"
    message = f": {launch['message']}" if launch["message"] else ""
    return f"no launch works now; the last one: {launch['reason'] or 'died'}{message}"


def _facts(seen: Mapping[str, Any]) -> str:
    memory, scratch = seen["memory"], seen["scratch_peak_bytes"]
    parts = []
    if memory["peak_bytes"]:
        limit = f" of {size(memory['limit_bytes'])}" if memory["limit_bytes"] else ""
        parts.append(f"memory of a run: up to {size(memory['peak_bytes'])}{limit}")
    if scratch:
        parts.append(f"scratch: up to {size(scratch)}")
    return "  ".join(parts)


def _rows(
    seen: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], place: int | None
) -> list[str]:
    """A line for each run in columns; the one at `place` is marked."""
    cells = [_cells(seen, run) for run in runs]
    widths = [max((cell_len(row[i]) for row in cells), default=0) for i in range(4)]
    lines = []
    for index, row in enumerate(cells):
        mark = "" if place is None else "> " if index == place else "  "
        columns = [set_cell_size(cell, wide) for cell, wide in zip(row, widths, strict=False)]
        lines.append(mark + "  ".join([*(it for it in columns if it), row[4]]).rstrip())
    return lines


def _cells(seen: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    words = axis_words(run["axis_values"])
    called = run_words(run["id"], run["name"])
    if run["outcome"] == "running":
        slot = "running" if run["slot"] is None else f"slot {run['slot']}"
        step = "" if run["step"] is None else f"step {run['step']}"
        step += "" if run["fraction"] is None else f" {run['fraction']:.0%}"
        speed = "" if run["steps_per_s"] is None else f"{significant(run['steps_per_s'])}/s "
        loss = "" if run["loss"] is None else f"loss {significant(run['loss'])}"
        return slot, called, step.strip(), speed + loss, words
    ago = max(seen["at"] - (run["ended"] or seen["at"]), 0.0)
    cause = f"{run['cause']}  " if run["cause"] else ""
    return run["outcome"], called, f"{duration(ago)} ago", "", cause + words


def _cut(line: str, width: int) -> str:
    line = printable(line)
    return line if cell_len(line) <= width else set_cell_size(line, max(width - 1, 0)) + "…"
