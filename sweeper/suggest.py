"""Suggestions for misspelt words, and how words are shown in messages."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["listed", "meant", "nearest", "shown"]


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


def meant(word: str, words: Iterable[str]) -> str:
    """The ending ``; did you mean `x`?`` of a message, empty if nothing is near."""
    found = nearest(word, words)
    return f"; did you mean `{found}`?" if found is not None else ""


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
