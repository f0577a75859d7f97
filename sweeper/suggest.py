"""Suggestions for misspelt words, and how words are shown in messages."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["closest", "counted", "listed", "meant", "nearest", "shown"]


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` was probably meant to be, or None.

    In this order: equal but for case; similar by `difflib` (ratio of at least 0.6); the shortest
    one that contains it, or begins with it if it has two letters. A heuristic.
    """
    known = list(dict.fromkeys(words))
    wanted = word.strip().lower()
    if not wanted or len(wanted) > 100:
        return None
    lowered: dict[str, str] = {}
    for candidate in known:
        lowered.setdefault(candidate.lower(), candidate)
    if wanted in lowered:
        return lowered[wanted]
    import difflib  # for errors alone: `sweep status` stays fast without it

    similar = difflib.get_close_matches(wanted, lowered, n=1, cutoff=0.6)
    if similar:
        return lowered[similar[0]]
    containing = [
        candidate
        for candidate in lowered
        if candidate.startswith(wanted) or (len(wanted) >= 3 and wanted in candidate)
    ]
    return lowered[min(containing, key=len)] if containing else None


def closest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` of which `word` is a slip of the fingers or a beginning, or None.

    Where the wrong word would do something else, as with options, `nearest` guesses too much. Words
    of up to five letters may be one slip away (a letter more, less, other, or two exchanged), those
    of more letters two. A beginning has at least three letters, and begins only one of `words`.
    """
    wanted = word.strip().lower()
    if not 2 <= len(wanted.strip("-")) <= 100:
        return None
    known = {candidate.lower(): candidate for candidate in words}
    most = 1 if len(wanted.strip("-")) <= 5 else 2
    slips = {lowered: _slips(wanted, lowered) for lowered in known}
    near = [lowered for lowered, number in slips.items() if number <= most]
    if near:
        return known[min(near, key=lambda lowered: (slips[lowered], lowered))]
    longer = [lowered for lowered in known if lowered.startswith(wanted)]
    return known[longer[0]] if len(longer) == 1 and len(wanted.strip("-")) >= 3 else None


def _slips(one: str, other: str) -> int:
    """How many slips are between two words: Damerau and Levenshtein's distance, alignments only."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, char in enumerate(one, start=1):
        before, above, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (char != wanted))
            if i > 1 and j > 1 and char == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]


def meant(word: str, words: Iterable[str]) -> str:
    """The ending ``; did you mean `x`?`` of a message, empty if nothing is near."""
    found = nearest(word, words)
    return f"; did you mean `{found}`?" if found is not None else ""


def counted(number: int, noun: str, nouns: str = "") -> str:
    """``1 run``, ``2 runs``: a number with its noun; `nouns` is a plural that adds no ``s``."""
    return f"{number} {noun}" if number == 1 else f"{number} {nouns or noun + 's'}"


def shown(text: str, width: int = 60) -> str:
    """A user's text fit for a message: on one line, printable, not too long."""
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def listed(items: Iterable[str], most: int = 12) -> str:
    """The items in back-ticks with commas, a long list shortened."""
    known = [f"`{shown(item)}`" for item in items]
    if len(known) > most:
        return ", ".join(known[:most]) + f", … ({len(known)} in all)"
    return ", ".join(known)
