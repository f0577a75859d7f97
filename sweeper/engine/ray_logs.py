"""What Ray's own logs say of a start that failed: its exception in Python names no cause."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sweeper.engine.scratch import WaveScratch
from sweeper.untrusted import plain_file

__all__ = ["error_line", "telling_line"]

_READ_BYTES = 64 * 1024
_SHOWN = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# In the order in which they tell of a cause: what a server writes as it dies comes first.
_LOGS = ("raylet.err", "gcs_server.err", "raylet.out", "gcs_server.out")
# glog's lines begin "[2026-11-25 22:54:56,785 C 6272 6303]": error, fatal or check.
_SEVERE = re.compile(r"^\[[-\d]+ [\d:,.]+ [EFC] |Check failed|^\S*(?:Error|Exception): ")
_HEAD = re.compile(r"^\[[-\d]+ [\d:,.]+ \w [\d ]+\] *(?:\(\w+\) *)?")


def telling_line(scratch: WaveScratch) -> str:
    """The last line in a wave's logs that names an error, else the wave's own last line.

    Empty where nothing has been written.
    """
    return error_line(scratch) or next(reversed(_lines(scratch.log)), "")[:_SHOWN]


def error_line(scratch: WaveScratch) -> str:
    """The last line in a wave's logs that names an error; empty where there is none."""
    logs = scratch.ray / "session_latest" / "logs"
    for file in (*(logs / name for name in _LOGS), scratch.log):
        severe = [line for line in _lines(file) if _SEVERE.search(line)]
        if severe:
            return _HEAD.sub("", severe[-1])[:_SHOWN]
    return ""


def _lines(file: Path) -> list[str]:
    """The last lines of a log that hold anything."""
    try:
        with open(file, "rb", opener=plain_file) as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _READ_BYTES))
            text = _COLOURS.sub("", log.read().decode(errors="replace"))
    except OSError:
        return []
    return [line for part in text.split("\n") if (line := " ".join(part.split()))]
