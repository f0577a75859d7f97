"""How files that others may have made are opened."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["plain_file"]


def plain_file(path: str | os.PathLike[str], flags: int) -> int:
    """An `opener`: a pipe or device of that name must not block who opens it; raises OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file", os.fspath(path))
    return descriptor
