"""The state of a group for a program that asks again and again."""

from __future__ import annotations

from pathlib import Path

from sweeper.records.fold import fold
from sweeper.records.journal import journal_files, read_events
from sweeper.records.state import GroupState

__all__ = ["GroupReader"]


class GroupReader:
    """Reads and folds a journal again only when it has grown: that takes seconds for big groups.

    Files of a journal are only ever appended to, so their sizes show whether they have changed.
    """

    def __init__(self, journal_dir: Path) -> None:
        self._journal_dir = journal_dir
        self._sizes: dict[str, int] | None = None
        self._state = GroupState()

    def state(self) -> GroupState:
        """The state now; the same object as before if nothing was written since.

        Raises `RecordError` when a file may not be read.
        """
        files = journal_files(self._journal_dir)
        sizes = {file.name: size for file in files if (size := file.stat().st_size)}
        if sizes != self._sizes:
            self._state = fold(read_events(self._journal_dir))
            self._sizes = sizes
        return self._state
