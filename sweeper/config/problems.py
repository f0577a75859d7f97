"""The report on a file: its errors and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sweeper.errors import Mark, Problem

__all__ = ["Report"]


@dataclass
class Report:
    """Collects the problems of one file, so that all are reported at once.

    Those in arguments of `--set`, which add to the file, are among them, at the end.
    """

    file: str
    lines: Sequence[str] = ()
    problems: list[Problem] = field(default_factory=list)

    def error(self, mark: Mark, message: str) -> None:
        """Add an error."""
        self.problems.append(self._problem(mark, message, "error"))

    def warn(self, mark: Mark, message: str) -> None:
        """Add a warning: something that is allowed and probably not meant."""
        self.problems.append(self._problem(mark, message, "warning"))

    def errors(self) -> list[Problem]:
        """The errors in file order, each once."""
        return self._of("error")

    def warnings(self) -> list[Problem]:
        """The warnings in file order, each once."""
        return self._of("warning")

    def _of(self, severity: str) -> list[Problem]:
        found = dict.fromkeys(p for p in self.problems if p.severity == severity)
        return sorted(found, key=lambda one: (one.in_argument, one.line, one.col))

    def _problem(self, mark: Mark, message: str, severity: Literal["error", "warning"]) -> Problem:
        if mark.argument:
            return Problem("--set", 1, mark.col, message, mark.argument, severity, in_argument=True)
        known = 0 < mark.line <= len(self.lines)
        line = self.lines[mark.line - 1] if known else ""
        return Problem(self.file, mark.line, mark.col, message, line, severity)
