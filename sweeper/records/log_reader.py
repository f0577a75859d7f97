"""The end of a log and what is added to it, however large it is."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from sweeper.units import MIB
from sweeper.untrusted import plain_file

__all__ = ["MOST_BYTES", "LogReader"]

# More than anybody reads; the file itself is there for programs.
MOST_BYTES = MIB
_BLOCK = 64 * 1024


class LogReader:
    """Reads a log from a place near its end, and goes on where it stopped.

    A new attempt makes a new file, and then reading begins with that one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def skip_to_tail(self, lines: int | None = None, most_bytes: int = MOST_BYTES) -> int:
        """Begin with the last `lines`, but at most `most_bytes` before the end.

        Returns how many bytes are skipped. Raises OSError where there is no plain file.
        """
        with open(self.path, "rb", opener=plain_file) as file:
            info = os.fstat(file.fileno())
            self._file, size = (info.st_dev, info.st_ino), info.st_size
            start = max(0, size - most_bytes)
            self._offset = start
            file.seek(start)
            if start and os.pread(file.fileno(), 1, start - 1) != b"\n":
                self._offset += len(file.readline(size - start))
            if lines is not None:
                self._offset = _start_of_last(file.fileno(), self._offset, size, lines)
        return self._offset

    def new_lines(self) -> Iterator[str]:
        """The whole lines since the last call, without their ends."""
        with open(self.path, "rb", opener=plain_file) as file:
            info = os.fstat(file.fileno())
            if self._file != (info.st_dev, info.st_ino) or info.st_size < self._offset:
                self._file, self._offset, self._rest = (info.st_dev, info.st_ino), 0, ""
                self._decoder.reset()
            file.seek(self._offset)
            while block := file.read(_BLOCK):
                self._offset += len(block)
                *whole, self._rest = (self._rest + self._decoder.decode(block)).split("\n")
                yield from whole

    def last_line(self) -> str:
        """What follows the last line end; empty if nothing does."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return rest


def _start_of_last(descriptor: int, start: int, end: int, lines: int) -> int:
    """Where the last `lines` between two places of a file begin; read from behind, in blocks."""
    if lines <= 0:
        return end
    place, wanted = end, lines
    if end > start and os.pread(descriptor, 1, end - 1) == b"\n":
        wanted += 1
    while place > start:
        block_start = max(start, place - _BLOCK)
        block = os.pread(descriptor, place - block_start, block_start)
        found = block.count(b"\n")
        if found >= wanted:
            at = len(block)
            for _ in range(wanted):
                at = block.rindex(b"\n", 0, at)
            return block_start + at + 1
        wanted -= found
        place = block_start
    return start
