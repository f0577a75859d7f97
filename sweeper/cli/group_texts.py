"""What the commands over groups and single runs print for people."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.cli.columns import grid, rendered
from sweeper.report.format import earlier_runs
from sweeper.suggest import counted
from sweeper.units import size

__all__ = ["ago", "counts_text", "holder", "list_text", "merge_text", "moment"]

_DAY_S = 86400.0


def ago(seconds: float) -> str:
    """How long ago something was, in one unit: ``3 h ago``; a clock ahead of ours counts as now."""
    for unit_s, name in ((_DAY_S, "day"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit_s:
            number = int(seconds // unit_s)
            return f"{counted(number, name) if name == 'day' else f'{number} {name}'} ago"
    return "just now"


def moment(unix_time: float) -> str:
    """A unix time as the clock of this host shows it, to the minute."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_time))
    except (OverflowError, ValueError, OSError):  # a damaged journal may hold any time
        return "unknown"


def counts_text(counts: Mapping[str, int]) -> str:
    """``6 finished, 2 diverged``."""
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def holder(held: Mapping[str, Any]) -> str:
    """Who runs a group: ``host node7, process 17, job 5, shard 1/2, since 2026-01-02 10:00``."""
    parts = [f"host {held['host']}", f"process {held['pid']}"]
    parts += [f"{word} {held[word]}" for word in ("job", "shard") if held[word]]
    parts += [f"since {moment(held['since'])}"] if held["since"] else []
    parts += ["can't tell whether it lives"] if held["lives"] is None else []
    return ", ".join(parts)


def list_text(answer: Mapping[str, Any], *, now: float) -> str:
    """The answer of `sweep list`."""
    rows = [_row(group, now) for group in answer["groups"]]
    heads = ("group", "runs", "outcomes", "last activity", "size", "user")
    parts: list[Any] = [grid(rows, heads)] if rows else [f"{answer['runs_dir']} holds no groups"]
    for group in answer["groups"]:
        parts += [f"{group['group']}: run by {holder(it)}" for it in group["held_by"]]
        parts += [f"{group['group']}: {group['problem']}"] if group["problem"] else []
        parts += [f"{group['group']}: note: {group['note']}"] if group.get("note") else []
    if answer["others"]:
        parts.append(f"no groups of runs: {_few(answer['others'])}")
    if any(not group["size_is_exact"] for group in answer["groups"]):
        parts.append("~ estimated from some of the runs; exact with --sizes")
    return rendered(*parts)


def _row(group: Mapping[str, Any], now: float) -> tuple[str, ...]:
    last, damaged = group["last_time"], group["damaged_lines"]
    outcomes = [counts_text(group["counts"])]
    outcomes += [earlier_runs(group["earlier"])] if group["earlier"] else []
    outcomes += [counted(damaged, "damaged line")] if damaged else []
    return (
        group["group"],
        str(group["total"]) if not group["problem"] else "?",
        "; ".join(part for part in outcomes if part),
        f"{ago(now - last)} ({moment(last)})" if last else "never",
        ("" if group["size_is_exact"] else "~") + size(group["size_bytes"]),
        group["user"] or "",
    )


def _few(names: Sequence[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f", … ({more} more)" if more > 0 else "")


def merge_text(answer: Mapping[str, Any]) -> str:
    """The answer of `sweep merge`."""
    rows = [
        (place["path"], counted(place["total"], "run"), counts_text(place["counts"]))
        for place in answer["places"]
    ]
    would = "would be " if answer["dry_run"] else ""
    return rendered(
        "before:",
        grid([(f"  {path}", *rest) for path, *rest in rows]),
        f"{answer['target']} {'would then have' if would else 'now has'} "
        f"{counted(answer['total'], 'run')}: {counts_text(answer['counts'])}",
        f"{counted(len(answer['journal_files']), 'journal file')} and "
        f"{counted(len(answer['copied']), 'run folder')} {would}copied, "
        f"{counted(len(answer['replaced']), 'run folder')} {would}replaced",
    )
