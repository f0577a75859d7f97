"""What is wrong in a file, where, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Mark", "Problem", "Report", "listed", "meant", "nearest", "shown"]

# A caret under column 4,000 of a one-line file helps nobody: longer lines are cut around the place.
LINE_WIDTH = 100


@dataclass(frozen=True)
class Mark:
    """A place in a file, counted from 1; line 0 is the file as a whole."""

    line: int = 0
    col: int = 0


@dataclass(frozen=True)
class Problem:
    """One fault (or warning) of a file, with the line that it is in.

    `line` and `col` count from 1; line 0 means the file as a whole. An empty `file` is for data
    that never was a file.
    """

    file: str
    line: int
    col: int
    message: str
    source_line: str = ""
    severity: Literal["error", "warning"] = "error"

    def render(self) -> str:
        """`file:line:col: message`, then the line and a caret below the place."""
        place = [self.file] if self.file else []
        if self.line:
            place += [str(self.line), str(self.col)]
        warning = "warning: " if self.severity == "warning" else ""
        first = (":".join(place) + ": " if place else "") + warning + self.message
        if not self.line or not self.source_line.strip():
            return first
        line, col = _cut(self.source_line, self.col)
        return f"{first}\n   {line}\n   {' ' * (col - 1)}^"


def _cut(line: str, col: int) -> tuple[str, int]:
    """The line as one terminal row of at most `LINE_WIDTH` characters, and the column therein."""
    line = "".join(char if char.isprintable() else " " for char in line)
    col = max(1, min(col, len(line) + 1))
    if len(line) <= LINE_WIDTH:
        return line.rstrip(), col
    start = max(0, min(col - 1 - LINE_WIDTH // 2, len(line) - LINE_WIDTH))
    stop = start + LINE_WIDTH
    before, after = "…" if start else "", "…" if stop < len(line) else ""
    return before + line[start:stop].rstrip() + after, col - start + len(before)


@dataclass
class Report:
    """Collects the problems of one file, so that all of them are told at once."""

    file: str
    lines: Sequence[str] = ()
    problems: list[Problem] = field(default_factory=list)

    def error(self, mark: Mark, message: str) -> None:
        """Note a fault."""
        self.problems.append(self._problem(mark, message, "error"))

    def warn(self, mark: Mark, message: str) -> None:
        """Note something that is allowed and probably not meant."""
        self.problems.append(self._problem(mark, message, "warning"))

    def errors(self) -> list[Problem]:
        """The faults in file order, each once."""
        return self._of("error")

    def warnings(self) -> list[Problem]:
        """The warnings in file order, each once."""
        return self._of("warning")

    def _of(self, severity: str) -> list[Problem]:
        found = dict.fromkeys(p for p in self.problems if p.severity == severity)
        return sorted(found, key=lambda problem: (problem.line, problem.col))

    def _problem(self, mark: Mark, message: str, severity: Literal["error", "warning"]) -> Problem:
        known = 0 < mark.line <= len(self.lines)
        line = self.lines[mark.line - 1] if known else ""
        return Problem(self.file, mark.line, mark.col, message, line, severity)


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
    """A text of the user's as it may stand in a message: one line, printable, not too long."""
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def listed(items: Iterable[str], most: int = 12) -> str:
    """The items in back-ticks with commas, the end of a long list left out."""
    known = [f"`{shown(item)}`" for item in items]
    if len(known) > most:
        return ", ".join(known[:most]) + f", … ({len(known)} in all)"
    return ", ".join(known)
