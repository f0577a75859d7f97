"""Journal events as lines of JSON, and back.

A journal may hold events of an older or newer version, of a broken disk or of another program. So
`decode` never raises: it ignores kinds and fields that it doesn't know, reads a value of the wrong
type as missing, and drops an event only where a field is missing without which it means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from itertools import groupby
from typing import Any, get_type_hints

from sweeper.records import json_fields as read
from sweeper.records.events import KINDS, Event, Recorded
from sweeper.records.jsonl import encode as encode_json
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["VERSION", "decode", "encode", "ordered"]

# Readers ignore events and fields that they don't know, so this rises only when the meaning of a
# known field changes.
VERSION = 2

_NAMES = {kind: name for name, kind in KINDS.items()}

_Reader = Callable[[Mapping[str, Any], str], Any]


def _tables(line: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]] | None:
    value = line.get(key)
    if not isinstance(value, Mapping):
        return None
    return {str(name): item if isinstance(item, Mapping) else {} for name, item in value.items()}


def _texts(line: Mapping[str, Any], key: str) -> dict[str, str] | None:
    value = line.get(key)
    if not isinstance(value, Mapping):
        return None
    return {name: item for name, item in value.items() if isinstance(item, str)}


def _mapping(line: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = line.get(key)
    return value if isinstance(value, Mapping) else None


def _flag(line: Mapping[str, Any], key: str) -> bool | None:
    value = line.get(key)
    return value if isinstance(value, bool) else None


# How a field is read, by its type.
_READERS: Mapping[Any, _Reader] = {
    str: read.text,
    str | None: read.text,
    bool: _flag,
    int: read.integer,
    int | None: read.integer,
    float | None: read.real,
    tuple[str, ...]: read.texts,
    Outcome: lambda line, _: read.outcome(line),
    Cause | None: lambda line, _: read.cause(line),
    Mapping[str, float]: lambda line, _: read.metrics(line),
    Mapping[str, str]: _texts,
    Mapping[str, Any]: _mapping,
    Mapping[str, Mapping[str, Any]]: _tables,
}
# What replaces a missing field that an event can do without; its own writers never leave it out.
_STAND_INS: Mapping[str, Any] = {"launch": "", "attempt": 1, "reason": ""}


def _has_default(item: Field[Any]) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


def _readers(kind: type[Event]) -> tuple[tuple[str, _Reader], ...]:
    types = get_type_hints(kind)
    return tuple((item.name, _READERS[types[item.name]]) for item in fields(kind))


_FIELDS = {kind: _readers(kind) for kind in KINDS.values()}
_REQUIRED = {
    kind: tuple(item.name for item in fields(kind) if not _has_default(item))
    for kind in KINDS.values()
}


def decode(line: Mapping[str, Any]) -> Recorded | None:
    """The event of a line of a journal, parsed from JSON; None for one to be ignored."""
    kind = KINDS.get(read.text(line, "event") or "")
    if kind is None:
        return None
    found = {}
    for name, reader in _FIELDS[kind]:
        if name in line and (value := reader(line, name)) is not None:
            found[name] = value
    if kind is KINDS["wave_started"] and isinstance(line.get("runs"), list):
        found["runs"] = len(line["runs"])  # early journals named them
    for name in _REQUIRED[kind]:
        if name not in found:
            if name not in _STAND_INS:
                return None
            found[name] = _STAND_INS[name]
    return Recorded(kind(**found), read.writer_of(line), read.sequence_of(line), read.time_of(line))


def encode(recorded: Recorded) -> str:
    """The line of an event, without its line end. Fields that are None or empty are left out."""
    event = recorded.event
    kind = type(event)
    line: dict[str, Any] = {
        "v": VERSION,
        "event": _NAMES[kind],
        "writer": recorded.writer,
        "seq": recorded.seq,
        "time": recorded.time,
    }
    for name, _ in _FIELDS[kind]:
        value = getattr(event, name)
        if name in _REQUIRED[kind] or not (
            value is None or value is False or value in ("", {}, ())
        ):
            line[name] = value.plain() if isinstance(value, Cause) else value
    return encode_json(line)


def _position(recorded: Recorded) -> tuple[float, str, int]:
    return recorded.time, recorded.writer, recorded.seq


def ordered(events: Iterable[Recorded]) -> list[Recorded]:
    """The events by (time, writer, sequence), each once, whatever order they come in."""
    result: list[Recorded] = []
    for _, group in groupby(sorted(events, key=_position), key=_position):
        same = list(group)
        # Only a damaged journal has different events at one position; their text then orders them.
        result += same if len(same) == 1 else _once(same)
    return result


def _once(events: list[Recorded]) -> list[Recorded]:
    by_text = {encode(event): event for event in events}
    return [by_text[text] for text in sorted(by_text)]
