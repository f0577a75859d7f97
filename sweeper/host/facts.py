"""What this host's kernel reports: limits, memory, room on disk, file systems.

Every function takes the folders that it reads, so that other hosts can be laid out as files.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import resource
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweeper.host.cgroups import CGROUPS, PROC, folders, number

__all__ = [
    "NETWORK_FILE_SYSTEMS",
    "Disk",
    "Room",
    "address_space_limit",
    "disk",
    "file_size_limit",
    "file_system",
    "folder_size",
    "is_on_network",
    "loopback_refusal",
    "memory_now",
    "nearest_existing",
    "open_files_limit",
    "owner_of",
    "shared_memory",
    "thread_rooms",
    "write_refusal",
]

# File systems that other hosts write to as well, as /proc/self/mountinfo names them.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs"}
    | {"lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "smb3", "smbfs", "virtiofs"}
)

_CAP_SYS_ADMIN, _CAP_SYS_RESOURCE = 21, 24


def memory_now(proc: Path = PROC) -> tuple[int, int]:
    """Bytes of memory of the host, and how many of them are available, proc(5)."""
    lines = (proc / "meminfo").read_text().splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024


def thread_rooms(
    proc: Path = PROC, root: Path = CGROUPS, *, nproc: tuple[int, int] | None = None
) -> list[Room]:
    """Every limit that new threads of this user run into, with what counts against it.

    `nproc` is RLIMIT_NPROC, soft and hard, by default that of this process.
    """
    rooms = []
    soft, hard = nproc or resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY and not _exempt_from_nproc(proc):
        fix = "raise it in /etc/security/limits.d (docker: --ulimit nproc=30000:30000)"
        if hard == resource.RLIM_INFINITY:
            fix = "raise it (`ulimit -u unlimited`)"
        elif hard > soft:
            fix = f"raise it (`ulimit -u {hard}`)"
        rooms.append(Room("ulimit -u", soft, _threads_of_user(proc), fix))
    for folder in folders("pids", proc, root):
        limit = number(folder / "pids.max")
        if limit is not None:
            fix = "raise it (docker: --pids-limit, systemd: TasksMax=)"
            rooms.append(Room("pids.max", limit, number(folder / "pids.current") or 0, fix))
    used = _threads_of_host(proc)
    for name in ("threads-max", "pid_max"):
        limit = number(proc / "sys/kernel" / name)
        if limit is not None:
            fix = f"have the administrator raise it (`sysctl kernel.{name}`)"
            rooms.append(Room(f"kernel.{name}", limit, used, fix))
    return rooms


def _exempt_from_nproc(proc: Path) -> bool:
    """Whether the kernel ignores RLIMIT_NPROC for us: fork(2), and capabilities(7).

    True for the real root and for holders of two capabilities, but only outside of a user
    namespace, whose root is no root to the kernel.
    """
    try:
        mapped = (proc / "self/uid_map").read_text().split()
        status = (proc / "self/status").read_text()
    except OSError:
        return False
    if mapped != ["0", "0", "4294967295"]:
        return False
    held = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    bits = int(held[1], 16) if held else 0
    return os.getuid() == 0 or bool(bits & (1 << _CAP_SYS_ADMIN | 1 << _CAP_SYS_RESOURCE))


def _threads_of_user(proc: Path) -> int:
    """Threads of our uid, which is what RLIMIT_NPROC limits; those in other containers not seen."""
    total = 0
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        uid = re.search(r"^Uid:\s*(\d+)", status, re.MULTILINE)
        threads = re.search(r"^Threads:\s*(\d+)", status, re.MULTILINE)
        if uid and threads and int(uid[1]) == os.getuid():
            total += int(threads[1])
    return total


def _threads_of_host(proc: Path) -> int:
    """The fourth field of /proc/loadavg, ``running/all``: of the whole host, in containers too."""
    try:
        return int((proc / "loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def address_space_limit() -> int | None:
    """RLIMIT_AS in bytes, None for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def file_size_limit() -> int | None:
    """RLIMIT_FSIZE in bytes, None for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if soft == resource.RLIM_INFINITY else soft


def loopback_refusal() -> str | None:
    """Why processes of this host can't talk over 127.0.0.1; None where they can."""
    try:
        with socket.socket() as listening, socket.socket() as calling:
            listening.bind(("127.0.0.1", 0))
            listening.listen(1)
            calling.settimeout(5.0)
            calling.connect(listening.getsockname())
    except OSError as error:
        return error.strerror or str(error)
    return None


def open_files_limit() -> tuple[int, int]:
    """RLIMIT_NOFILE, soft and hard; no limit is as large as no kernel allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 30
    return (
        most if soft == resource.RLIM_INFINITY else soft,
        most if hard == resource.RLIM_INFINITY else hard,
    )


@dataclass(frozen=True)
class Disk:
    """The file system below a path: free bytes and inodes for us (None: not counted), its type."""

    free: int
    total: int
    inodes: int | None
    kind: str


def disk(path: Path, proc: Path = PROC) -> Disk:
    """Look at the file system of `path`, which must exist. Raises OSError."""
    info = os.statvfs(path)
    try:
        kind = file_system(path.resolve(), (proc / "self/mountinfo").read_text())
    except OSError:
        kind = "unknown"
    return Disk(
        free=info.f_bavail * info.f_frsize,
        total=info.f_blocks * info.f_frsize,
        inodes=info.f_favail if info.f_files else None,
        kind=kind,
    )


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system that holds the absolute `path`, by /proc/self/mountinfo.

    The longest mount point above the path; of several mounts on one point the last is on top.
    """
    best, kind = -1, "unknown"
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(_unescaped(fields.split()[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split()[0]
    return kind


def is_on_network(path: Path) -> bool:
    """Whether other hosts may write to this folder's file system; True where nobody can say."""
    try:
        return disk(path.resolve()).kind in NETWORK_FILE_SYSTEMS | {"unknown"}
    except OSError:
        return True


def _unescaped(text: str) -> str:
    r"""Blanks and the like are written as octal numbers: ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def nearest_existing(path: Path) -> Path:
    """`path` if it is there, else the nearest above it that is. Raises OSError if it's hidden."""
    return next(above for above in (path, *path.parents) if above.exists())


def write_refusal(folder: Path) -> tuple[str | None, bool]:
    """Why no file can be written in `folder` (None: it can), and whether flock works there."""
    if not folder.is_dir():
        return f"{folder} is no folder", False
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return None, False
            return None, True
    except OSError as error:
        return error.strerror or str(error), False


def shared_memory(folder: Path = Path("/dev/shm")) -> tuple[int | None, int]:
    """Bytes of /dev/shm and how many are free; None where it is missing or not writable."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return None, 0
    found = disk(folder)
    return found.total, found.free


def owner_of(path: Path) -> str | None:
    """The name of the user who owns a file or folder; None if it isn't there."""
    try:
        uid = path.lstat().st_uid
    except OSError:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def folder_size(folder: Path, *, most: int | None = None) -> tuple[int, bool]:
    """Bytes on disk of everything below `folder`, and whether all of it was counted.

    With `most`, no more entries than that are looked at: such a folder can hold millions. What
    can't be read or vanishes meanwhile is left out.
    """
    total, seen, complete = 0, 0, True
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if most is not None and seen > most:
                        return total, False
                    info = entry.stat(follow_symlinks=False)
                    total += info.st_blocks * 512
                    if stat.S_ISDIR(info.st_mode):
                        pending.append(entry.path)
        except OSError:
            complete = False
    return total, complete


@dataclass(frozen=True)
class Room:
    """A limit on threads, how many count against it already, and how it is raised."""

    name: str
    limit: int
    used: int
    fix: str

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)
