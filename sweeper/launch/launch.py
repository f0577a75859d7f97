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
from sweeper.engine.bad_values import PROVEN
from sweeper.engine.budgets import available_memory, disk_budget, thread_shortage
from sweeper.engine.checkpoints import delete_settled
from sweeper.engine.job_queue import Job, WaveJobs
from sweeper.engine.recovery import interrupted_ends
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.engine.start_needs import start_shortages
from sweeper.engine.supervisor import End, Limits, Supervisor
from sweeper.engine.wave_process import RayBackend
from sweeper.errors import ClaimLostError, HostError, RecordError
from sweeper.host.cpus import cpu_offer, cut_slots
from sweeper.host.facts import thread_rooms
from sweeper.host.identity import Host, batch_job, this_host
from sweeper.launch.chosen import RunChoice, chosen_runs
from sweeper.launch.known_trainers import remember, search_folders
from sweeper.launch.recorded_trainer import check_installed
from sweeper.launch.sources import SourceWatch, record_sources, sources_of
from sweeper.launch.work import LaunchEnd, Options, Prepared, SweepFile, View, Work
from sweeper.records import (
    Claim,
    GroupFolder,
    GroupReader,
    GroupState,
    JournalWriter,
    claim,
)
from sweeper.records.events import Event, Launched, LaunchEnded
from sweeper.records.permissions import readable_as
from sweeper.records.queries import corrected, who_lives
from sweeper.records.stop_requests import StopRequests
from sweeper.records.summaries import keep_summary
from sweeper.suggest import counted

__all__ = ["ClaimedLog", "announce", "careful", "compare", "launch", "prepare", "recovered"]


def prepare(
    file: Path,
    runs_dir: Path,
    options: Options,
    *,
    choice: RunChoice = RunChoice(),  # noqa: B008  (frozen)
    again: bool = False,
) -> Prepared:
    """Read the sweep file, the records and the host.

    `choice` says which runs are meant; `again` trains those that finished or
    diverged too. Raises `ConfigError`, `RecordError`, `HostError`.
    """
    sweep = read_sweep(file, search=search_folders(file), overrides=options.overrides)
    sweep = replace(sweep, resources=options.upon(sweep.resources))
    folder = GroupFolder(runs_dir, sweep.group)
    found = chosen_runs(sweep, folder, choice, options.shard)
    chosen = None if found is None else frozenset(found)
    return compare(SweepFile(sweep, folder, options.shard, chosen, again, choice), options)


def compare(work: Work, options: Options) -> Prepared:
    """Look at the host and the records. Raises `HostError` for a host that is too small."""
    sources = sources_of(work.trainer)
    slots = cut_slots(cpu_offer(), cpus=options.cpus, cpus_per_run=work.resources.cpus_per_run)
    _check_host(len(slots))
    records = GroupReader(work.folder.journal_dir)
    state = records.state()
    state = corrected(state, who_lives(work.folder, state, take_over=options.take_over))
    return Prepared(work, records, state, work.plan(state), slots, sources)


def _check_host(workers: int) -> None:
    """Raise `HostError` for what Ray can't start without: it would hang without a word."""
    shortages = start_shortages(workers)
    if shortages:
        raise HostError("\n".join(f"Ray can't start here: {shortage}" for shortage in shortages))
    found = [short for room in thread_rooms() if (short := thread_shortage(room, workers))]
    if found:
        raise HostError(f"too few processes for {counted(workers, 'worker')}: {'; '.join(found)}")


def launch(
    prepared: Prepared,
    options: Options,
    *,
    view_of: Callable[[Prepared], View],
    launch_id: str | None = None,
) -> LaunchEnd:
    """Execute what was prepared and is still missing: every kind of launch goes through here.

    `view_of` gets what is to be done, right before the first wave, and returns the view. Raises
    `BusyError` while another launch holds the group or the part of it, `ClaimLostError` when
    another has taken it over, `HostError` if the host can't go on; the records are complete either
    way. Raises `TrainerError`, with nothing written, if a package that runs import isn't installed.
    """
    work = prepared.work
    check_installed(work.trainer)
    folder, here = work.folder, this_host()
    launch_id = launch_id or secrets.token_hex(4)
    folder.make(shared=options.open_to_group)
    with (
        claim(
            folder,
            launch_id,
            here=here,
            shard=work.shard,
            job=batch_job(os.environ),
            take_over=options.take_over,
        ) as held,
        readable_as(folder.path),
    ):
        reap_dead_launches()
        remember(folder.path, work.trainer, os.environ)
        after = prepared.records.state().last_time or 0.0
        with JournalWriter(folder.journal_dir, held.owner.writer, after=after) as journal:
            log = ClaimedLog(journal, held)
            prepared = recovered(prepared, log, here, options)
            announce(prepared, log)
            with _journalled_end(log) as ending, contextlib.ExitStack() as stack:
                view = view_of(prepared)
                stack.callback(careful(view.close))
                end = _supervise(prepared, log, view, options)
                ending.append(end)
        done = LaunchEnd(launch_id, folder, prepared.records.state(), end)
    keep_summary(folder)
    return done


class ClaimedLog:
    """The journal of a launch, which writes nothing once another launch has taken over."""

    def __init__(self, journal: JournalWriter, held: Claim) -> None:
        self.claim = held
        self._journal = journal

    def append(self, *events: Event) -> None:
        """As `JournalWriter.append`. Raises `ClaimLostError` with nothing appended."""
        self.claim.check()
        self._journal.append(*events)

    def check(self) -> None:
        """Raise `ClaimLostError` or `RecordError` once what runs must not go on."""
        self.claim.check()
        self._journal.check()


def recovered(prepared: Prepared, log: ClaimedLog, here: Host, options: Options) -> Prepared:
    """What there is to do, once the ends that dead launches left open are journalled.

    Under the claim: nobody else closes or starts a run of this part.
    """
    work, records = prepared.work, prepared.records
    alive = who_lives(work.folder, records.state(), here, take_over=options.take_over)
    lost = interrupted_ends(
        work.folder,
        records.state(),
        is_dead=lambda writer: alive.get(writer, False) is False,
        shard=work.shard,
    )
    if lost:
        log.append(*lost)
        delete_settled(work.folder, lost)
    state = corrected(records.state(), alive)
    if state is prepared.state:
        return prepared
    return replace(prepared, state=state, plan=work.plan(state))


def announce(prepared: Prepared, log: ClaimedLog) -> None:
    """Journal what is planned."""
    work, owner = prepared.work, log.claim.owner
    record_sources(work.folder, prepared.sources)
    announced = work.announce(prepared.plan, prepared.state)
    launched = Launched(
        launch=owner.launch,
        purpose=work.purpose,
        host=owner.process.host,
        pid=owner.process.pid,
        pid_start=owner.process.start,
        boot=owner.process.boot,
        namespace=owner.process.namespace,
        machine=owner.process.machine,
        job=owner.job,
        shard=None if owner.shard.is_whole else str(owner.shard),
        claim=log.claim.number,
        cpus=sum(len(slot.cpus) for slot in prepared.slots),
        slots=len(prepared.slots),
        version=version("sweeper"),
        trainer=work.trainer.name,
        resources=plain(work.resources),
        total=announced.total,
        sweep_sha=announced.sweep_sha,
        renamed=work.trainer.renamed,
        sources=prepared.sources.digest,
        again=work.again,
        to_train=None if work.datasets is not None else prepared.plan.to_train,
    )
    log.append(launched, *announced.events)


@contextlib.contextmanager
def _journalled_end(log: ClaimedLog) -> Iterator[list[End]]:
    """Journal the end of the launch, in any case: the last one in the list, else an error.

    Once another launch has taken over, the end of this one is no news; once the journal is gone,
    there is no place for it.
    """
    ends: list[End] = []
    try:
        yield ends
    finally:
        reason, message = (ends[-1].reason, ends[-1].message) if ends else ("error", "")
        ended = LaunchEnded(launch=log.claim.owner.launch, reason=reason, message=message or None)
        with contextlib.suppress(ClaimLostError, RecordError):
            log.append(ended)


def _supervise(prepared: Prepared, log: ClaimedLog, view: View, options: Options) -> End:
    work, state = prepared.work, prepared.state
    if not prepared.plan.waves:
        return End("done")
    scratch = Scratch.create(log.claim.owner.launch)
    show, observe = careful(view.tick), careful(view.observe)
    watch = SourceWatch(prepared.sources)
    requests = StopRequests(work.folder, log.claim.owner.launch)

    def tick() -> None:
        log.check()  # what runs must not write on beside whoever has taken over
        change = watch.look()
        if change is not None:
            log.append(change)
            record_sources(work.folder, watch.sources)
            observe(change)
        show()

    try:
        return Supervisor(
            group=work.folder,
            trainer=work.trainer,
            slots=prepared.slots,
            policy=work.policy(state, options),
            limits=Limits(
                disk=disk_budget(scratch.path, work.folder.path, work.resources.scratch),
                memory=available_memory(),
                memory_per_run=work.resources.memory_per_run,
                peaks=_known_peaks(state),
            ),
            journal=log,
            backend=RayBackend(scratch),
            observe=observe,
            tick=tick,
            stop_requests=requests.look,
            proven=[r.axis_values for r in state.runs.values() if r.outcome in PROVEN],
            datasets=work.datasets,
            sources=prepared.sources.digest,
        ).run(_jobs(prepared))
    finally:
        requests.forget()
        scratch.remove()


def _known_peaks(state: GroupState) -> dict[str, int]:
    """The largest resident set in earlier launches of the group, if any."""
    seen = [a.rss_peak_bytes or 0 for run in state.runs.values() for a in run.attempts]
    return {"earlier launches": max(seen, default=0)}


def careful(show: Callable[..., None]) -> Callable[..., None]:
    """`show`, but silent after its first failure: a closed terminal must not end a sweep."""
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

    def attempt(run: str) -> int:
        if prepared.work.datasets is not None or run not in runs:
            return 1
        return max((attempt.number for attempt in runs[run].attempts), default=0) + 1

    def job(spec: RunSpec) -> Job:
        number = attempt(spec.id)
        # What is trained again begins from the beginning.
        since = number if prepared.work.again else 0
        return Job(spec.id, number, plain(spec.config), spec.axis_values, since)

    return [
        [
            (
                pack.program,
                tuple(job(planned.spec) for planned in pack.runs),
            )
            for pack in wave.packs
        ]
        for wave in prepared.plan.waves
    ]
