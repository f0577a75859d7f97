"""Which bad ends have one cause: the records' words without what differs from run to run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweeper.records.outcomes import CauseKind

__all__ = ["CauseGroup", "by_cause", "message_shape"]

GAP = "…"
# Workers record no more of a message; a journal from elsewhere may hold any text.
_MESSAGE_LIMIT = 500
# These strike a training wherever it happens to be, so the place belongs to the run, not the cause.
_STRIKES_ANYWHERE = frozenset(
    {
        CauseKind.OUT_OF_MEMORY,
        CauseKind.NO_DISK_SPACE,
        CauseKind.TIME_LIMIT,
        CauseKind.ASKED_TO_STOP,
    }
)
_FROM_OUTSIDE = frozenset({"SIGTERM", "SIGKILL", "SIGINT", "SIGHUP"})

_VARYING = re.compile(
    r"""
      '~?/[^']*' | "~?/[^"]*"                                     # a quoted path, blanks and all
    | (?<![\w./])~?(?:/[^\s/'"`:;,()<>]+)+/?                      # a path from the root or home
    | (?<![\w./-])[\w.-]+(?:/[\w.-]+)*/[\w-]+\.\w+                # a relative path to a file
    | \b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b    # a UUID
    | \b0[xX][0-9a-fA-F]+                                         # an address
    | (?<![^\W_])(?=\d*[A-Za-z])(?=(?:[A-Za-z]*\d){2})
      [A-Za-z0-9]{8,}(?![^\W_])                                   # an id, such as a run's
    | (?:(?<![\w.)\]])[-+])?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?        # a number
    | (?:(?<![\w.)\]])[-+])?\b(?:nan|inf(?:inity)?)\b             # a number that isn't finite
    """,
    re.VERBOSE | re.IGNORECASE,
)
_GAPS = re.compile(rf"{GAP}(?:[\s,]*{GAP})+")


def message_shape(message: str) -> str:
    """A message with `…` for each number, id, address and path in it.

    ``loss is nan at step 512`` and ``loss is inf at step 400`` have one shape. Several in a row,
    as in an array's shape, become one, so their count doesn't matter. A heuristic: a word that
    merely looks like an id goes too. Only the first 500 characters count.
    """
    return _GAPS.sub(GAP, _VARYING.sub(GAP, message[:_MESSAGE_LIMIT]))


@dataclass(frozen=True)
class CauseGroup:
    """Runs that ended badly for one cause.

    `type` and `place` are None unless all of `runs` have the same. `message` is theirs with `…` for
    what differs, or the most frequent shape if more than numbers, ids and paths differs.
    """

    outcome: str
    kind: str | None
    type: str | None
    place: str | None
    message: str
    runs: tuple[str, ...]


def by_cause(items: Iterable[Mapping[str, Any]]) -> list[CauseGroup]:
    """The items of `crashed` gathered by cause; most runs first, else in their order.

    One cause is: the same outcome, kind, type and place, or the same shape of the message where no
    place is known or where the place is an accident (no memory, no time, killed from outside).
    """
    groups: dict[tuple[str | None, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for item in items:
        groups[_likeness(item)].append(item)
    return sorted((_group(same) for same in groups.values()), key=lambda group: -len(group.runs))


def _likeness(item: Mapping[str, Any]) -> tuple[str | None, ...]:
    kind, name, place = item["cause"], item["type"], item["place"]
    key = (item["outcome"], kind, name)
    if kind in _STRIKES_ANYWHERE:
        return key
    if place and name not in _FROM_OUTSIDE:
        return (*key, "at", place)
    return (*key, "says", _shape(item))


def _shape(item: Mapping[str, Any]) -> str:
    message: str = item["message"]
    # The run's own id is known even if it looks like a word.
    own = rf"(?<![^\W_]){re.escape(item['id'])}(?![^\W_])"
    return message_shape(re.sub(own, GAP, message[:_MESSAGE_LIMIT]) if item["id"] else message)


def _group(items: list[Mapping[str, Any]]) -> CauseGroup:
    first = items[0]
    message = _common([item["message"] for item in items])
    if message is None:
        message = Counter(map(_shape, items)).most_common(1)[0][0]
    return CauseGroup(
        outcome=first["outcome"],
        kind=first["cause"],
        type=_one(item["type"] for item in items),
        place=_one(item["place"] for item in items),
        message=message,
        runs=tuple(item["id"] for item in items),
    )


def _common(messages: list[str]) -> str | None:
    """The message that all are but for numbers, ids and paths, with those that all share."""
    different = list(dict.fromkeys(messages))
    if len(different) == 1:
        return different[0]
    cut = [message[:_MESSAGE_LIMIT] for message in different]
    words = _VARYING.split(cut[0])
    if any(_VARYING.split(message) != words for message in cut):
        return None
    fillings = zip(*(_VARYING.findall(message) for message in cut), strict=True)
    gaps = [one if all(one == other for other in others) else GAP for one, *others in fillings]
    return _GAPS.sub(
        GAP, "".join(part for pair in zip(words, [*gaps, ""], strict=True) for part in pair)
    )


def _one(values: Iterable[str | None]) -> str | None:
    """The value that all have, or None."""
    different = set(values)
    return different.pop() if len(different) == 1 else None
