"""The metrics of one run, step by step: ``metrics.jsonl`` in its folder.

One JSON object per logged step: ``step``, ``time`` (seconds since the run began) and a number per
metric; numbers that are not finite are the words ``"nan"``, ``"inf"``, ``"-inf"`` on disk.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.records import json_fields as read
from sweeper.records.jsonl import append_bytes, encode, naming, number, parse, read_lines
from sweeper.records.layout import read_json
from sweeper.records.permissions import file_mode
from sweeper.untrusted import plain_file

__all__ = [
    "Progress",
    "append_rows",
    "first_bad_loss",
    "last_values",
    "read_progress",
    "read_rows",
    "tail_rows",
]

Row = dict[str, float]


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows in one write, without fsync: they outlive the process, not a power cut.

    The file must have no other writer at the time. A torn last line, left by an attempt that was
    killed, is closed first. Raises OSError, and then has appended nothing.
    """
    lines = [encode(row) for row in rows]
    if not lines:
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, file_mode(path))
    try:
        with naming(path):
            append_bytes(descriptor, lines, durable=False)
    finally:
        os.close(descriptor)


def read_rows(path: Path) -> list[Row]:
    """Every row in the order of the file; torn lines and what is no number are left out."""
    try:
        return [_numbers(item) for item in read_lines(path)[0]]
    except OSError:  # something else of that name
        return []


def last_values(path: Path, *, within_bytes: int = 1 << 18) -> Row:
    """The last value of each metric, with the last `step` and `time`, read from the file's end.

    Reads at most `within_bytes`, so its cost doesn't grow with the file; a metric that was last
    logged before that (some thousand rows at the default of 256 KiB) is missing.
    """
    try:
        with open(path, "rb", opener=plain_file) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - within_bytes, 0)
            file.seek(start)
            data = file.read()
    except OSError:  # not there, or something else of that name
        return {}
    if start:
        # The first line is most likely cut.
        data = data.partition(b"\n")[2]
    values: Row = {}
    for item in parse(data)[0]:
        values.update(_numbers(item))
    return values


def tail_rows(path: Path, *, within_bytes: int = 1 << 14) -> list[Row]:
    """The last whole rows of a file, as many as are within so many bytes of its end."""
    try:
        with open(path, "rb", opener=plain_file) as file:
            start = max(file.seek(0, os.SEEK_END) - within_bytes, 0)
            file.seek(start)
            data = file.read()
    except OSError:  # not there, or something else of that name
        return []
    if start:
        data = data.partition(b"\n")[2]
    return [_numbers(item) for item in parse(data)[0]]


def first_bad_loss(path: Path) -> Row | None:
    """The first row whose ``loss`` isn't finite; None where there is none."""
    try:
        with open(path, "rb", opener=plain_file) as file:
            for line in file:
                if b'"loss":"' not in line:  # such numbers are words, see above
                    continue
                for item in parse(line)[0]:
                    row = _numbers(item)
                    if not math.isfinite(row.get("loss", 0.0)):
                        return row
    except OSError:
        return None
    return None


@dataclass(frozen=True)
class Progress:
    """How far a run is: `fraction` in [0, 1], `step`, and when it said so (unix time).

    `restored_step` is that of the checkpoint that it went on from.
    """

    fraction: float | None
    step: int | None
    time: float | None
    restored_step: int | None = None


def read_progress(path: Path) -> Progress:
    """What ``progress.json`` says; each part None if it isn't there (yet)."""
    data = read_json(path) or {}
    fraction = read.real(data, "fraction")
    return Progress(
        None if fraction is None else min(max(fraction, 0.0), 1.0),
        read.integer(data, "step"),
        read.real(data, "time"),
        read.integer(data, "restored_step"),
    )


def _numbers(item: Mapping[str, Any]) -> Row:
    row = {name: number(value) for name, value in item.items()}
    return {name: value for name, value in row.items() if value is not None}
