"""Disk space, memory and threads on the host, and what they allow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from sweeper.errors import HostError
from sweeper.host.cgroups import memory_room
from sweeper.host.facts import Room
from sweeper.units import GIB, MIB, size

__all__ = [
    "WAVE_THREADS",
    "WORKER_THREADS",
    "DiskBudget",
    "available_memory",
    "cap_log",
    "disk_budget",
    "free_bytes",
    "runs_that_fit",
    "thread_shortage",
]

# Below this a launch doesn't start, and a running one pauses.
FLOOR_BYTES = 256 * MIB
# The scratch may take this share of what is free at the launch, within bounds.
BUDGET_SHARE = 0.2
BUDGET_BOUNDS = (256 * MIB, 50 * GIB)
# A wave is drained and replaced when its scratch reaches this share of the budget: two may overlap.
RECYCLE_SHARE = 0.45
# Of the memory that was available at the launch, runs may fill this share.
MEMORY_SHARE = 0.85
# What the Ray actor of a slot has resident besides the process of its runs.
SLOT_MEMORY = 100 * 1024**2
# Measured with Ray 2.60 and jax 0.10.2 on 2 CPUs. A wave's eight daemons and its driver have 152
# threads, and two waves overlap while one drains; a pinned worker has 44 threads, 26 of them Ray's.
WAVE_THREADS = 170
WORKER_THREADS = 45
LOG_LIMIT_BYTES = 20 * MIB
_LOG_KEPT_BYTES = MIB


def free_bytes(path: Path) -> int:
    """Space that this user may still fill on the file system of `path`.

    A folder that a cleaner has deleted is made again later: its parent's file system counts.
    """
    try:
        return shutil.disk_usage(path).free
    except FileNotFoundError:
        return free_bytes(path.parent)


@dataclass(frozen=True)
class DiskBudget:
    """How much scratch a launch may use, in bytes, and where."""

    scratch: Path
    records: Path
    bytes: int
    free: Callable[[Path], int] = free_bytes

    def recycle(self, wave_bytes: int) -> bool:
        """Whether a wave whose scratch has grown to this has to be drained and replaced."""
        return wave_bytes > self.bytes * RECYCLE_SHARE

    def shortage(self) -> str | None:
        """Why nothing more may be started: the disk is nearly full, for whatever reason."""
        for place in (self.scratch, self.records):
            free = self.free(place)
            if free < FLOOR_BYTES:
                return (
                    f"the disk of {place} is nearly full: {size(free)} free, at least "
                    f"{size(FLOOR_BYTES)} are needed"
                )
        return None


def disk_budget(scratch: Path, records: Path, wanted: int | None = None) -> DiskBudget:
    """The budget in bytes: the wanted one, else by what is free now.

    Raises `HostError` under the floor.
    """
    low, high = BUDGET_BOUNDS
    share = int(min(max(free_bytes(scratch) * BUDGET_SHARE, low), high))
    budget = DiskBudget(scratch, records, share if wanted is None else wanted)
    shortage = budget.shortage()
    if shortage:
        raise HostError(f"{shortage}. Free some, or set SWEEPER_SCRATCH or --runs-dir elsewhere.")
    return budget


def runs_that_fit(peaks: Mapping[str, int], available: int, slots: int) -> int:
    """How many runs fit into memory at once, at least one.

    `peaks` maps programs to the largest resident set of their finished runs in bytes, `available`
    is what was free at the launch. The largest program decides: a heuristic on the safe side.
    """
    largest = max(peaks.values(), default=0)
    if largest <= 0:
        return slots
    return max(1, min(slots, int(available * MEMORY_SHARE) // (largest + SLOT_MEMORY)))


def available_memory() -> int:
    """Bytes that may still be filled: what the host has, or what our cgroups leave."""
    available = int(psutil.virtual_memory().available)
    room = memory_room()
    return available if room is None else max(0, min(available, room))


def thread_shortage(room: Room, workers: int) -> str | None:
    """Why so many workers can't have their threads under a limit, and the fix; None if they can."""
    fit = max(0, (room.free - 2 * WAVE_THREADS) // WORKER_THREADS)
    if fit < 1:
        return f"{room.name} leaves {room.free}, too few for one worker: {room.fix}"
    if fit < workers:
        return f"{room.name} leaves {room.free}: {room.fix}, or `sweep launch --cpus {fit}`"
    return None


def cap_log(path: Path, limit: int = LOG_LIMIT_BYTES, kept: int = _LOG_KEPT_BYTES) -> bool:
    """Cut a log longer than `limit` to its first and last `kept` bytes; whether it was cut.

    Its writer may go on: it appends, so it continues behind the cut.
    """
    try:
        size = path.lstat().st_size
        if size <= limit:
            return False
        # Never follow a link that a training has put there.
        with os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
            file.seek(-kept, os.SEEK_END)
            tail = file.read(kept)
            file.truncate(kept)
        note = f"\n[… {size - 2 * kept} bytes left out: the log had grown past its limit …]\n"
        with path.open("ab") as file:
            file.write(note.encode() + tail)
    except OSError:
        return False
    return True
