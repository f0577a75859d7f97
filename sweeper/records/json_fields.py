"""The fields of JSON objects in records, read without trust.

A record may be of a newer version, of a broken disk or of another program, so each getter returns
None for a value that isn't of its type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweeper.records.jsonl import number
from sweeper.records.outcomes import Cause, CauseKind, Outcome

__all__ = [
    "cause",
    "integer",
    "metrics",
    "outcome",
    "real",
    "sequence_of",
    "text",
    "texts",
    "time_of",
    "writer_of",
]


def text(record: Mapping[str, Any], key: str) -> str | None:
    """A string that can be printed anywhere: halves of surrogate pairs become question marks."""
    value = record.get(key)
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def texts(record: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    """A list of strings, each as `text`; what is none is left out."""
    value = record.get(key)
    if not isinstance(value, list):
        return None
    found = (text({key: item}, key) for item in value)
    return tuple(item for item in found if item is not None)


def real(record: Mapping[str, Any], key: str) -> float | None:
    """A finite number."""
    value = number(record.get(key))
    return None if value is None or not math.isfinite(value) else float(value)


def integer(record: Mapping[str, Any], key: str) -> int | None:
    """A whole number of at most 63 bits: longer ones can't be computed with as floats."""
    value = record.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if value.bit_length() < 64 else None


def time_of(record: Mapping[str, Any]) -> float:
    """Seconds since 1970 by the writer's clock; 0 where unknown."""
    return real(record, "time") or 0.0


def writer_of(record: Mapping[str, Any]) -> str:
    return text(record, "writer") or ""


def sequence_of(record: Mapping[str, Any]) -> int:
    """The position in the writer's file; the order within one writer, whatever its clock does."""
    value = integer(record, "seq")
    return -1 if value is None else value


def outcome(record: Mapping[str, Any]) -> Outcome | None:
    try:
        return Outcome(text(record, "outcome") or "")
    except ValueError:
        return None


def cause(record: Mapping[str, Any]) -> Cause | None:
    """The record's cause. A kind that this version doesn't know moves into the message."""
    data = record.get("cause")
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


def metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers, words for non-finite numbers decoded."""
    data = record.get("metrics")
    if not isinstance(data, Mapping):
        return {}
    numbers = {str(name): number(value) for name, value in data.items()}
    return {name: value for name, value in numbers.items() if value is not None}
