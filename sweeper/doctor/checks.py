"""`sweep doctor`: what this host offers for sweeps, check by check."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from sweeper.doctor import limits, self_test
from sweeper.doctor.limits import Check
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.errors import SweeperError
from sweeper.host import facts
from sweeper.host.cgroups import memory_room
from sweeper.host.cpus import CpuOffer, cpu_offer

__all__ = ["Check", "checks"]

_OTHER_RAY = Path("/tmp/ray")
# Looking at so many files takes about a second.
_OTHER_RAY_ENTRIES = 100_000


def checks(runs_dir: Path) -> Generator[Check, None, None]:
    """Look at this host, one check after the other, each as soon as it is known.

    The quick ones come first. Then one wave is really run, and something really compiled; both
    leave nothing. What dead launches left is removed on the way.
    """
    offer = cpu_offer()
    workers = offer.usable
    yield from _looked("CPUs", lambda: _cpus(offer))
    yield from _looked("memory", lambda: _memory(workers))
    yield from _looked(
        "address space", lambda: limits.address_space(limit=facts.address_space_limit())
    )
    yield from _looked("file size", lambda: limits.file_size(limit=facts.file_size_limit()))
    yield from _looked("loopback", lambda: limits.loopback(refusal=facts.loopback_refusal()))
    yield from _looked(
        "processes",
        lambda: limits.processes(rooms=facts.thread_rooms(), workers=workers),
    )
    yield from _looked("open files", lambda: _open_files(workers))
    yield from _looked("temp folder", _temp_folder)
    yield from _looked("/dev/shm", _shared_memory)
    yield from _looked("runs folder", lambda: _runs_folder(runs_dir.absolute()))
    yield from _looked("leftovers", _leftovers)
    yield from _looked(str(_OTHER_RAY), lambda: _other_ray(_OTHER_RAY))
    wave = self_test.try_wave()
    yield self_test.ray_check(wave)
    yield self_test.worker_check(wave)
    yield self_test.aftermath_check(wave)
    yield from _looked(
        "compile cache", lambda: self_test.cache_check(self_test.try_cache(os.environ))
    )


def _looked(name: str, look: Callable[[], Check]) -> Iterator[Check]:
    """The check that `look` makes; what it can't find out is reported, not raised."""
    try:
        yield look()
    except (OSError, SweeperError) as error:
        fix = "the message says what to change; sweeps meet the same problem"
        yield Check(name, "problem", str(error), fix, {"error": str(error)})


def _cpus(offer: CpuOffer) -> Check:
    return limits.cpus(
        affinity=len(offer.cpus),
        quota=offer.quota,
        online=max(os.cpu_count() or 1, len(offer.cpus)),
        load=os.getloadavg()[0],
    )


def _memory(workers: int) -> Check:
    total, available = facts.memory_now()
    return limits.memory(
        total=total,
        available=available,
        cgroup_room=memory_room(),
        workers=workers,
    )


def _open_files(workers: int) -> Check:
    soft, hard = facts.open_files_limit()
    return limits.open_files(soft=soft, hard=hard, workers=workers)


def _temp_folder() -> Check:
    """Where the engine would put a launch's scratch, found by making one."""
    scratch = Scratch.create(secrets.token_hex(4))
    try:
        room = facts.disk(scratch.path)
    finally:
        scratch.remove()
    return limits.temp_folder(
        path=scratch.path.parent, free=room.free, inodes=room.inodes, kind=room.kind
    )


def _shared_memory() -> Check:
    total, free = facts.shared_memory()
    return limits.shared_memory(total=total, free=free)


def _runs_folder(path: Path) -> Check:
    """A runs folder that isn't there yet is judged by the folder that it would be made in."""
    folder = facts.nearest_existing(path)
    room = facts.disk(folder)
    refusal, locks = facts.write_refusal(folder)
    return limits.runs_folder(
        path=path,
        refusal=refusal,
        free=room.free,
        inodes=room.inodes,
        kind=room.kind,
        locks=locks,
    )


def _leftovers() -> Check:
    found = reap_dead_launches()
    return limits.leftovers(folders=found.folders, processes=found.processes)


def _other_ray(path: Path) -> Check:
    owner = facts.owner_of(path)
    counted, complete = 0, True
    if owner is not None:
        counted, complete = facts.folder_size(path, most=_OTHER_RAY_ENTRIES)
    return limits.foreign_ray(path=path, owner=owner, counted=counted, complete=complete)
