"""Every error that sweeper raises on purpose.

SweeperError                 a message for the user: no traceback, exit status 2
├── ConfigError              a sweep file with faults, all of them (`.problems`)
├── TrainerError             a trainer that can't be imported or doesn't keep the contract
├── RecordError              a run, group or file that isn't there or can't be read
├── HostError                the host can't carry the sweep: no room, no memory, limits too low
└── BusyError                somebody else runs this group right now

Diverged                     raised by trainings: a loss that isn't finite (data, no fault)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeper.config.problems import Problem

__all__ = [
    "BusyError",
    "ConfigError",
    "Diverged",
    "HostError",
    "RecordError",
    "SweeperError",
    "TrainerError",
]


class SweeperError(Exception):
    """A fault that the user can mend; `str(error)` says what, where, why and the mend."""


class ConfigError(SweeperError):
    """A sweep file with faults; `problems` holds every one of them, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


class TrainerError(SweeperError):
    """A trainer that can't be imported, or that lacks a part of the contract."""


class RecordError(SweeperError):
    """A group, run or record that isn't there or can't be read."""


class HostError(SweeperError):
    """The host can't carry the sweep: no room on disk, limits too low, Ray won't start."""


class BusyError(SweeperError):
    """Another launch holds the group."""


class Diverged(Exception):  # noqa: N818  (an outcome, not an error)
    """A training that left the finite numbers: its outcome is `diverged`, which is data."""

    def __init__(self, message: str, *, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step
