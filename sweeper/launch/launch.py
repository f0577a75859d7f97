"""A sweep on this host, from the file to the last outcome."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sweeper.config import RunSpec, plain, read_sweep
from sweeper.engine.budgets import thread_shortage
from sweeper.engine.job_queue import Job, WaveJobs
from sweeper.engine.policy import BRAKE_AFTER, Policy
from sweeper.engine.recovery import interrupted_ends
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.engine.supervisor import End, Supervisor
from sweeper.errors import HostError
from sweeper.host.cpus import cpu_offer, cut_slots
from sweeper.host.facts import thread_rooms
from sweeper.host.processes import host_name, process_start
from sweeper.launch.work import LaunchEnd, Options, Prepared, SweepFile, View, Work
from sweeper.plan import Plan
from sweeper.records import (
    GroupFolder,
    GroupReader,
    GroupState,
    JournalWriter,
)
from sweeper.records.events import Launched, LaunchEnded
from sweeper.records.lock import acquire
from sweeper.records.outcomes import Outcome
from sweeper.records.permissions import readable_as

__all__ = ["compare", "launch", "prepare"]


def prepare(file: Path, runs_dir: Path, options: Options) -> Prepared:
    """Read the sweep file, the records and the host. Raises `ConfigError`, `HostError`."""
    sweep = read_sweep(file, search=[Path.cwd()])
    sweep = replace(sweep, resources=options.upon(sweep.resources))
    return compare(SweepFile(sweep, GroupFolder(runs_dir, sweep.group)), options)


def compare(work: Work, options: Options) -> Prepared:
    """Look at the host and the records. Raises `HostError` for a host that is too small."""
    slots = cut_slots(cpu_offer(), cpus=options.cpus, cpus_per_run=work.resources.cpus_per_run)
    _check_threads(len(slots))
    records = GroupReader(work.folder.journal_dir)
    state = records.state()
    return Prepared(work, records, state, work.plan(state), slots)


def _check_threads(workers: int) -> None:
    """Raise `HostError` where a limit on processes leaves too few: Ray would stand still."""
    found = [short for room in thread_rooms() if (short := thread_shortage(room, workers))]
    if found:
        raise HostError(f"too few processes for {workers} workers: {'; '.join(found)}")


def launch(
    prepared: Prepared, options: Options, *, view_of: Callable[[Prepared], View]
) -> LaunchEnd:
    """Train what was prepared, all that still needs it.

    `view_of` gets what is to be done, right before the first wave, and returns what shows it.
    Raises `BusyError` while another launch holds the group, `HostError` when the host gives up;
    the records are complete either way.
    """
    work, records = prepared.work, prepared.records
    folder = work.folder
    folder.make(shared=options.open_to_group)
    with acquire(folder.lock_file), readable_as(folder.path):
        reap_dead_launches()
        launch_id = secrets.token_hex(4)
        after = records.state().last_time or 0.0
        writer = f"{host_name()}-{launch_id}"
        with JournalWriter(folder.journal_dir, writer, after=after) as journal:
            # Under the lock: what is open now was left by a launch that is dead.
            lost = interrupted_ends(folder, records.state())
            if lost:
                journal.append(*lost)
            if records.state() is not prepared.state:
                state = records.state()
                prepared = replace(prepared, state=state, plan=work.plan(state))
            _announce(prepared, journal, launch_id)
            with contextlib.ExitStack() as stack, _launch_end(journal, launch_id) as ending:
                view = view_of(prepared)
                stack.callback(careful(view.close))
                end = _supervise(prepared, journal, launch_id, view, options)
                ending["reason"] = end.reason
                if end.message:
                    ending["message"] = end.message
        return LaunchEnd(folder, records.state(), end)


def _announce(prepared: Prepared, journal: JournalWriter, launch_id: str) -> None:
    """Journal what is planned."""
    work = prepared.work
    told, events = work.announce(prepared.plan, prepared.state)
    launched = Launched(
        launch=launch_id,
        host=host_name(),
        pid=os.getpid(),
        pid_start=process_start(os.getpid()),
        cpus=sum(len(slot.cpus) for slot in prepared.slots),
        slots=len(prepared.slots),
        version=version("sweeper"),
        trainer=work.trainer.name,
        resources=plain(work.resources),
        **told,
    )
    journal.append(launched, *events)


@contextlib.contextmanager
def _launch_end(journal: JournalWriter, launch_id: str) -> Iterator[dict[str, str]]:
    """Journal the end of the launch, however it comes."""
    ending = {"reason": "error"}
    try:
        yield ending
    finally:
        journal.append(LaunchEnded(launch=launch_id, **ending))


def _supervise(
    prepared: Prepared,
    journal: JournalWriter,
    launch_id: str,
    view: View,
    options: Options,
) -> End:
    work, resources = prepared.work, prepared.work.resources
    if not prepared.plan.waves:
        return End("done")
    scratch = Scratch.create(launch_id)
    try:
        return Supervisor(
            group=work.folder,
            trainer=work.trainer,
            slots=prepared.slots,
            policy=Policy(
                timeout_s=resources.timeout_s,
                retries=resources.retries,
                brake_after=BRAKE_AFTER
                if options.brake and not _has_finished(prepared.state)
                else 0,
                pause_when_sick=options.brake,
            ),
            memory_per_run=resources.memory_per_run,
            scratch_budget=resources.scratch,
            peaks=_known_peaks(prepared.state),
            journal=journal,
            scratch=scratch,
            observe=careful(view.observe),
            tick=careful(view.tick),
        ).run(_jobs(prepared.plan, prepared.state))
    finally:
        scratch.remove()


def _known_peaks(state: GroupState) -> dict[str, int]:
    """The largest resident set that earlier launches of the group have seen, if any."""
    seen = [a.rss_peak_bytes or 0 for run in state.runs.values() for a in run.attempts]
    return {"earlier launches": max(seen, default=0)}


def _has_finished(state: GroupState) -> bool:
    """Whether any run of the group ever finished: then failures alike are no reason to pause."""
    return any(run.outcome is Outcome.FINISHED for run in state.runs.values())


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


def _jobs(plan: Plan, state: GroupState) -> list[WaveJobs]:
    """The plan's waves as jobs, each with the number of its next attempt."""

    def job(spec: RunSpec) -> Job:
        known = state.runs.get(spec.id)
        past = max((attempt.number for attempt in known.attempts), default=0) if known else 0
        return Job(spec.id, past + 1, plain(spec.config))

    return [
        [
            (pack.runs[0].program, tuple(job(planned.spec) for planned in pack.runs))
            for pack in wave.packs
        ]
        for wave in plan.waves
    ]
