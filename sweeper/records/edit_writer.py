"""Writes what users do to records by hand, each command into a journal file of its own.

So notes and removals are joined with the rest wherever journals are put side by side.
"""

from __future__ import annotations

import secrets

from sweeper.host.processes import host_name
from sweeper.records.events import Noted, Removed
from sweeper.records.journal import JournalWriter
from sweeper.records.layout import GroupFolder
from sweeper.records.permissions import readable_as

__all__ = ["EDITS", "write_edits"]

EDITS = "edit-"


def write_edits(folder: GroupFolder, *events: Noted | Removed) -> None:
    """Append events to the group's journal, after all that it holds. Raises OSError."""
    writer = f"{EDITS}{host_name()}-{secrets.token_hex(4)}"
    with (
        readable_as(folder.path),
        JournalWriter(folder.journal_dir, writer) as journal,
    ):
        journal.append(*events)
