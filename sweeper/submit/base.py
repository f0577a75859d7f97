"""What all ways to start a launch elsewhere share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Submission", "own_command", "without_options"]


@dataclass(frozen=True)
class Submission:
    """A launch that was started elsewhere.

    `where` says where in words, `commands` what to type for what, `notes` what to look out for.
    """

    group: str
    where: str
    commands: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return {
            "group": self.group,
            "where": self.where,
            "commands": dict(self.commands),
            "notes": list(self.notes),
        }


def own_command() -> list[str]:
    """How this very program is started again, in the same environment."""
    script = Path(sys.argv[0]).absolute()
    if script.is_file() and os.access(script, os.X_OK):
        return [str(script)]
    return [sys.executable, "-c", "from sweeper.cli import main; main()"]


def without_options(
    arguments: Sequence[str], flags: Sequence[str], valued: Sequence[str]
) -> list[str]:
    """Arguments of a command without some options: `flags`, and `valued` with their values."""
    kept: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in valued:
            next(rest, None)
        elif word not in flags and word.partition("=")[0] not in {*flags, *valued}:
            kept.append(word)
    return kept
