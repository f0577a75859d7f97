"""Which CPUs this process may use, and how they are cut into slots.

`os.cpu_count()` is never asked: it counts the host's CPUs, not ours. What counts is the affinity
(cpusets, `taskset`, Slurm) and the cgroup's quota (`docker --cpus`), which JAX and Ray don't see.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeper.errors import HostError
from sweeper.host.cgroups import CGROUPS, PROC, cpu_quota
from sweeper.suggest import counted

__all__ = ["CpuOffer", "Slot", "claims_on_cpus", "cpu_offer", "cut_slots", "parse_cpu_list"]


@dataclass(frozen=True)
class Slot:
    """A set of CPUs that one worker owns."""

    index: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class CpuOffer:
    """What we may use of this host: the CPUs by affinity, and how many the quota pays for."""

    cpus: tuple[int, ...]
    quota: float | None

    @property
    def usable(self) -> int:
        """How many CPUs can be kept busy, at least one."""
        if self.quota is None:
            return len(self.cpus)
        return max(1, min(len(self.cpus), int(self.quota)))


def cpu_offer(proc: Path = PROC, cgroups: Path = CGROUPS) -> CpuOffer:
    """Read affinity and cgroup quota of this process."""
    return CpuOffer(tuple(sorted(os.sched_getaffinity(0))), cpu_quota(proc, cgroups))


def cut_slots(
    offer: CpuOffer,
    *,
    cpus: int | None,
    cpus_per_run: int,
    claims: Callable[[], Counter[int]] | None = None,
) -> tuple[Slot, ...]:
    """Cut the offered CPUs into slots of `cpus_per_run`, using at most `cpus` of them.

    Where fewer CPUs are wanted than offered, those that other pinned processes claim least are
    taken first (`claims`, default `claims_on_cpus`), so that two sweeps on one host don't share.
    Raises `HostError` when the host doesn't offer what is asked for.
    """
    wanted = offer.usable if cpus is None else cpus
    if wanted > offer.usable:
        quota = f", of which the cgroup's quota pays for {offer.usable}" if offer.quota else ""
        raise HostError(
            f"--cpus {wanted}: this process may use {counted(len(offer.cpus), 'CPU')} by "
            f"affinity{quota}. "
            f"Ask for at most {offer.usable}."
        )
    if wanted < cpus_per_run:
        raise HostError(
            f"`cpus_per_run <= cpus` must hold, but got cpus_per_run={cpus_per_run}, cpus={wanted}."
        )
    chosen: Sequence[int] = offer.cpus
    if wanted < len(offer.cpus):
        load = (claims or claims_on_cpus)()
        chosen = sorted(sorted(offer.cpus, key=lambda cpu: (load[cpu], cpu))[:wanted])
    count = wanted // cpus_per_run
    return tuple(
        Slot(i, tuple(chosen[i * cpus_per_run : (i + 1) * cpus_per_run])) for i in range(count)
    )


def claims_on_cpus(proc: Path = Path("/proc")) -> Counter[int]:
    """How many processes, whoever owns them, are pinned narrowly (to at most 8 CPUs) on each CPU.

    A heuristic: a process that is pinned narrowly is meant to use these CPUs. Kernel threads, which
    have no address space, don't count.
    """
    claims: Counter[int] = Counter()
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines()
            )
        except (OSError, ValueError):
            continue
        allowed = parse_cpu_list(fields.get("Cpus_allowed_list", ""))
        if "VmSize" in fields and 0 < len(allowed) <= 8:
            claims.update(allowed)
    return claims


def parse_cpu_list(text: str) -> list[int]:
    """``"0-3,8"`` → ``[0, 1, 2, 3, 8]``, the kernel's way to write CPU sets."""
    cpus: list[int] = []
    for part in _parts(text):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def _parts(text: str) -> Iterable[str]:
    return (part for part in text.strip().split(",") if part)
