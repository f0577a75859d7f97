"""Which bad ends have one cause: those whose records agree but for what differs from run to run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sweeper.records.outcomes import Cause, CauseKind
from sweeper.records.queries import BadEnd

__all__ = ["LAST_LINE", "CauseGroup", "by_cause", "likeness", "message_shape"]

GAP = "…"
# Between what a cause says and the last line of the run's log, which differs from run to run.
LAST_LINE = "; the last line of its log: "
# Workers record no more of a message; a journal from elsewhere may hold any text.
_MESSAGE_LIMIT = 500
# These hit a training wherever it happens to be, so the place says nothing about the cause.
_HITS_ANYWHERE = frozenset(
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
_QUOTED = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`)(?!\w)""")
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


def likeness(outcome: str, cause: Cause | None, run: str = "") -> tuple[str | None, ...]:
    """What two bad ends share if they have one cause.

    That is the outcome, the kind and type of the cause, its place unless that is an accident
    (killed from outside), and the shape of its message, as one line may raise for several reasons.
    What hits a run wherever it is (no memory, no time) has one cause whatever its place and
    message. `run` is the run's id, which its message may hold.
    """
    if cause is None:
        return (outcome,)
    key = (outcome, cause.kind, cause.type)
    if cause.kind in _HITS_ANYWHERE:
        return key
    place = None if cause.type in _FROM_OUTSIDE else cause.place
    return (*key, place, _shape(cause.message, run, at_one_place=place is not None))


def by_cause(ends: Iterable[BadEnd]) -> list[CauseGroup]:
    """The bad ends gathered by cause (see `likeness`); most runs first, else in their order."""
    groups: dict[tuple[str | None, ...], list[BadEnd]] = defaultdict(list)
    for end in ends:
        groups[likeness(end.outcome, end.cause, end.id)].append(end)
    return sorted((_group(same) for same in groups.values()), key=lambda group: -len(group.runs))


def _shape(message: str, run: str, *, at_one_place: bool) -> str:
    # The run's own id is known even if it looks like a word.
    own = rf"(?<![^\W_]){re.escape(run)}(?![^\W_])"
    message = " ".join(message.partition(LAST_LINE)[0].split())[:_MESSAGE_LIMIT]
    if at_one_place:  # what one line quotes is a value; elsewhere it may be all that differs
        message = _QUOTED.sub(GAP, message)
    return message_shape(re.sub(own, GAP, message) if run else message)


def _group(ends: list[BadEnd]) -> CauseGroup:
    causes = [end.cause for end in ends]
    place = _one(cause.place if cause else None for cause in causes)
    message = _common([end.message for end in ends])
    if message is None:
        shapes = (_shape(end.message, end.id, at_one_place=place is not None) for end in ends)
        message = Counter(shapes).most_common(1)[0][0]
    return CauseGroup(
        outcome=ends[0].outcome,
        kind=ends[0].kind,
        type=_one(cause.type if cause else None for cause in causes),
        place=place,
        message=message,
        runs=tuple(end.id for end in ends),
    )


def _common(messages: list[str]) -> str | None:
    """The message that all share but for numbers, ids and paths; None if more differs."""
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
