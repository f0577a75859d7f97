"""What a host's numbers mean for sweeps: pure functions from numbers to lines of `sweep doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sweeper.engine.budgets import WAVE_THREADS, WORKER_THREADS, thread_shortage
from sweeper.host.facts import Room
from sweeper.units import GIB, MIB, size

__all__ = [
    "Fault",
    "Line",
    "address_space",
    "cpus",
    "foreign_ray",
    "judged",
    "leftovers",
    "memory",
    "open_files",
    "processes",
    "runs_folder",
    "shared_memory",
    "temp_folder",
]

Verdict = Literal["ok", "warning", "problem"]
Fault = tuple[Literal["warning", "problem"], str]
"""What is wrong, and the mend for it."""


# Measured with Ray 2.60 and jax 0.10.2 on 2 CPUs.
# The raylet holds 50 files and 3 per worker, the GCS 56 and 2.
WAVE_FILES = 100
WORKER_FILES = 5
# Resident: a wave without workers; a worker with JAX, diffrax and a small model.
WAVE_MEMORY = 700 * MIB
WORKER_MEMORY = 500 * MIB
# Ray's object store, and what two overlapping waves take of /dev/shm.
OBJECT_STORE = 80 * MIB
# A heuristic: a worker that compiles a toy reserves 1.9 GiB, real programs and many CPUs more.
ADDRESS_SPACE = 8 * GIB

# File systems that other hosts write to as well, as /proc/self/mountinfo names them.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs"}
    | {"lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "smb3", "smbfs", "virtiofs"}
)
MEMORY_FILE_SYSTEMS = frozenset({"ramfs", "tmpfs"})


@dataclass(frozen=True)
class Line:
    """One line of `sweep doctor`; `data` holds the numbers behind `found`, for programs."""

    name: str
    verdict: Verdict
    found: str
    mend: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def judged(name: str, found: str, faults: Iterable[Fault], data: dict[str, Any]) -> Line:
    """A line with the worst verdict among `faults` and the mends of all of them."""
    listed = list(faults)
    verdicts = {verdict for verdict, _ in listed}
    worst: Verdict = "problem" if "problem" in verdicts else "warning" if verdicts else "ok"
    # The worst first; a mend that helps against two faults is told once.
    mends = dict.fromkeys(mend for _, mend in sorted(listed, key=lambda f: f[0] != "problem"))
    return Line(name, worst, found, "; ".join(mends) or None, data)


def cpus(*, affinity: int, quota: float | None, online: int, load: float) -> Line:
    """CPUs by affinity and by the cgroup's quota; `online` and `load` (1 min) are the host's.

    The load counts only where we may use every CPU: with a part of them, it may be all elsewhere.
    """
    usable = affinity if quota is None else max(1, min(affinity, int(quota)))
    faults: list[Fault] = []
    if affinity == 1 < online:
        mend = "ask for more (Slurm: --cpus-per-task=N, docker: --cpuset-cpus, taskset)"
        faults.append(("warning", mend))
    if quota is not None and quota < 1:
        faults.append(("warning", "give the container a whole CPU at least (docker --cpus)"))
    if affinity == online and load > online / 2:
        left = max(1, usable - round(load))
        mend = f"others keep this host busy; share it with `sweep launch --cpus {left}`"
        faults.append(("warning", mend))
    paid = "no quota" if quota is None else f"a quota of {quota:g}"
    found = f"{usable} to use: {affinity} of {online} by affinity, {paid}; load {load:.1f}"
    data = {
        "usable": usable,
        "affinity": affinity,
        "quota": quota,
        "online": online,
        "load": load,
    }
    return judged("CPUs", found, faults, data)


def memory(*, total: int, available: int, cgroup_room: int | None, workers: int) -> Line:
    """Bytes of memory of the host, what is free of them, and what the tightest cgroup leaves."""
    usable = available if cgroup_room is None else min(available, cgroup_room)
    fit = max(0, (usable - WAVE_MEMORY) // WORKER_MEMORY)
    faults: list[Fault] = []
    if fit < 1:
        need = size(WAVE_MEMORY + WORKER_MEMORY)
        more = "ask for more (Slurm: --mem, docker: --memory) or wait until others are done"
        faults.append(("problem", f"one worker with its Ray needs {need}: {more}"))
    elif fit < workers:
        each = size(WORKER_MEMORY)
        mend = (
            f"it carries {fit} of {workers} workers at {each} each: `sweep launch --cpus {fit}`, "
            f"or more with a smaller model; `memory_per_run` keeps one run from taking it all"
        )
        faults.append(("warning", mend))
    limit = "" if cgroup_room is None else f", the cgroup leaves {size(max(0, cgroup_room))}"
    found = f"{size(available)} of {size(total)} available{limit}"
    data = {
        "total_bytes": total,
        "available_bytes": available,
        "cgroup_room_bytes": cgroup_room,
        "workers_that_fit": fit,
    }
    return judged("memory", found, faults, data)


def address_space(*, limit: int | None) -> Line:
    """RLIMIT_AS (``ulimit -v``) in bytes, None for no limit."""
    found = "no limit" if limit is None else f"limited to {size(limit)} a process"
    faults: list[Fault] = []
    if limit is not None and limit < ADDRESS_SPACE:
        mend = "Ray and XLA reserve far more than they use: `ulimit -v unlimited`"
        faults.append(("warning", f"{mend}; limit runs with `memory_per_run` instead"))
    return judged("address space", found, faults, {"limit_bytes": limit})


def processes(*, rooms: Sequence[Room], workers: int) -> Line:
    """Every limit on processes and threads (the kernel counts threads) against a full sweep's."""
    expected = 2 * WAVE_THREADS + workers * WORKER_THREADS
    faults: list[Fault] = []
    for room in rooms:
        shortage = thread_shortage(room, workers)
        if shortage:
            faults.append(("problem", shortage))
        elif room.free < expected * 5 // 4:
            faults.append(("warning", f"{room.name} leaves {room.free}, just enough: {room.mend}"))
    limits = ", ".join(f"{room.name} {room.limit} ({room.used} used)" for room in rooms)
    found = f"{expected} threads expected for {workers} workers; {limits or 'no limit'}"
    data = {
        "expected_threads": expected,
        "workers": workers,
        "limits": {room.name: {"limit": room.limit, "used": room.used} for room in rooms},
    }
    return judged("processes", found, faults, data)


def open_files(*, soft: int, hard: int, workers: int) -> Line:
    """RLIMIT_NOFILE; Ray raises its own soft limit as far as the hard one and 65536."""
    expected = WAVE_FILES + workers * WORKER_FILES
    effective = max(soft, min(hard, 65536))
    faults: list[Fault] = []
    raise_it = "raise the hard limit (docker: --ulimit nofile=8192:8192, or limits.conf)"
    if effective < expected:
        fit = max(0, (effective - WAVE_FILES) // WORKER_FILES)
        less = f", or `sweep launch --cpus {fit}`" if fit else ""
        faults.append(("problem", f"Ray's raylet needs {expected}: {raise_it}{less}"))
    elif effective < 2 * expected:
        faults.append(("warning", f"just enough for Ray's raylet: {raise_it}"))
    found = f"{expected} expected in one process; limit {soft}, which Ray raises to {effective}"
    if soft >= effective:
        found = f"{expected} expected in one process; limit {soft}"
    data = {"expected": expected, "soft": soft, "hard": hard, "effective": effective}
    return judged("open files", found, faults, data)


def _no_room(free: int, inodes: int | None, mend: str) -> list[Fault]:
    """What is wrong with a folder's file system that has `free` bytes and `inodes` left."""
    faults: list[Fault] = []
    if free < GIB // 2:
        faults.append(("problem", mend))
    elif free < 5 * GIB:
        faults.append(("warning", mend))
    if inodes is not None and inodes < 1000:
        faults.append(("problem", f"no room for new files ({inodes} inodes left): {mend}"))
    elif inodes is not None and inodes < 20_000:
        faults.append(("warning", f"only {inodes} inodes left: {mend}"))
    return faults


def temp_folder(*, path: Path, free: int, inodes: int | None, kind: str) -> Line:
    """Where a wave's scratch lies: free bytes and inodes (None: uncounted), file system type."""
    elsewhere = "make room, or set SWEEPER_SCRATCH to a short path with room"
    faults = _no_room(free, inodes, elsewhere)
    if kind in NETWORK_FILE_SYSTEMS:
        faults.append(("warning", "Ray's sockets and logs want a local disk: set SWEEPER_SCRATCH"))
    note = ", in memory" if kind in MEMORY_FILE_SYSTEMS else ""
    found = f"{size(free)} free at {path} ({kind}{note})"
    data = {"path": str(path), "free_bytes": free, "free_inodes": inodes, "file_system": kind}
    return judged("temp folder", found, faults, data)


def shared_memory(*, total: int | None, free: int) -> Line:
    """/dev/shm, in bytes; `total` is None where it is missing or may not be written."""
    if total is None:
        mend = "mount it: Ray doesn't start without (docker: --shm-size=512m)"
        return Line("/dev/shm", "problem", "missing or not writable", mend, {"total_bytes": None})
    faults: list[Fault] = []
    if free < 2 * OBJECT_STORE:
        why = "Ray's object store goes to the temp folder instead, which is slower"
        enough = total >= 2 * OBJECT_STORE
        mend = "delete what dead programs left there" if enough else "docker: --shm-size=512m"
        faults.append(("warning", f"{why}: {mend}"))
    found = f"{size(free)} of {size(total)} free"
    return judged("/dev/shm", found, faults, {"total_bytes": total, "free_bytes": free})


def runs_folder(
    *,
    path: Path,
    refusal: str | None,
    free: int,
    inodes: int | None,
    kind: str,
    locks: bool,
) -> Line:
    """The runs folder: why it can't be written (`refusal`), its room, whether flock works there."""
    data = {
        "path": str(path),
        "writable": refusal is None,
        "free_bytes": free,
        "free_inodes": inodes,
        "file_system": kind,
        "flock": locks,
    }
    if refusal is not None:
        mend = "choose another place with --runs-dir or SWEEPER_RUNS"
        return Line("runs folder", "problem", f"{path} can't be written: {refusal}", mend, data)
    faults = _no_room(free, inodes, "make room, or choose another place with --runs-dir")
    if not locks:
        mend = "no flock here: start each group on one host at a time, or use another --runs-dir"
        faults.append(("warning", mend))
    shared = ""
    if kind in NETWORK_FILE_SYSTEMS:
        shared = (
            "; flock here may reach only this host, so launch a group from one host at a time"
            if locks
            else "; shared with other hosts"
        )
    found = f"{path} is writable, {size(free)} free ({kind}{shared})"
    return judged("runs folder", found, faults, data)


def leftovers(*, folders: int, processes: int) -> Line:
    """What launches with a dead supervisor had left, and what has just been removed."""
    data = {"folders_removed": folders, "processes_ended": processes}
    if not folders and not processes:
        return Line("leftovers", "ok", "nothing of dead launches", None, data)
    found = (
        f"removed {_counted(folders, 'scratch folder')} and ended "
        f"{_counted(processes, 'process')} of launches that had died"
    )
    mend = "`sweep launch` again trains what those launches didn't finish"
    return Line("leftovers", "warning", found, mend, data)


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def foreign_ray(*, path: Path, owner: str | None, counted: int, complete: bool) -> Line:
    """The default folder of every other Ray on the host; `owner` is None where there is none.

    `counted` bytes were found in it; `complete` is False when not all of it was (or may be) read.
    """
    data = {"path": str(path), "owner": owner, "bytes": counted, "complete": complete}
    if owner is None:
        return Line(str(path), "ok", "none", None, data)
    amount = size(counted) if complete else f"at least {size(counted)}"
    found = f"{amount}, of {owner}; made by other programs and never touched from here"
    faults: list[Fault] = []
    if counted > 10 * GIB:
        mend = "its owner can delete the session_* folders of programs that have ended"
        faults.append(("warning", mend))
    return judged(str(path), found, faults, data)
