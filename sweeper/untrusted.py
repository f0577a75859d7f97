"""Files and text that may come from anybody: opened and shown without harm."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["plain_file", "printable"]


def plain_file(path: str | os.PathLike[str], flags: int) -> int:
    """An `opener`: a pipe or device of that name must not block who opens it; raises OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file", os.fspath(path))
    return descriptor


def printable(text: str) -> str:
    """Text without power over a terminal: what can't be printed stands as its escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
