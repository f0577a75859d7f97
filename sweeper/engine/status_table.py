"""What the runs of a wave note for their supervisor: one row each in one file, mapped into memory.

A row survives any death of its process. A file per run and fact did so too, but whenever ext4 makes
a file, it skips the inodes of files that were deleted in the last minutes: thousands of marks,
deleted with their wave, slowed down every later run on the host by milliseconds.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from sweeper.records.jsonl import naming

__all__ = ["RunStatus", "StatusTable"]

# pid; when it began (monotonic); 1 once the training has returned; exit noted, its status; step
# known, the last one; processor seconds that the process had used before.
_ROW = struct.Struct("<qdqqqqqd")
_PID, _BEGAN, _ENDED, _EXIT, _STEP, _CPU = 0, 8, 16, 24, 40, 56


@dataclass(frozen=True)
class RunStatus:
    """What one run has noted. `pid` is None before it began."""

    pid: int | None = None
    began: float | None = None
    ended: bool = False
    exit_code: int | None = None
    last_step: int | None = None
    cpu_before_s: float = 0.0


class StatusTable:
    """The rows of a wave; each is written by one process, and read by others at any time."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)

    @staticmethod
    def create(file: Path, rows: int) -> StatusTable:
        """Make the file. Raises OSError when the disk is too full for it."""
        with naming(file), file.open("wb") as opened:
            # Allocated now: to write into a hole on a full disk would kill the process (SIGBUS).
            os.posix_fallocate(opened.fileno(), 0, max(1, rows) * _ROW.size)
        return StatusTable(file)

    def begin(self, row: int, pid: int, now: float, cpu_s: float = 0.0) -> None:
        """Right before the training is called: the start mark."""
        self._write(row, _BEGAN, "<d", now)
        self._write(row, _CPU, "<d", cpu_s)
        self._write(row, _PID, "<q", pid)  # last: a row with a pid is a whole one

    def end(self, row: int) -> None:
        """The training has returned: its process must no longer be killed for it."""
        self._write(row, _ENDED, "<q", 1)

    def note_exit(self, row: int, status: int) -> None:
        """The run calls `os._exit`: the only trace of such an end."""
        self._write(row, _EXIT, "<qq", 1, status)

    def note_step(self, row: int, step: int) -> None:
        """The last step that the run logged."""
        self._write(row, _STEP, "<qq", 1, step)

    def read(self, row: int) -> RunStatus:
        """What the run has noted so far."""
        pid, began, ended, left, status, known, step, cpu_s = _ROW.unpack_from(
            self._map, row * _ROW.size
        )
        return RunStatus(
            pid or None,
            began if pid else None,
            bool(ended),
            status if left else None,
            step if known else None,
            cpu_s,
        )

    def close(self) -> None:
        self._map.close()

    def _write(self, row: int, offset: int, form: str, *values: float) -> None:
        struct.pack_into(form, self._map, row * _ROW.size + offset, *values)
