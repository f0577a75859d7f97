"""Who could put something into a folder from which something is executed."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from pathlib import Path

__all__ = ["others_may_write", "write_refusal"]


def write_refusal(folder: Path) -> str | None:
    """Why others could put something into an absolute folder, now or once it is made; or None.

    Every folder on the way counts: who may write one may replace what is in it, unless it is sticky
    as /tmp is.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        try:
            info = place.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{place} can't be looked at ({error.strerror})"
        if info.st_uid not in _trusted(place == folder):
            return f"{place} belongs to {_user(info.st_uid)}"
        sticky = place != folder and info.st_mode & stat.S_ISVTX
        if not sticky and others_may_write(info):
            return f"others can write {place}"
    return None


def _trusted(is_the_folder: bool) -> set[int]:
    """The users whose folders may hold the folder, or be the folder.

    In a user namespace the host's root, who owns the folders above, is shown as nobody.
    """
    ours = {0, os.getuid()}
    with contextlib.suppress(OSError, ValueError):
        mapped = int(Path("/proc/self/uid_map").read_text().split()[2])
        if not is_the_folder and mapped < 2**32 - 1:
            ours.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return ours


def others_may_write(info: os.stat_result) -> bool:
    """Whether users but the owner may write it; a group of this user alone doesn't count."""
    if info.st_mode & stat.S_IWOTH:
        return True
    return bool(info.st_mode & stat.S_IWGRP) and not _is_private_group(info.st_gid)


def _is_private_group(gid: int) -> bool:
    """Whether only this user is in the group, as in the group of each user's own on Debian."""
    if gid == 0:
        return True
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
