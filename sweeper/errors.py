"""Every error that sweeper raises on purpose.

SweeperError                 a message for the user: no traceback, exit status 2
├── ConfigError              a sweep file with errors, all of them (`.problems`)
├── TrainerError             a trainer that can't be imported or doesn't keep the contract
├── RecordError              a run, group or file that isn't there or can't be read
├── HostError                the host can't run the sweep: no disk space, no memory, limits too low
└── BusyError                somebody else runs this group right now
    └── ClaimLostError       somebody else has taken over from this launch

Diverged                     raised by trainings: a loss that isn't finite (data, not an error)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BusyError",
    "ClaimLostError",
    "ConfigError",
    "Diverged",
    "HostError",
    "Mark",
    "Problem",
    "RecordError",
    "SweeperError",
    "TrainerError",
]


# A caret under column 4,000 of a one-line file is useless: longer lines are cut around the place.
_LINE_WIDTH = 100


@dataclass(frozen=True)
class Mark:
    """A place in a file, counted from 1; line 0 is the file as a whole.

    `argument` is the text of a command line's argument if the place is in that one instead.
    """

    line: int = 0
    col: int = 0
    argument: str = ""


@dataclass(frozen=True)
class Problem:
    """One error (or warning) in a file, with the line that it is in.

    `line` and `col` count from 1; line 0 means the file as a whole. `file` is empty for data
    that doesn't come from a file, and the name of an option if `in_argument`.
    """

    file: str
    line: int
    col: int
    message: str
    source_line: str = ""
    severity: Literal["error", "warning"] = "error"
    in_argument: bool = False

    def render(self) -> str:
        """`file:line:col: message`, then the line and a caret below the place."""
        place = [self.file] if self.file else []
        if self.line and not self.in_argument:
            place += [str(self.line), str(self.col)]
        warning = "warning: " if self.severity == "warning" else ""
        first = (":".join(place) + ": " if place else "") + warning + self.message
        if not self.line or not self.source_line.strip():
            return first
        line, col = _cut(self.source_line, self.col)
        return f"{first}\n   {line}\n   {' ' * (col - 1)}^"


def _cut(line: str, col: int) -> tuple[str, int]:
    """The line as one terminal row of at most `_LINE_WIDTH` characters, and the column therein."""
    line = "".join(char if char.isprintable() else " " for char in line)
    col = max(1, min(col, len(line) + 1))
    if len(line) <= _LINE_WIDTH:
        return line.rstrip(), col
    start = max(0, min(col - 1 - _LINE_WIDTH // 2, len(line) - _LINE_WIDTH))
    stop = start + _LINE_WIDTH
    before, after = "…" if start else "", "…" if stop < len(line) else ""
    return before + line[start:stop].rstrip() + after, col - start + len(before)


class SweeperError(Exception):
    """An error that the user can fix; `str(error)` says what, where, why and how to fix it."""


class ConfigError(SweeperError):
    """A sweep file with errors; `problems` holds every one of them, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


class TrainerError(SweeperError):
    """A trainer that can't be imported, or that lacks a part of the contract."""


class RecordError(SweeperError):
    """A group, run or record that isn't there or can't be read."""


class HostError(SweeperError):
    """The host can't run the sweep: no disk space, limits too low, Ray doesn't start."""


class BusyError(SweeperError):
    """Another launch holds the group."""


class ClaimLostError(BusyError):
    """Another launch has taken the group over: this one must not write any more."""


class Diverged(Exception):  # noqa: N818  (an outcome, not an error)
    """A training whose loss is no longer finite: its outcome is `diverged`, which is data."""

    def __init__(self, message: str, *, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step
