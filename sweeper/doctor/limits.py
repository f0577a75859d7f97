"""The checks of `sweep doctor`: pure functions of a host's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sweeper.engine.budgets import WAVE_THREADS, WORKER_THREADS, thread_shortage
from sweeper.engine.start_needs import (
    address_space_shortage,
    file_size_shortage,
    loopback_shortage,
)
from sweeper.host.facts import NETWORK_FILE_SYSTEMS, Room
from sweeper.suggest import counted
from sweeper.units import GIB, MIB, size

__all__ = [
    "Check",
    "Finding",
    "address_space",
    "cpus",
    "file_size",
    "foreign_ray",
    "judged",
    "leftovers",
    "loopback",
    "memory",
    "open_files",
    "processes",
    "runs_folder",
    "shared_memory",
    "temp_folder",
]

Verdict = Literal["ok", "warning", "problem"]
Finding = tuple[Literal["warning", "problem"], str]
"""What is wrong, and how to fix it."""


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

MEMORY_FILE_SYSTEMS = frozenset({"ramfs", "tmpfs"})


@dataclass(frozen=True)
class Check:
    """One check of `sweep doctor`; `data` holds the numbers behind `found`, for programs."""

    name: str
    verdict: Verdict
    found: str
    fix: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def judged(name: str, found: str, findings: Iterable[Finding], data: dict[str, Any]) -> Check:
    """A check with the worst verdict among `findings` and the fixes of all of them."""
    listed = list(findings)
    verdicts = {verdict for verdict, _ in listed}
    worst: Verdict = "problem" if "problem" in verdicts else "warning" if verdicts else "ok"
    # The worst first; a fix for two findings is given once.
    fixes = dict.fromkeys(fix for _, fix in sorted(listed, key=lambda f: f[0] != "problem"))
    return Check(name, worst, found, "; ".join(fixes) or None, data)


def cpus(*, affinity: int, quota: float | None, online: int, load: float) -> Check:
    """CPUs by affinity and by the cgroup's quota; `online` and `load` (1 min) are the host's.

    The load counts only where we may use every CPU: with a part of them, it may be all elsewhere.
    """
    usable = affinity if quota is None else max(1, min(affinity, int(quota)))
    findings: list[Finding] = []
    if affinity == 1 < online:
        fix = "ask for more (Slurm: --cpus-per-task=N, docker: --cpuset-cpus, taskset)"
        findings.append(("warning", fix))
    if quota is not None and quota < 1:
        findings.append(("warning", "give the container a whole CPU at least (docker --cpus)"))
    if affinity == online and load > online / 2:
        left = max(1, usable - round(load))
        fix = f"others keep this host busy; share it with `sweep launch --cpus {left}`"
        findings.append(("warning", fix))
    paid = "no quota" if quota is None else f"a quota of {quota:g}"
    found = f"{usable} to use: {affinity} of {online} by affinity, {paid}; load {load:.1f}"
    data = {
        "usable": usable,
        "affinity": affinity,
        "quota": quota,
        "online": online,
        "load": load,
    }
    return judged("CPUs", found, findings, data)


def memory(*, total: int, available: int, cgroup_room: int | None, workers: int) -> Check:
    """Bytes of memory of the host, what is free of them, and what the tightest cgroup leaves."""
    usable = available if cgroup_room is None else min(available, cgroup_room)
    fit = max(0, (usable - WAVE_MEMORY) // WORKER_MEMORY)
    findings: list[Finding] = []
    if fit < 1:
        need = size(WAVE_MEMORY + WORKER_MEMORY)
        more = "ask for more (Slurm: --mem, docker: --memory) or wait until others are done"
        findings.append(("problem", f"one worker with its Ray needs {need}: {more}"))
    elif fit < workers:
        each = size(WORKER_MEMORY)
        fix = (
            f"it is enough for {fit} of {counted(workers, 'worker')} at {each} each: "
            f"`sweep launch --cpus {fit}`, or more with a smaller model; "
            f"`memory_per_run` keeps one run from taking it all"
        )
        findings.append(("warning", fix))
    limit = "" if cgroup_room is None else f", the cgroup leaves {size(max(0, cgroup_room))}"
    found = f"{size(available)} of {size(total)} available{limit}"
    data = {
        "total_bytes": total,
        "available_bytes": available,
        "cgroup_room_bytes": cgroup_room,
        "workers_that_fit": fit,
    }
    return judged("memory", found, findings, data)


def address_space(*, limit: int | None) -> Check:
    """RLIMIT_AS (``ulimit -v``) in bytes, None for no limit."""
    found = "no limit" if limit is None else f"limited to {size(limit)} a process"
    findings: list[Finding] = []
    shortage = address_space_shortage(limit)
    if shortage:
        findings.append(("problem", shortage))
    elif limit is not None and limit < ADDRESS_SPACE:
        fix = "Ray and XLA reserve far more than they use: `ulimit -v unlimited`"
        findings.append(("warning", f"{fix}; limit runs with `memory_per_run` instead"))
    return judged("address space", found, findings, {"limit_bytes": limit})


def file_size(*, limit: int | None) -> Check:
    """RLIMIT_FSIZE (``ulimit -f``) in bytes, None for no limit."""
    found = "no limit" if limit is None else f"limited to {size(limit)} a file"
    shortage = file_size_shortage(limit)
    findings: list[Finding] = [("problem", shortage)] if shortage else []
    return judged("file size", found, findings, {"limit_bytes": limit})


def loopback(*, refusal: str | None) -> Check:
    """Whether processes can talk over 127.0.0.1; `refusal` is the system's word."""
    shortage = loopback_shortage(refusal)
    findings: list[Finding] = [("problem", shortage)] if shortage else []
    found = "127.0.0.1 can be reached" if refusal is None else f"127.0.0.1: {refusal}"
    return judged("loopback", found, findings, {"refusal": refusal})


def processes(*, rooms: Sequence[Room], workers: int) -> Check:
    """Every limit on processes and threads (the kernel counts threads) against a full sweep's."""
    expected = 2 * WAVE_THREADS + workers * WORKER_THREADS
    findings: list[Finding] = []
    for room in rooms:
        shortage = thread_shortage(room, workers)
        if shortage:
            findings.append(("problem", shortage))
        elif room.free < expected * 5 // 4:
            findings.append(("warning", f"{room.name} leaves {room.free}, just enough: {room.fix}"))
    limits = ", ".join(f"{room.name} {room.limit} ({room.used} used)" for room in rooms)
    found = f"{expected} threads expected for {counted(workers, 'worker')}; {limits or 'no limit'}"
    data = {
        "expected_threads": expected,
        "workers": workers,
        "limits": {room.name: {"limit": room.limit, "used": room.used} for room in rooms},
    }
    return judged("processes", found, findings, data)


def open_files(*, soft: int, hard: int, workers: int) -> Check:
    """RLIMIT_NOFILE; Ray raises its own soft limit as far as the hard one and 65536."""
    expected = WAVE_FILES + workers * WORKER_FILES
    effective = max(soft, min(hard, 65536))
    findings: list[Finding] = []
    raise_it = "raise the hard limit (docker: --ulimit nofile=8192:8192, or limits.conf)"
    if effective < expected:
        fit = max(0, (effective - WAVE_FILES) // WORKER_FILES)
        less = f", or `sweep launch --cpus {fit}`" if fit else ""
        findings.append(("problem", f"Ray's raylet needs {expected}: {raise_it}{less}"))
    elif effective < 2 * expected:
        findings.append(("warning", f"just enough for Ray's raylet: {raise_it}"))
    found = f"{expected} expected in one process; limit {soft}, which Ray raises to {effective}"
    if soft >= effective:
        found = f"{expected} expected in one process; limit {soft}"
    data = {"expected": expected, "soft": soft, "hard": hard, "effective": effective}
    return judged("open files", found, findings, data)


def _no_room(free: int, inodes: int | None, fix: str) -> list[Finding]:
    """What is wrong with a folder's file system that has `free` bytes and `inodes` left."""
    findings: list[Finding] = []
    if free < GIB // 2:
        findings.append(("problem", fix))
    elif free < 5 * GIB:
        findings.append(("warning", fix))
    if inodes is not None and inodes < 1000:
        findings.append(("problem", f"no room for new files ({inodes} inodes left): {fix}"))
    elif inodes is not None and inodes < 20_000:
        findings.append(("warning", f"only {inodes} inodes left: {fix}"))
    return findings


def temp_folder(*, path: Path, free: int, inodes: int | None, kind: str) -> Check:
    """Where a wave's scratch is: free bytes and inodes (None: uncounted), file system type."""
    elsewhere = "make room, or set SWEEPER_SCRATCH to a short path with room"
    findings = _no_room(free, inodes, elsewhere)
    if kind in NETWORK_FILE_SYSTEMS:
        findings.append(
            ("warning", "Ray's sockets and logs want a local disk: set SWEEPER_SCRATCH")
        )
    note = ", in memory" if kind in MEMORY_FILE_SYSTEMS else ""
    found = f"{size(free)} free at {path} ({kind}{note})"
    data = {"path": str(path), "free_bytes": free, "free_inodes": inodes, "file_system": kind}
    return judged("temp folder", found, findings, data)


def shared_memory(*, total: int | None, free: int) -> Check:
    """/dev/shm, in bytes; `total` is None where it is missing or may not be written."""
    if total is None:
        fix = "mount it: Ray doesn't start without (docker: --shm-size=512m)"
        return Check("/dev/shm", "problem", "missing or not writable", fix, {"total_bytes": None})
    findings: list[Finding] = []
    if free < 2 * OBJECT_STORE:
        why = "Ray's object store goes to the temp folder instead, which is slower"
        enough = total >= 2 * OBJECT_STORE
        fix = "delete what dead programs left there" if enough else "docker: --shm-size=512m"
        findings.append(("warning", f"{why}: {fix}"))
    found = f"{size(free)} of {size(total)} free"
    return judged("/dev/shm", found, findings, {"total_bytes": total, "free_bytes": free})


def runs_folder(
    *,
    path: Path,
    refusal: str | None,
    free: int,
    inodes: int | None,
    kind: str,
    locks: bool,
) -> Check:
    """The runs folder: why it can't be written (`refusal`), its room, and whether flock works."""
    data = {
        "path": str(path),
        "writable": refusal is None,
        "free_bytes": free,
        "free_inodes": inodes,
        "file_system": kind,
        "flock": locks,
    }
    if refusal is not None:
        fix = "choose another place with --runs-dir or SWEEPER_RUNS"
        return Check("runs folder", "problem", f"{path} can't be written: {refusal}", fix, data)
    findings = _no_room(free, inodes, "make room, or choose another place with --runs-dir")
    shared = ""
    if kind in NETWORK_FILE_SYSTEMS:
        shared = "; other hosts may share it: train parts of a sweep there with --shard i/n"
    found = f"{path} is writable, {size(free)} free ({kind}{shared})"
    return judged("runs folder", found, findings, data)


def leftovers(*, folders: int, processes: int) -> Check:
    """What launches with a dead supervisor left behind, now removed."""
    data = {"folders_removed": folders, "processes_ended": processes}
    if not folders and not processes:
        return Check("leftovers", "ok", "nothing left by dead launches", None, data)
    found = (
        f"removed {_counted(folders, 'scratch folder')} and ended "
        f"{_counted(processes, 'process')} of launches that had died"
    )
    fix = "`sweep launch` again trains what those launches didn't finish"
    return Check("leftovers", "warning", found, fix, data)


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def foreign_ray(*, path: Path, owner: str | None, counted: int, complete: bool) -> Check:
    """The default folder of every other Ray on the host; `owner` is None where there is none.

    `counted` bytes were found in it; `complete` is False when not all of it was (or may be) read.
    """
    data = {"path": str(path), "owner": owner, "bytes": counted, "complete": complete}
    if owner is None:
        return Check(str(path), "ok", "none", None, data)
    amount = size(counted) if complete else f"at least {size(counted)}"
    found = f"{amount}, of {owner}; made by other programs and never touched from here"
    findings: list[Finding] = []
    if counted > 10 * GIB:
        fix = "its owner can delete the session_* folders of programs that have ended"
        findings.append(("warning", fix))
    return judged(str(path), found, findings, data)
