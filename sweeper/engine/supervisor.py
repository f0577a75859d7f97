"""The supervisor: poll → decide → act, until every run has an outcome. No Ray in here.

It starts waves, hands them slots, reads what they tell, writes the journal (the only writer), ends
what overstays, and reaps every process and file of a wave that is over. Waves may die at any time;
their runs are told from what they left, and the sweep goes on.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from sweeper.engine.cpus import Slot
from sweeper.engine.decide import (
    Policy,
    Running,
    next_wave_is_due,
    overstayed,
    start_is_late,
    try_again,
)
from sweeper.engine.environment import wave_environment
from sweeper.engine.faults import cause_of_death
from sweeper.engine.folder_run import read_step
from sweeper.engine.processes import become_subreaper, reap_adopted
from sweeper.engine.protocol import WaveSpec
from sweeper.engine.scratch import Scratch
from sweeper.engine.traces import death_traces, died_record, finished_record, write_result
from sweeper.engine.wave_handle import WaveHandle
from sweeper.engine.worker import Attempt
from sweeper.errors import HostError
from sweeper.records.folders import GroupFolder, read_json
from sweeper.records.journal import JournalWriter
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.trainer import Trainer

__all__ = ["Job", "Supervisor", "WaveJobs"]

_POLL_S = 0.2
_WATCH_S = 1.0
_SCRATCH_LOOK_S = 5.0
# Waves in a row that end without one finished attempt, after which the host is taken for sick.
_BARREN_LIMIT = 3


@dataclass(frozen=True)
class Job:
    """A run that waits for its next attempt."""

    run: str
    attempt: int
    config: dict[str, Any]


WaveJobs = Sequence[tuple[str, tuple[Job, ...]]]
"""The packs of one wave, each with its program."""


class Supervisor:
    """Runs waves of jobs on slots and writes the journal.

    `observe` gets every journal event right after it was written, `tick` is called some times a
    second while nothing happens.
    """

    def __init__(
        self,
        *,
        group: GroupFolder,
        trainer: Trainer,
        slots: Sequence[Slot],
        policy: Policy,
        memory_per_run: int | None,
        journal: JournalWriter,
        scratch: Scratch,
        observe: Callable[[Mapping[str, Any]], None],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._group = group
        self._trainer = trainer
        self._slots = {slot.index: slot for slot in slots}
        self._policy = policy
        self._memory_per_run = memory_per_run
        self._journal = journal
        self._scratch = scratch
        self._observe = observe
        self._tick = tick
        self._selector = selectors.DefaultSelector()
        self._to_come: deque[WaveJobs] = deque()
        self._again: list[tuple[str, Job]] = []
        self._jobs: dict[str, tuple[str, Job]] = {}
        self._ends: dict[str, list[tuple[Outcome, Cause | None]]] = {}
        self._waves: dict[int, WaveHandle] = {}
        self._free = set(self._slots)
        self._killed: dict[str, Cause] = {}
        self._events: list[dict[str, Any]] = []
        self._wave_count = 0
        self._barren = 0
        self._stop_requests = 0
        self._watched = self._scratch_looked = 0.0

    def run(self, waves: Iterable[WaveJobs]) -> bool:
        """Execute all waves; returns False if it was stopped by a signal before the end.

        Raises `HostError` when waves can't be started or end again and again without a result.
        """
        become_subreaper()
        self._to_come.extend(waves)
        for wave in self._to_come:
            self._jobs.update({job.run: (program, job) for program, jobs in wave for job in jobs})
        with ExitStack() as stack:
            stack.callback(self._end_all)
            stack.enter_context(_SignalWatch(self._request_stop))
            while self._waves or (self._has_work() and not self._stop_requests):
                self._step()
        return not self._stop_requests

    def _has_work(self) -> bool:
        return bool(self._to_come or self._again)

    def _request_stop(self) -> None:
        self._stop_requests += 1

    def _step(self) -> None:
        if self._stop_requests:
            self._stop_waves()
        elif self._has_work():
            active = [(len(w.waiting), len(w.running)) for w in self._waves.values()]
            # Retries wait until nothing else is left: their wave would be one of few runs.
            if next_wave_is_due(active, len(self._slots)) and (self._to_come or not active):
                self._start_wave()
        self._grant()
        for key, _ in self._selector.select(_POLL_S):
            self._listen(key.data)
        self._write_events()
        now = time.monotonic()
        if now - self._watched >= _WATCH_S:
            self._watched = now
            self._watch(now)
        self._tick()

    def _stop_waves(self) -> None:
        asked = Cause(CauseKind.ASKED_TO_STOP, "stopped at once, as asked")
        for wave in self._waves.values():
            if not wave.scratch.stop_flag.exists():
                wave.stop()
            if self._stop_requests > 1:
                self._killed.update(dict.fromkeys(wave.running, asked))
                wave.process.kill()

    def _start_wave(self) -> None:
        if self._to_come:
            packs = self._to_come.popleft()
        else:
            packs = [(program, (job,)) for program, job in self._again]
            self._again.clear()
        self._wave_count += 1
        number = self._wave_count
        scratch = self._scratch.wave(number)
        mark = replace(self._scratch.mark, launch=f"{self._scratch.mark.launch}/w{number}")
        cpus_per_run = len(next(iter(self._slots.values())).cpus)
        env = wave_environment(
            os.environ,
            mark=str(mark),
            token_file=self._scratch.token_file,
            tmp=scratch.tmp,
            cpus_per_run=cpus_per_run,
            preload=self._trainer.preload,
            search=[Path.cwd()],
        )
        spec = WaveSpec(
            trainer=self._trainer.name,
            scratch=str(scratch.path),
            slots=len(self._slots),
            cpus_per_run=cpus_per_run,
            memory_per_run=self._memory_per_run,
            preload=self._trainer.preload,
            packs=tuple((program, tuple(map(self._attempt, jobs))) for program, jobs in packs),
        )
        wave = WaveHandle.start(number, mark, scratch, spec, env)
        self._waves[number] = wave
        self._selector.register(wave.events.descriptor, selectors.EVENT_READ, wave)
        self._tell("wave_started", wave=number, runs=len(wave.waiting), slots=len(self._slots))

    def _attempt(self, job: Job) -> Attempt:
        folder = str(self._group.run(job.run).path.absolute())
        return Attempt(job.run, job.attempt, job.config, folder)

    def _grant(self) -> None:
        """Hand free slots to the oldest ready wave that has more waiting than it has room for."""
        for wave in self._waves.values():
            idle = len(wave.granted) - len(wave.running)
            while wave.ready and self._free and len(wave.waiting) > idle:
                slot = min(self._free)
                self._free.discard(slot)
                wave.grant(self._slots[slot])
                idle += 1

    def _listen(self, wave: WaveHandle) -> None:
        for message in wave.read():
            match message["tell"]:
                case "ready":
                    wave.startup_s = message["startup_s"]
                case "started":
                    self._on_started(wave, message)
                case "ended":
                    for record in message["records"]:
                        self._on_ended(wave, record)
                case "died":
                    for run in message["runs"]:
                        self._on_died(wave, run, message["detail"])
                case "released":
                    wave.granted.discard(message["slot"])
                    self._free.add(message["slot"])
                case "drained":
                    wave.shutdown_s = message["shutdown_s"]
                case "failed":
                    wave.failure = message["message"]
        if wave.events.closed:
            self._finish_wave(wave)

    def _on_started(self, wave: WaveHandle, message: Mapping[str, Any]) -> None:
        run, attempt, slot = message["run"], message["attempt"], message["slot"]
        wave.waiting.pop(run, None)
        wave.running[run] = Running(run, attempt, slot, time.monotonic())
        self._tell("started", run=run, attempt=attempt, wave=wave.number, slot=slot)

    def _on_ended(self, wave: WaveHandle, record: Mapping[str, Any]) -> None:
        run = record["id"]
        wave.running.pop(run, None)
        wave.last_end = time.monotonic()
        self._killed.pop(run, None)
        outcome = Outcome(record["outcome"])
        cause = Cause.from_plain(record["cause"]) if record.get("cause") else None
        self._barren = 0
        self._tell("ended", run=run, wave=wave.number, **finished_record(record))
        self._settle(run, record["attempt"], outcome, cause)

    def _on_died(self, wave: WaveHandle, run: str, detail: str, *, lost: bool = False) -> None:
        """A worker vanished, or (`lost`) its whole wave did; `detail` says what is known."""
        running = wave.running.pop(run, None)
        if running is None:
            return
        folder = self._group.run(run).make()
        record = read_json(folder.result_file)
        if record is not None and record.get("attempt") == running.attempt:
            # It had ended and written so; only its process died on the way back.
            wave.running[run] = running
            self._on_ended(wave, record)
            return
        killed_for = self._killed.pop(run, None)
        if lost and killed_for is None:
            outcome, cause = Outcome.LOST, Cause(CauseKind.HOST, detail)
        else:
            traces = death_traces(wave.scratch, folder, run, killed_for, detail)
            outcome, cause = cause_of_death(traces)
        began = (wave.start_of(run) or (0, running.dispatched))[1]
        record = died_record(
            run,
            running.attempt,
            outcome,
            cause,
            folder,
            wall_s=time.monotonic() - began,
            ended=time.time(),
            counted_step=read_step(wave.scratch.step_counter(run)),
        )
        write_result(folder, record)
        self._tell("ended", run=run, wave=wave.number, **finished_record(record))
        self._settle(run, running.attempt, outcome, cause)

    def _settle(self, run: str, attempt: int, outcome: Outcome, cause: Cause | None) -> None:
        ends = self._ends.setdefault(run, [])
        ends.append((outcome, cause))
        if try_again(ends, self._policy) and not self._stop_requests:
            program, job = self._jobs[run]
            job = replace(job, attempt=attempt + 1)
            self._jobs[run] = (program, job)
            self._again.append((program, job))

    def _finish_wave(self, wave: WaveHandle) -> None:
        """The wave child is gone, as planned or not: tell its runs, take back its slots, reap."""
        self._selector.unregister(wave.events.descriptor)
        in_order = wave.shutdown_s is not None
        unfinished = list(wave.running)
        # Processes first: a worker that still computes must not write beside its successor.
        status = wave.exit_status()
        reason = None if in_order else wave.failure or _death_of_wave(status, wave.log_tail())
        processes = wave.kill_processes()
        for run in unfinished:
            self._on_died(wave, run, f"its wave died: {reason}", lost=True)
        processes += wave.reap()
        self._free |= wave.granted
        del self._waves[wave.number]
        reap_adopted(keep=[other.process.pid for other in self._waves.values()])
        if wave.waiting and not self._stop_requests:
            self._again.extend(self._jobs[run] for run in wave.waiting)
        self._tell(
            "wave_ended",
            wave=wave.number,
            reason=reason or "done",
            startup_s=_rounded(wave.startup_s),
            training_s=_rounded(
                (wave.last_end or time.monotonic()) - wave.born - (wave.startup_s or 0.0)
            ),
            shutdown_s=_rounded(wave.shutdown_s),
            scratch_peak_bytes=wave.scratch_peak,
            processes_reaped=processes,
        )
        self._write_events()
        if in_order or self._stop_requests:
            return
        self._barren += 1
        if self._barren >= _BARREN_LIMIT:
            raise HostError(
                f"{_BARREN_LIMIT} waves in a row died without one result; the last: {reason}. "
                f"Nothing is lost: launch again once the host is well; `sweep doctor` looks at it."
            )

    def _watch(self, now: float) -> None:
        """Once a second: note the starts, end what overstays, measure the scratch."""
        for wave in self._waves.values():
            late = start_is_late(wave.ready, now - wave.born, wave.running, now)
            if late and not wave.failure:
                wave.failure = late
                wave.process.kill()
            for run, running in wave.running.items():
                if running.began is None and (start := wave.start_of(run)) is not None:
                    wave.running[run] = replace(running, began=start[1])
            for run, cause in overstayed(wave.running, now, self._policy).items():
                if run not in self._killed and wave.kill_worker(run):
                    self._killed[run] = cause
        if now - self._scratch_looked >= _SCRATCH_LOOK_S:
            self._scratch_looked = now
            for wave in self._waves.values():
                wave.measure_scratch()

    def _end_all(self) -> None:
        """Whatever made us leave: no process and no file stays."""
        for wave in list(self._waves.values()):
            wave.reap()
        self._write_events()
        self._selector.close()

    def _tell(self, event: str, **fields: Any) -> None:
        self._events.append({"event": event, **fields})

    def _write_events(self) -> None:
        """Journal first, then show: what was shown is never lost."""
        if self._events:
            events, self._events = self._events, []
            self._journal.append(*events)
            for event in events:
                self._observe(event)


def _death_of_wave(status: int | None, tail: str) -> str:
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    return f"the wave ended with {how}" + (f" ({tail})" if tail else "")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


class _SignalWatch:
    """Turns SIGINT, SIGTERM and SIGHUP into requests to stop while it is entered."""

    def __init__(self, request: Callable[[], None]) -> None:
        self._request = request
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._request()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
