"""A sweep on this host, from the file to the last outcome."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from sweeper.config import RunSpec, Sweep, plain, read_sweep
from sweeper.engine.cpus import Slot, cpu_offer, cut_slots
from sweeper.engine.decide import BRAKE_AFTER, Policy
from sweeper.engine.ledger import Job, WaveJobs
from sweeper.engine.recover import interrupted_ends
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.engine.supervisor import End, Supervisor
from sweeper.errors import HostError
from sweeper.launch.readings import thread_rooms
from sweeper.launch.verdicts import processes
from sweeper.plan import Plan, describe, invalid_cause, remaining
from sweeper.records import (
    GroupFolder,
    GroupState,
    JournalWriter,
    fold,
    read_events,
    write_atomically,
)
from sweeper.records.lock import acquire, host_name, process_start
from sweeper.records.outcomes import Outcome

__all__ = ["LaunchEnd", "Options", "Prepared", "launch", "prepare"]

_PLANNED_CHUNK = 1000


@dataclass(frozen=True)
class Options:
    """What the command line asks beyond the sweep file."""

    cpus: int | None = None
    cpus_per_run: int | None = None
    runs_per_wave: int | None = None
    brake: bool = True


@dataclass(frozen=True)
class Prepared:
    """A sweep file read and compared with the records; nothing is written yet."""

    sweep: Sweep
    folder: GroupFolder
    state: GroupState
    plan: Plan
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class LaunchEnd:
    """How a launch ended: where its records are, the state after it, and why it ended."""

    folder: GroupFolder
    state: GroupState
    end: End


class View(Protocol):
    """Shows a launch while it runs."""

    def observe(self, event: Mapping[str, Any]) -> None:
        """Called with every journal event, right after it was written."""

    def tick(self) -> None:
        """Called some times a second."""

    def close(self) -> None:
        """Called at the end, however it comes."""


def prepare(file: Path, runs_dir: Path, options: Options) -> Prepared:
    """Read the sweep file, the records and the host. Raises `ConfigError`, `HostError`."""
    sweep = read_sweep(file, search=[Path.cwd()])
    if options.cpus_per_run is not None:
        sweep = replace(
            sweep, resources=replace(sweep.resources, cpus_per_run=options.cpus_per_run)
        )
    if options.runs_per_wave is not None:
        sweep = replace(
            sweep, resources=replace(sweep.resources, runs_per_wave=options.runs_per_wave)
        )
    slots = cut_slots(cpu_offer(), cpus=options.cpus, cpus_per_run=sweep.resources.cpus_per_run)
    _check_threads(len(slots))
    folder = GroupFolder(runs_dir, sweep.group)
    state = fold(read_events(folder.journal_dir))
    return Prepared(sweep, folder, state, remaining(sweep, state), slots)


def _check_threads(workers: int) -> None:
    """Raise `HostError` where a limit on processes leaves too few: Ray would stand still."""
    line = processes(rooms=thread_rooms(), workers=workers)
    if line.verdict == "problem":
        raise HostError(f"too few processes for {workers} workers: {line.mend}")


def launch(
    file: Path,
    runs_dir: Path,
    options: Options,
    *,
    view_of: Callable[[Prepared], View],
) -> LaunchEnd:
    """Train what has no settled outcome yet.

    `view_of` gets what was prepared, right before the first wave, and returns what shows it.
    Raises `BusyError` while another launch holds the group, `HostError` when the host gives up;
    the records are complete either way.
    """
    reap_dead_launches()
    prepared = prepare(file, runs_dir, options)
    folder = prepared.folder
    with acquire(folder.make().lock_file):
        # Read again under the lock: another launch may have ended a moment ago.
        launch_id = secrets.token_hex(4)
        with JournalWriter(folder.journal_dir, f"{host_name()}-{launch_id}") as journal:
            _close_interrupted(folder, journal)
            prepared = prepare(file, runs_dir, options)
            _announce(prepared, journal, launch_id)
            with (
                contextlib.closing(view_of(prepared)) as view,
                _launch_end(journal, folder, launch_id) as ending,
            ):
                end = _supervise(prepared, journal, launch_id, view, options)
                ending["reason"] = end.reason
                if end.message:
                    ending["message"] = end.message
        return LaunchEnd(folder, fold(read_events(folder.journal_dir)), end)


def _close_interrupted(folder: GroupFolder, journal: JournalWriter) -> None:
    """Give every attempt that a dead launch left open its end; the lock says it is dead."""
    ends = interrupted_ends(folder, fold(read_events(folder.journal_dir)))
    if ends:
        journal.append(*ends)


def _announce(prepared: Prepared, journal: JournalWriter, launch_id: str) -> None:
    """Journal what is planned, and leave the sweep file and the plan beside it."""
    sweep, folder, plan = prepared.sweep, prepared.folder, prepared.plan
    write_atomically(folder.sweep_file, sweep.text)
    write_atomically(folder.plan_file, json.dumps(describe(plan, sweep), indent=1) + "\n")
    specs = {spec.id: dict(spec.axis_values) for spec in sweep}
    journal.append(
        {
            "event": "launched",
            "launch": launch_id,
            "host": host_name(),
            "pid": os.getpid(),
            "pid_start": process_start(os.getpid()),
            "cpus": sum(len(slot.cpus) for slot in prepared.slots),
            "slots": len(prepared.slots),
            "version": version("sweeper"),
            "total": len(specs),
            "trainer": sweep.trainer.name,
            "sweep_sha": hashlib.sha256(sweep.text.encode()).hexdigest()[:16],
        },
        *(
            {
                "event": "planned",
                "runs": chunk,
                "headline": sweep.trainer.headline,
                "units": sweep.trainer.units,
            }
            for chunk in _chunks(specs)
        ),
        *(_invalid_end(spec, reasons) for spec, reasons in plan.newly_invalid),
    )


def _chunks(specs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(specs.items())
    for start in range(0, len(items), _PLANNED_CHUNK):
        yield dict(items[start : start + _PLANNED_CHUNK])


def _invalid_end(spec: RunSpec, reasons: tuple[str, ...]) -> dict[str, Any]:
    return {
        "event": "ended",
        "run": spec.id,
        "attempt": 0,
        "outcome": Outcome.INVALID.value,
        "cause": invalid_cause(reasons).plain(),
    }


@contextlib.contextmanager
def _launch_end(
    journal: JournalWriter, folder: GroupFolder, launch_id: str
) -> Iterator[dict[str, str]]:
    """Journal the end of the launch, however it comes."""
    ending = {"reason": "error"}
    try:
        yield ending
    finally:
        counts = fold(read_events(folder.journal_dir)).counts()
        journal.append({"event": "launch_ended", "launch": launch_id, **ending, "counts": counts})


def _supervise(
    prepared: Prepared,
    journal: JournalWriter,
    launch_id: str,
    view: View,
    options: Options,
) -> End:
    resources = prepared.sweep.resources
    if not prepared.plan.waves:
        return End("done")
    scratch = Scratch.create(launch_id)
    try:
        return Supervisor(
            group=prepared.folder,
            trainer=prepared.sweep.trainer,
            slots=prepared.slots,
            policy=Policy(
                timeout_s=resources.timeout_s,
                retries=resources.retries,
                brake_after=BRAKE_AFTER if options.brake and not _has_finished(prepared) else 0,
            ),
            memory_per_run=resources.memory_per_run,
            journal=journal,
            scratch=scratch,
            observe=careful(view.observe),
            tick=careful(view.tick),
        ).run(_jobs(prepared))
    finally:
        scratch.remove()


def _has_finished(prepared: Prepared) -> bool:
    """Whether any run of the group ever finished: then failures alike are no reason to pause."""
    return any(run.outcome is Outcome.FINISHED for run in prepared.state.runs.values())


def careful(show: Callable[..., None]) -> Callable[..., None]:
    """`show`, silent from its first failure on: a closed terminal must not end a sweep."""
    failed = False

    def show_carefully(*arguments: Any) -> None:
        nonlocal failed
        if not failed:
            try:
                show(*arguments)
            except (OSError, ValueError):
                failed = True

    return show_carefully


def _jobs(prepared: Prepared) -> list[WaveJobs]:
    """The plan's waves as jobs, each with the number of its next attempt."""
    runs = prepared.state.runs

    def job(spec: RunSpec) -> Job:
        known = runs.get(spec.id)
        past = max((attempt.number for attempt in known.attempts), default=0) if known else 0
        return Job(spec.id, past + 1, plain(spec.config))

    return [
        [
            (pack.runs[0].program, tuple(job(planned.spec) for planned in pack.runs))
            for pack in wave.packs
        ]
        for wave in prepared.plan.waves
    ]
