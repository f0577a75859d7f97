"""`sweep doctor`: what this host offers for sweeps, line by line."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from sweeper.engine.cgroups import memory_room
from sweeper.engine.cpus import CpuOffer, cpu_offer
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.errors import SweeperError
from sweeper.launch import readings, trial, verdicts
from sweeper.launch.verdicts import Line

__all__ = ["Line", "checks"]

_OTHER_RAY = Path("/tmp/ray")
# Looking at so many files takes about a second.
_OTHER_RAY_ENTRIES = 100_000


def checks(runs_dir: Path) -> Iterator[Line]:
    """Look at this host, one line after the other, each as soon as it is known.

    The cheap ones come first. Then one wave is really run, and something really compiled; both
    leave nothing. What dead launches left is removed on the way.
    """
    offer = cpu_offer()
    workers = offer.usable
    yield from _looked("CPUs", lambda: _cpus(offer))
    yield from _looked("memory", lambda: _memory(workers))
    yield from _looked(
        "address space", lambda: verdicts.address_space(limit=readings.address_space_limit())
    )
    yield from _looked(
        "processes",
        lambda: verdicts.processes(rooms=readings.thread_rooms(), workers=workers),
    )
    yield from _looked("open files", lambda: _open_files(workers))
    yield from _looked("temp folder", _temp_folder)
    yield from _looked("/dev/shm", _shared_memory)
    yield from _looked("runs folder", lambda: _runs_folder(runs_dir.absolute()))
    yield from _looked("leftovers", _leftovers)
    yield from _looked(str(_OTHER_RAY), lambda: _other_ray(_OTHER_RAY))
    wave = trial.try_wave()
    yield trial.ray_line(wave)
    yield trial.worker_line(wave)
    yield trial.aftermath_line(wave)
    yield trial.cache_line(trial.try_cache(os.environ))


def _looked(name: str, look: Callable[[], Line]) -> Iterator[Line]:
    """The line that `look` makes; what it can't find out is told, not raised."""
    try:
        yield look()
    except (OSError, SweeperError) as error:
        mend = "the message tells what to change; sweeps meet the same"
        yield Line(name, "problem", str(error), mend, {"error": str(error)})


def _cpus(offer: CpuOffer) -> Line:
    return verdicts.cpus(
        affinity=len(offer.cpus),
        quota=offer.quota,
        online=max(os.cpu_count() or 1, len(offer.cpus)),
        load=os.getloadavg()[0],
    )


def _memory(workers: int) -> Line:
    total, available = readings.memory_now()
    return verdicts.memory(
        total=total,
        available=available,
        cgroup_room=memory_room(),
        workers=workers,
    )


def _open_files(workers: int) -> Line:
    soft, hard = readings.open_files_limit()
    return verdicts.open_files(soft=soft, hard=hard, workers=workers)


def _temp_folder() -> Line:
    """Where the engine would put a launch's scratch, found by making one."""
    scratch = Scratch.create(secrets.token_hex(4))
    try:
        room = readings.disk(scratch.path)
    finally:
        scratch.remove()
    return verdicts.temp_folder(
        path=scratch.path.parent, free=room.free, inodes=room.inodes, kind=room.kind
    )


def _shared_memory() -> Line:
    total, free = readings.shared_memory()
    return verdicts.shared_memory(total=total, free=free)


def _runs_folder(path: Path) -> Line:
    """A runs folder that isn't there yet is judged by the folder that it would be made in."""
    folder = readings.nearest_existing(path)
    room = readings.disk(folder)
    refusal, locks = readings.write_refusal(folder)
    return verdicts.runs_folder(
        path=path,
        refusal=refusal,
        free=room.free,
        inodes=room.inodes,
        kind=room.kind,
        locks=locks,
    )


def _leftovers() -> Line:
    found = reap_dead_launches()
    return verdicts.leftovers(folders=found.folders, processes=found.processes)


def _other_ray(path: Path) -> Line:
    owner = readings.owner_of(path)
    counted, complete = 0, True
    if owner is not None:
        counted, complete = readings.folder_size(path, most=_OTHER_RAY_ENTRIES)
    return verdicts.foreign_ray(path=path, owner=owner, counted=counted, complete=complete)
