"""Files and text from anybody: opened without blocking, shown without controlling the terminal."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["plain_file", "printable"]


def plain_file(path: str | os.PathLike[str], flags: int) -> int:
    """An `opener` that refuses FIFOs and devices, which could block, with an OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", os.fspath(path))
    return descriptor


def printable(text: str) -> str:
    """Text that can't control a terminal: what isn't printable is escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
