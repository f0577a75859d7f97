"""One launch at a time per group and host: a lock that the kernel drops when its owner dies.

The lock is flock(2) on a file that stays; what the file says about its owner is for people and for
`sweep status`. On a file system without flock the owner's process decides instead.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sweeper.errors import BusyError
from sweeper.host.processes import host_name, process_lives, process_start
from sweeper.records import json_fields as read
from sweeper.records.layout import group_name, make_folder, read_json
from sweeper.records.permissions import file_mode

__all__ = ["GroupLock", "Owner", "acquire", "is_held", "owner"]

# `is_held` takes the lock for some microseconds; a launch that meets it tries again.
TRIES = 20
PAUSE_S = 0.02

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Owner:
    """Who holds a lock, as its file says."""

    host: str
    pid: int
    pid_start: str | None
    since: float  # unix time


class GroupLock:
    """A lock that is held until `release`, the end of a with block, or this process's death."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Release the lock. The file stays: else two launches might lock different files."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> GroupLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def acquire(path: Path) -> GroupLock:
    """Take the lock. Raises `BusyError`, naming host, process and time, if another holds it.

    The descriptor isn't inherited by programs that this process starts.
    """
    make_folder(path.parent)
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, file_mode(path)
    )
    os.fchmod(descriptor, file_mode(path))
    try:
        for _ in range(TRIES):
            taken = _take(descriptor, fcntl.LOCK_EX)
            if taken is not False:
                break
            time.sleep(PAUSE_S)
        if taken is False or (taken is None and _owner_lives(path)):
            raise BusyError(_busy(path))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_self()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return GroupLock(path, descriptor)


def is_held(path: Path) -> bool:
    """Whether a launch holds the lock right now. Changes nothing; a missing file is not held."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        taken = _take(descriptor, fcntl.LOCK_SH)
        return _owner_lives(path) if taken is None else not taken
    finally:
        os.close(descriptor)


def owner(path: Path) -> Owner | None:
    """Who took the lock last, if the file says so; `is_held` says whether it still does."""
    data = read_json(path) or {}
    host, pid, since = read.text(data, "host"), read.integer(data, "pid"), read.real(data, "since")
    if host is None or pid is None or since is None:
        return None
    return Owner(host, pid, read.text(data, "pid_start"), since)


def _take(descriptor: int, how: int) -> bool | None:
    """Whether the lock could be taken; None on a file system without locks."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _WITHOUT_LOCKS:
            return None
        raise
    return True


def _owner_lives(path: Path) -> bool:
    known = owner(path)
    if known is None or known.host != host_name():
        return False
    return process_lives(known.pid, known.pid_start)


def _self() -> dict[str, object]:
    pid = os.getpid()
    return {
        "host": host_name(),
        "pid": pid,
        "pid_start": process_start(pid),
        "since": time.time(),
    }


def _busy(path: Path) -> str:
    group = group_name(path.parent.name)
    known = owner(path)
    if known is None:
        return f"the group `{group}` is being run by another launch ({path} is locked)"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(known.since))
    return (
        f"the group `{group}` is being run by another launch: host {known.host}, process "
        f"{known.pid}, since {since}; watch it with `sweep status {group}`, or end it with "
        f"Ctrl-C there"
    )
