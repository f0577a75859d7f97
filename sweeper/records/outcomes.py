"""How a run can end, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

__all__ = ["SETTLED", "Cause", "CauseKind", "Outcome"]


class Outcome(StrEnum):
    """The end of an attempt, and so of a run."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"
    LOST = "lost"
    INVALID = "invalid"


# Outcomes that launching again leaves alone: a second attempt would end the same way.
SETTLED = frozenset({Outcome.FINISHED, Outcome.DIVERGED, Outcome.INVALID})


class CauseKind(StrEnum):
    """Why an attempt ended other than finished."""

    EXCEPTION = "exception"
    OUT_OF_MEMORY = "out of memory"
    SIGNAL = "signal"
    EXIT = "exit"
    NO_DISK_SPACE = "no disk space"
    NOT_FINITE = "not finite"
    TIME_LIMIT = "time limit"
    ASKED_TO_STOP = "asked to stop"
    HOST = "host"
    UNKNOWN = "unknown"
    PREFLIGHT = "preflight"


@dataclass(frozen=True)
class Cause:
    """Why an attempt ended as it did.

    `message` is one line. `type` is an exception's qualified name or a signal's name, `place` the
    innermost ``file:line`` that belongs to the trainer, `code` an exit status.
    """

    kind: CauseKind
    message: str
    type: str | None = None
    place: str | None = None
    code: int | None = None

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON, without empty entries."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Cause:
        """Back from `plain`; unknown entries are dropped, so newer records can be read."""
        known = {field.name for field in fields(cls)}
        kept = {key: value for key, value in data.items() if key in known}
        return cls(**{**kept, "kind": CauseKind(kept["kind"])})

    def headline(self) -> str:
        """One line for tables: the type if there is one, then the message."""
        return f"{self.type}: {self.message}" if self.type else self.message
