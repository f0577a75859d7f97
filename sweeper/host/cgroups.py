"""The control groups around this process: limits that the host's own figures don't show.

A Slurm job or a container sees the whole host in /proc, but may use only what the cgroups on the
way from its own up to the root leave. Versions 1 and 2; see cgroups(7) and the kernel's
documentation of the memory and cpu controllers. Every function takes the folders that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["CGROUPS", "PROC", "cpu_quota", "folders", "memory_room", "number", "oom_kills"]

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

# Version 1 writes "no limit" as the largest page-aligned number.
_UNLIMITED = 1 << 60


def folders(controller: str, proc: Path = PROC, root: Path = CGROUPS) -> Iterator[Path]:
    """Our cgroup's folders for a controller, from the inside out, as far as they can be seen.

    In a container the inner part of the path may lie outside of what is mounted; such folders
    don't exist, and reading them finds nothing.
    """
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    bases = [root, root / controller]  # version 2, version 1
    inner = dict.fromkeys(bases, "")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            inner[root] = path.strip("/")
        elif controller in controllers.split(","):
            inner[root / controller] = path.strip("/")
    for base in bases:
        folder = base / inner[base]
        yield folder
        yield from (parent for parent in folder.parents if parent.is_relative_to(base))


def number(file: Path) -> int | None:
    """The number in a file; None for no file, no number (``max``) or no limit."""
    try:
        value = int(file.read_text())
    except (OSError, ValueError):
        return None
    return value if value < _UNLIMITED else None


def memory_room(proc: Path = PROC, root: Path = CGROUPS) -> int | None:
    """Bytes that the tightest cgroup still leaves, or None without a limit.

    Cached file pages that nobody uses count as free, because the kernel drops them first.
    """
    rooms = []
    for folder in folders("memory", proc, root):
        for most, now, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = number(folder / most)
            if limit is not None:
                used = number(folder / now) or 0
                rooms.append(limit - used + (_statistic(folder / "memory.stat", cached) or 0))
    return min(rooms, default=None)


def oom_kills(proc: Path = PROC, root: Path = CGROUPS) -> int:
    """How often the kernel has killed for lack of memory in our cgroup.

    Where the cgroup doesn't count (the root of the host does not), the count is the whole host's.
    """
    for folder in folders("memory", proc, root):
        for file in ("memory.events", "memory.oom_control"):
            count = _statistic(folder / file, "oom_kill")
            if count is not None:
                return count
    return _statistic(proc / "vmstat", "oom_kill") or 0


def cpu_quota(proc: Path = PROC, root: Path = CGROUPS) -> float | None:
    """CPUs paid for by the tightest quota, or None without one."""
    quotas = []
    for folder in folders("cpu", proc, root):
        quota, period = _v2_quota(folder) or (
            number(folder / "cpu.cfs_quota_us"),
            number(folder / "cpu.cfs_period_us"),
        )
        if quota and period and quota > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _v2_quota(folder: Path) -> tuple[int, int] | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else (int(quota), int(period))


def _statistic(file: Path, name: str) -> int | None:
    try:
        found = re.search(rf"^{name} (\d+)$", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
