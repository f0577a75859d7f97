"""Durations and sizes: read from text, and written as text."""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["GIB", "MIB", "duration", "duration_s", "size", "size_bytes"]

_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}

# Single letters count by 1024, as Slurm's do; `GB` and `GiB` are what the standards say.
_BYTES = {"b": 1} | {
    unit: size
    for power, letter in enumerate("kmgt", start=1)
    for unit, size in (
        (letter, 1024**power),
        (f"{letter}ib", 1024**power),
        (f"{letter}b", 1000**power),
    )
}


_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]+)\s*")


def duration_s(text: str) -> float:
    """Seconds of a duration: `90 s`, `10 min`, `2 h`, `1 h 30 min`, `1.5 d`. Raises ValueError."""
    return _sum_of(text, _SECONDS)


def size_bytes(text: str) -> int:
    """Bytes of a size: `2 GB` (10⁹), `2 GiB` or `2G` (2³⁰), `512 MB`. Raises ValueError."""
    return round(_sum_of(text, _BYTES, parts=1))


def _sum_of(text: str, units: dict[str, Any], parts: int = 4) -> float:
    total, position, text = 0.0, 0, text.lower()
    while position < len(text) and parts:
        found = _PART.match(text, position)
        if found is None or found[2] not in units:
            break
        total += float(found[1]) * units[found[2]]
        position, parts = found.end(), parts - 1
    if position == 0 or position < len(text):
        raise ValueError(f"expected numbers with units, got {text!r}")
    return total


MIB = 1024**2

GIB = 1024**3


def size(count: int) -> str:
    """Bytes for people, in the units of 1024 that memory and disks count in: ``1.5 GiB``."""
    for unit, name in ((1024**4, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if count >= unit:
            value = count / unit
            return f"{value:.1f} {name}" if value < 10 and count % unit else f"{value:.0f} {name}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """``95`` → ``1 min 35 s``: two units at most."""
    if not math.isfinite(seconds):
        return "unknown"  # a damaged journal may hold any time
    whole = round(seconds)
    for size, unit, small, small_unit in ((3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"
