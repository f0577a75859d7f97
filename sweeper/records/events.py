"""The fields of journal events, read without trust.

A journal may hold events of a newer version, of a broken disk or of a stranger, so each getter
returns None for a value that isn't of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from sweeper.records.jsonl import encode, number
from sweeper.records.outcomes import Cause, CauseKind, Outcome

__all__ = [
    "Event",
    "cause",
    "integer",
    "metrics",
    "ordered",
    "outcome",
    "position",
    "real",
    "sequence_of",
    "text",
    "time_of",
    "writer_of",
]

Event = Mapping[str, Any]


def text(event: Event, key: str) -> str | None:
    """A string that can be printed anywhere: halves of surrogate pairs become question marks."""
    value = event.get(key)
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def real(event: Event, key: str) -> float | None:
    """A finite number."""
    value = number(event.get(key))
    return None if value is None or not math.isfinite(value) else float(value)


def integer(event: Event, key: str) -> int | None:
    """A whole number of at most 63 bits: longer ones can't be reckoned with as floats."""
    value = event.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if value.bit_length() < 64 else None


def time_of(event: Event) -> float:
    """Seconds since 1970 by the writer's clock; 0 where unknown."""
    return real(event, "time") or 0.0


def writer_of(event: Event) -> str:
    return text(event, "writer") or ""


def sequence_of(event: Event) -> int:
    """The position in the writer's file; the order within one writer, whatever its clock does."""
    value = integer(event, "seq")
    return -1 if value is None else value


def outcome(event: Event) -> Outcome | None:
    try:
        return Outcome(text(event, "outcome") or "")
    except ValueError:
        return None


def cause(event: Event) -> Cause | None:
    """The event's cause. A kind that this version doesn't know moves into the message."""
    data = event.get("cause")
    if not isinstance(data, Mapping):
        return None
    kind, message = text(data, "kind") or "", text(data, "message") or ""
    try:
        known = CauseKind(kind)
    except ValueError:
        known, message = CauseKind.EXCEPTION, f"{kind}: {message}" if kind else message
    return Cause(
        known, message, text(data, "type"), text(data, "place"), code=integer(data, "code")
    )


def metrics(event: Event) -> dict[str, float]:
    """The metrics that are numbers, words for non-finite numbers decoded."""
    data = event.get("metrics")
    if not isinstance(data, Mapping):
        return {}
    numbers = {str(name): number(value) for name, value in data.items()}
    return {name: value for name, value in numbers.items() if value is not None}


def position(event: Event) -> tuple[float, str, int]:
    """Where an event stands among those of all writers."""
    return time_of(event), writer_of(event), sequence_of(event)


def ordered(events: Iterable[Event]) -> list[Event]:
    """The events by (time, writer, sequence), each once, whatever order they come in."""
    result: list[Event] = []
    for _, group in groupby(sorted(events, key=position), key=position):
        same = list(group)
        # Only a damaged journal has different events at one position; their text then orders them.
        result += same if len(same) == 1 else [text_and_event[1] for text_and_event in _once(same)]
    return result


def _once(events: list[Event]) -> list[tuple[str, Event]]:
    by_text = {encode(event): event for event in events}
    return sorted(by_text.items(), key=lambda item: item[0])
