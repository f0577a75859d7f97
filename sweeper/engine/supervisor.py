"""The supervisor: wait → decide → act, until every run has an outcome. No Ray in here.

It starts waves, gives them slots, reads their messages, writes the journal (as its only writer),
ends what runs too long, and reaps every process and file of a wave that is over. Waves may die at
any time; the ends of their runs are found from what they left, and the sweep goes on.

Whatever isn't a decision comes in from outside: a `Backend` starts waves and waits for them, a
clock gives the time.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from sweeper.engine.active_wave import ActiveWave
from sweeper.engine.backend import Backend, WaveProcess
from sweeper.engine.budgets import DiskBudget, cap_log, runs_that_fit
from sweeper.engine.checkpoints import delete_settled
from sweeper.engine.job_queue import Job, JobQueue, WaveJobs
from sweeper.engine.policy import (
    Policy,
    Running,
    end_is_late,
    next_wave_is_due,
    overstayed,
    start_is_late,
)
from sweeper.engine.post_mortem import death_of_wave, result_of_death
from sweeper.engine.protocol import (
    Drained,
    Message,
    PackEnded,
    Ready,
    RunsLeft,
    RunStarted,
    SlotReleased,
    Task,
    WaveFailed,
    WaveSpec,
    WorkerDied,
)
from sweeper.engine.results import Result, ended_event, evaluated_event
from sweeper.engine.signals import SignalWatch
from sweeper.errors import HostError
from sweeper.host.cgroups import oom_kills
from sweeper.host.cpus import Slot
from sweeper.records.events import EvaluationStarted, Event, HeldBack, Started, WaveStarted
from sweeper.records.layout import GroupFolder, RunFolder
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.trainer import Trainer

__all__ = ["End", "EventLog", "Limits", "Supervisor"]

_POLL_S = 0.2
_WATCH_S = 1.0
_ROOM_LOOK_S = 5.0
# Waves in a row that end without one finished attempt, after which the host is taken for sick.
_BARREN_LIMIT = 3
_STALE_S = 10.0
_SIGTERM_WAIT_S = 1.0


@dataclass(frozen=True)
class End:
    """How a launch ended: all done, stopped by a signal, or paused for `message`."""

    reason: Literal["done", "stopped", "paused"]
    message: str = ""


class EventLog(Protocol):
    """Where events go; the journal is one."""

    def append(self, *events: Event) -> None:
        """Append events, all or nothing. Raises OSError with nothing appended."""


@dataclass(frozen=True)
class Limits:
    """What the runs of a launch may use together.

    `memory` is what was available at the start, in bytes, `memory_per_run` the limit of one run;
    `peaks` are the largest resident sets in bytes that the records know, by program.
    """

    disk: DiskBudget
    memory: int
    memory_per_run: int | None = None
    peaks: Mapping[str, int] | None = None


class Supervisor:
    """Runs waves of jobs on slots and writes the journal.

    `observe` gets every event right after it was written, `tick` is called several times a second
    while nothing happens. `stop_requests` says how often it is asked to stop otherwise than by
    signals. With `datasets`, trained runs are evaluated on them instead of trained; the journal
    then gets `EvaluationStarted` and `Evaluated`, which change no run's outcome.
    `clock` counts seconds from any moment. `proven` are the axis values of runs that finished in
    earlier launches, `sources` is the digest of the trainer's files.
    """

    def __init__(
        self,
        *,
        group: GroupFolder,
        trainer: Trainer,
        slots: Sequence[Slot],
        policy: Policy,
        limits: Limits,
        journal: EventLog,
        backend: Backend,
        observe: Callable[[Event], None],
        tick: Callable[[], None] = lambda: None,
        stop_requests: Callable[[], int] = lambda: 0,
        datasets: tuple[str, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
        proven: Sequence[Mapping[str, Any]] = (),
        sources: str | None = None,
    ) -> None:
        self._group = group
        self._trainer = trainer
        self._slots = {slot.index: slot for slot in slots}
        self._policy = policy
        self._limits = limits
        self._journal = journal
        self._backend = backend
        self._observe = observe
        self._tick = tick
        self._asked_elsewhere = stop_requests
        self._datasets = datasets
        self._clock = clock
        self._proven = proven
        self._sources = sources
        self._queue = JobQueue([], policy, len(slots))
        self._waves: list[ActiveWave] = []
        self._free = set(self._slots)
        self._killed: dict[str, Cause] = {}
        self._events: list[Event] = []
        self._wave_count = 0
        self._barren = 0
        self._stop_requests = 0
        self._pause: str | None = None
        self._brake: str | None = None
        self._terminated: list[tuple[float, ActiveWave, Result]] = []
        self._watched = self._room_looked = clock()
        self._peaks = dict(limits.peaks or {})

    def run(self, waves: Iterable[WaveJobs]) -> End:
        """Execute all waves.

        Raises `HostError` when waves can't be started or end again and again without a result.
        """
        self._queue = JobQueue(waves, self._policy, len(self._slots), self._proven)
        with ExitStack() as stack:
            stack.enter_context(SignalWatch(self.request_stop))
            stack.callback(self._end_all)
            while self._is_under_way():
                self._step()
        if self._stop_requests:
            return End("stopped")
        pause = self._pause or (self._brake if self._queue.has_work() else None)
        pause = pause or self._queue.held_reason()
        return End("paused", pause) if pause else End("done")

    def _is_under_way(self) -> bool:
        more = self._queue.has_work() and not self._stopping() and not self._brake
        return bool(self._waves or self._terminated or more)

    def request_stop(self) -> None:
        """Ask what runs to end at its next step; asked twice, end it at once."""
        self._stop_requests += 1

    def _stopping(self) -> bool:
        return bool(self._stop_requests or self._pause)

    def _step(self) -> None:
        # Not added to the signals: one of each is one polite request.
        self._stop_requests = max(self._stop_requests, self._asked_elsewhere())
        if self._stopping():
            self._stop_waves()
        elif self._brake:
            # What runs may yet finish: then the sweep goes on.
            for wave in self._waves:
                wave.drain()
        elif self._queue.has_work():
            active = [wave.drain_state() for wave in self._waves]
            due = not active
            if self._policy.overlap:
                due = next_wave_is_due(active, len(self._slots))
            # Retries wait until nothing else is left: their wave would be one of few runs.
            if due and (self._queue.has_planned_work() or not active):
                self._start_wave()
        self._grant()
        for process in self._backend.wait(_POLL_S):
            self._listen(process)
        now = self._clock()
        self._settle_terminated(now)
        self._write_events()
        if now - self._watched >= _WATCH_S:
            self._watched = now
            self._watch(now)
        self._tick()

    def _stop_waves(self) -> None:
        asked = Cause(CauseKind.ASKED_TO_STOP, "stopped at once, as asked")
        for wave in self._waves:
            wave.stop()
            if not wave.ready:  # nothing in it has begun, and Ray takes its time to start
                wave.give_up("stopped before it had started")
            # What has not begun loses nothing by it, and may never begin on a sick host.
            idle = all(running.began is None for running in wave.running.values())
            if self._stop_requests > 1 or (wave.running and idle and self._is_stale(wave)):
                self._killed.update(dict.fromkeys(wave.running, asked))
                wave.process.kill()

    def _is_stale(self, wave: ActiveWave) -> bool:
        """Whether everything was dispatched long ago, for something that takes milliseconds."""
        now = self._clock()
        return all(now - running.dispatched > _STALE_S for running in wave.running.values())

    def _start_wave(self) -> None:
        packs, at_once = self._queue.next_wave()
        self._wave_count += 1
        rows = itertools.count()
        spec = WaveSpec(
            trainer=self._trainer.name,
            search=tuple(map(str, self._trainer.search)),
            cwd=str(Path.cwd()),
            slots=len(self._slots),
            cpus_per_run=len(next(iter(self._slots.values())).cpus),
            memory_per_run=self._limits.memory_per_run,
            preload=self._trainer.preload,
            fresh_processes=self._policy.fresh_processes,
            packs=tuple(
                (program, tuple(self._task(job, next(rows)) for job in jobs))
                for program, jobs in packs
            ),
        )
        waiting = {task.run for task in spec.tasks}
        process = self._backend.start(self._wave_count, spec)
        logs = {run: self._folder(run).log_file for run in waiting}
        self._waves.append(
            ActiveWave(self._wave_count, process, waiting, logs, at_once, born=self._clock())
        )
        self._record(WaveStarted(wave=self._wave_count, runs=len(waiting), slots=len(self._slots)))

    def _task(self, job: Job, row: int) -> Task:
        folder = str(self._folder(job.run).path.absolute())
        return Task(
            job.run,
            job.attempt,
            job.config,
            folder,
            row,
            self._datasets,
            checkpoint_every_s=self._policy.checkpoint_every_s,
            restore_since=job.restore_since,
            sources=self._sources,
        )

    def _folder(self, run: str) -> RunFolder:
        """Where attempts at `run` write: the run's folder, or for evaluations one in it."""
        folder = self._group.run(run)
        return folder if self._datasets is None else folder.evaluation

    def _grant(self) -> None:
        """Hand free slots to the oldest ready wave that has more waiting than it has room for."""
        fit = runs_that_fit(self._peaks, self._limits.memory, len(self._slots))
        for wave in self._waves:
            limit = min(fit, wave.at_once)
            wave.limit(limit)
            idle = len(wave.granted - {running.slot for running in wave.running.values()})
            while (
                wave.ready
                and self._free
                and len(wave.waiting) > idle
                and len(wave.granted) < limit
                and sum(len(other.granted) for other in self._waves) < fit
            ):
                slot = min(self._free)
                self._free.discard(slot)
                wave.grant(self._slots[slot])
                idle += 1

    def _listen(self, process: WaveProcess) -> None:
        wave = next(wave for wave in self._waves if wave.process is process)
        for message in process.read():
            self._on_message(wave, message)
        if process.closed:
            self._finish_wave(wave)

    def _on_message(self, wave: ActiveWave, message: Message) -> None:
        match message:
            case Ready(startup_s):
                wave.startup_s = startup_s
            case RunStarted():
                self._on_started(wave, message)
            case PackEnded(results):
                for result in results:
                    self._on_ended(wave, result)
            case WorkerDied(runs, detail, status):
                for run in runs:
                    self._on_died(wave, run, detail, status=status)
            case SlotReleased(slot):
                wave.granted.discard(slot)
                self._free.add(slot)
            case RunsLeft(runs):  # it is draining: the next wave takes them
                wave.waiting.difference_update(runs)
                self._queue.give_back(runs)
            case Drained(shutdown_s):
                wave.shutdown_s = shutdown_s
            case WaveFailed(reason):
                wave.failure = reason

    def _on_started(self, wave: ActiveWave, message: RunStarted) -> None:
        run, attempt, slot = message.run, message.attempt, message.slot
        wave.waiting.discard(run)
        wave.running[run] = Running(run, attempt, slot, self._clock(), oom_kills=oom_kills())
        event = Started if self._datasets is None else EvaluationStarted
        self._record(event(run=run, attempt=attempt, wave=wave.number, slot=slot))

    def _on_ended(self, wave: ActiveWave, result: Result) -> None:
        """A run ended and has written its result."""
        wave.note_end(result.id, result.wall_s or 0.0, self._clock())
        self._killed.pop(result.id, None)
        self._barren = 0
        program, peak = self._queue.program(result.id), result.rss_peak_bytes or 0
        self._peaks[program] = max(self._peaks.get(program, 0), peak)
        self._settle(wave, result)

    def _on_died(
        self,
        wave: ActiveWave,
        run: str,
        detail: str,
        *,
        status: int | None = None,
        lost: bool = False,
    ) -> None:
        """A worker is gone, or (`lost`) its whole wave; `status` and `detail` are what is known."""
        running = wave.running.pop(run, None)
        if running is None:
            return
        result, is_own = result_of_death(
            wave.process,
            running,
            self._folder(run),
            killed_for=self._killed.pop(run, None),
            detail=detail,
            exit_status=status,
            usage=wave.usage.pop(run, None),
            lost=lost,
            now=self._clock(),
        )
        if is_own:  # it had ended and written so; only its process died on the way back
            self._on_ended(wave, result)
        else:
            self._settle(wave, result)

    def _settle(self, wave: ActiveWave, result: Result) -> None:
        if _is_terminated(result):
            self._terminated.append((self._clock(), wave, result))
        else:
            self._journal_end(wave, result)

    def _settle_terminated(self, now: float) -> None:
        """Journal runs that SIGTERM has ended, once it is clear whom it was meant for.

        A batch system signals every process of a job at once: then the runs are stopped, as the
        launch is.
        """
        waiting, self._terminated = self._terminated, []
        for moment, wave, result in waiting:
            if self._stop_requests:
                asked = Cause(CauseKind.ASKED_TO_STOP, "ended by SIGTERM, as the launch was")
                self._journal_end(wave, replace(result, outcome=Outcome.STOPPED, cause=asked))
            elif now - moment > _SIGTERM_WAIT_S:
                self._journal_end(wave, result)
            else:
                self._terminated.append((moment, wave, result))

    def _journal_end(self, wave: ActiveWave, result: Result) -> None:
        event = ended_event if self._datasets is None else evaluated_event
        self._record(event(result, wave=wave.number))
        before = set(map(str, self._queue.held()))
        self._queue.settle(
            result.id,
            result.attempt,
            result.outcome,
            result.cause,
            wall_s=result.wall_s or 0.0,
            running=self._ages(),
        )
        self._hold_back(before)
        self._pause = self._pause or self._queue.sick_reason()
        self._brake = self._queue.brake_reason()
        if self._brake and self._has_healthy(self._queue.longest_of_last_s()):
            self._brake = None

    def _ages(self) -> dict[str, float]:
        """The runs under way, each with the seconds since it began."""
        now = self._clock()
        return {
            run: now - running.began
            for wave in self._waves
            for run, running in wave.running.items()
            if running.began is not None
        }

    def _has_healthy(self, failures_took_s: float) -> bool:
        """Whether a run goes on for longer than the last failures took: then not all fail alike."""
        return any(age_s > failures_took_s for age_s in self._ages().values())

    def _hold_back(self, before: set[str]) -> None:
        """Take back from the waves what is held back by now; journal what has changed of it."""
        for wave in self._waves:
            wave.withhold(self._queue.held_back(wave.waiting))
        held = {str(values): values.why for values in self._queue.held()}
        for where in sorted(before - held.keys()):
            self._record(HeldBack(where=where, released=True))
        for where in sorted(held.keys() - before):
            self._record(HeldBack(where=where, reason=held[where]))

    def _finish_wave(self, wave: ActiveWave) -> None:
        """The wave is gone, as planned or not; give up where that happens again and again."""
        in_order = wave.shutdown_s is not None
        status = wave.process.exit_status()
        reason = "done"
        if not in_order:
            reason = wave.failure or death_of_wave(status, wave.process.log_tail())
        self._end_wave(wave, reason)
        self._write_events()
        if in_order or self._stopping():
            return
        self._barren += 1
        if self._barren >= _BARREN_LIMIT:
            raise HostError(
                f"{_BARREN_LIMIT} waves in a row died without one result; the last: {reason}. "
                f"Nothing is lost: launch again once the host is well; `sweep doctor` checks it."
            )

    def _watch(self, now: float) -> None:
        """Once a second: note the starts, end what runs too long, look after room."""
        for wave in self._waves:
            age_s = now - wave.born
            late = start_is_late(wave.ready, age_s, wave.running, now, len(self._slots))
            late = late or end_is_late(wave.silent_s(now))
            if late:
                said = wave.process.log_tail()
                wave.give_up(f"{late}: {said}" if said else late)
            for run in wave.running:
                wave.sample(run)
                cap_log(wave.logs[run])
            self._kill_overstayed(wave, now)
        if now - self._room_looked >= _ROOM_LOOK_S:
            self._room_looked = now
            self._pause = self._pause or self._limits.disk.shortage()
            for wave in self._waves:
                if self._limits.disk.recycle(wave.measure_scratch()):
                    wave.drain()

    def _kill_overstayed(self, wave: ActiveWave, now: float) -> None:
        late = overstayed(wave.running, now, self._policy)
        for run in wave.process.kill_runs(late.keys() - self._killed.keys()):
            slot = wave.running[run].slot
            # The runs of a pack share the fate of their process.
            for other in wave.running.values():
                if other.slot == slot:
                    self._killed[other.run] = late[run]

    def _end_wave(self, wave: ActiveWave, reason: str) -> None:
        """Settle the runs of a wave, take back its slots, reap its processes and files."""
        # Processes first: a worker that still computes must not write beside its successor.
        processes = wave.process.kill()
        if self._stop_requests:
            asked = Cause(CauseKind.ASKED_TO_STOP, "its wave ended while the launch stopped")
            self._killed |= dict.fromkeys(wave.running.keys() - self._killed.keys(), asked)
        for run in list(wave.running):
            self._on_died(wave, run, f"its wave died: {reason}", lost=True)
        wave.measure_scratch()
        processes += wave.process.remove()
        self._free |= wave.granted
        self._waves.remove(wave)
        processes += self._kill_strays()
        self._queue.give_back(wave.waiting)
        self._record(wave.ended(reason, processes, self._clock()))

    def _end_all(self) -> None:
        """Whatever made us leave: no process and no file stays, and no run without an end."""
        for wave in list(self._waves):
            self._end_wave(wave, "the launch gave up")
        self._settle_terminated(math.inf)
        self._kill_strays()
        try:
            self._write_events()
        finally:
            self._backend.close()

    def _kill_strays(self) -> int:
        """End what runs have left behind outside of their wave, once no wave is active."""
        return 0 if self._waves else self._backend.kill_strays()

    def _record(self, event: Event) -> None:
        self._events.append(event)

    def _write_events(self) -> None:
        """Journal first, then show: what was shown is never lost."""
        if self._events:
            self._journal.append(*self._events)  # raises with nothing appended
            events, self._events = self._events, []
            delete_settled(self._group, events)
            for event in events:
                self._observe(event)


def _is_terminated(result: Result) -> bool:
    cause = result.cause
    return result.outcome is Outcome.CRASHED and cause is not None and cause.type == "SIGTERM"
