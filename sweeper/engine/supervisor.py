"""The supervisor: poll → decide → act, until every run has an outcome. No Ray in here.

It starts waves, hands them slots, reads what they tell, writes the journal (the only writer), ends
what overstays, and reaps every process and file of a wave that is over. Waves may die at any time;
their runs are told from what they left, and the sweep goes on.
"""

from __future__ import annotations

import itertools
import os
import selectors
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from sweeper.engine.budgets import available_memory, cap_log, disk_budget, runs_that_fit
from sweeper.engine.environment import wave_environment
from sweeper.engine.job_queue import Job, JobQueue, WaveJobs
from sweeper.engine.policy import (
    Policy,
    Running,
    end_is_late,
    next_wave_is_due,
    overstayed,
    start_is_late,
)
from sweeper.engine.post_mortem import death_of_wave, record_of_death
from sweeper.engine.protocol import Task, WaveSpec
from sweeper.engine.results import ended_event, evaluated_event
from sweeper.engine.scratch import Scratch
from sweeper.engine.signals import SignalWatch
from sweeper.engine.wave_process import WaveProcess
from sweeper.errors import HostError
from sweeper.host.cgroups import oom_kills
from sweeper.host.cpus import Slot
from sweeper.host.processes import become_subreaper, kill_all, reap_adopted
from sweeper.records.events import (
    EvaluationStarted,
    Event,
    Started,
    WaveEnded,
    WaveStarted,
)
from sweeper.records.journal import JournalWriter
from sweeper.records.layout import GroupFolder, RunFolder
from sweeper.records.outcomes import Cause, CauseKind
from sweeper.trainer import Trainer

__all__ = ["End", "Supervisor"]

_POLL_S = 0.2
_WATCH_S = 1.0
_ROOM_LOOK_S = 5.0
# Waves in a row that end without one finished attempt, after which the host is taken for sick.
_BARREN_LIMIT = 3
_STALE_S = 10.0


@dataclass(frozen=True)
class End:
    """How a launch ended: all done, stopped by a signal, or paused for `message`."""

    reason: Literal["done", "stopped", "paused"]
    message: str = ""


class Supervisor:
    """Runs waves of jobs on slots and writes the journal.

    `observe` gets every journal event right after it was written, `tick` is called some times a
    second while nothing happens. With `datasets`, trained runs are evaluated on them instead of
    trained; the journal then has ``evaluation_started`` and ``evaluated``, which change no run's
    outcome. `peaks` are the largest resident sets in bytes that the records know, by program;
    `scratch_budget` is in bytes too.
    """

    def __init__(
        self,
        *,
        group: GroupFolder,
        trainer: Trainer,
        slots: Sequence[Slot],
        policy: Policy,
        memory_per_run: int | None,
        scratch_budget: int | None = None,
        journal: JournalWriter,
        scratch: Scratch,
        observe: Callable[[Event], None],
        tick: Callable[[], None] = lambda: None,
        datasets: tuple[str, ...] | None = None,
        peaks: Mapping[str, int] | None = None,
    ) -> None:
        self._group = group
        self._trainer = trainer
        self._slots = {slot.index: slot for slot in slots}
        self._policy = policy
        self._memory_per_run = memory_per_run
        self._scratch_budget = scratch_budget
        self._journal = journal
        self._scratch = scratch
        self._observe = observe
        self._tick = tick
        self._datasets = datasets
        self._selector = selectors.DefaultSelector()
        self._job_queue = JobQueue([], policy, len(slots))
        self._waves: dict[int, WaveProcess] = {}
        self._free = set(self._slots)
        self._killed: dict[str, Cause] = {}
        self._events: list[Event] = []
        self._wave_count = 0
        self._barren = 0
        self._stop_requests = 0
        self._pause: str | None = None
        self._watched = self._room_looked = 0.0
        self._memory = available_memory()
        self._peaks = dict(peaks or {})
        self._not_ours: set[int] = set()

    def run(self, waves: Iterable[WaveJobs]) -> End:
        """Execute all waves.

        Raises `HostError` when there is no room on the host, or when waves can't be started or end
        again and again without a result.
        """
        become_subreaper()
        self._not_ours = {child.pid for child in psutil.Process().children()}
        self._disk = disk_budget(self._scratch.path, self._group.path, self._scratch_budget)
        self._job_queue = JobQueue(waves, self._policy, len(self._slots))
        with ExitStack() as stack:
            stack.enter_context(SignalWatch(self._request_stop))
            stack.callback(self._end_all)
            while self._waves or (self._job_queue.has_work() and not self._stopping()):
                self._step()
        if self._stop_requests:
            return End("stopped")
        return End("paused", self._pause) if self._pause else End("done")

    def _stopping(self) -> bool:
        return bool(self._stop_requests or self._pause)

    def _request_stop(self) -> None:
        self._stop_requests += 1

    def _step(self) -> None:
        if self._stopping():
            self._stop_waves()
        elif self._job_queue.has_work():
            active = [wave.drain_state() for wave in self._waves.values()]
            due = next_wave_is_due(active, len(self._slots))
            # Retries wait until nothing else is left: their wave would be one of few runs.
            if due and (self._job_queue.has_planned_work() or not active):
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
            # What has not begun loses nothing by it, and may never begin on a sick host.
            idle = all(running.began is None for running in wave.running.values())
            if self._stop_requests > 1 or (wave.running and idle and self._is_stale(wave)):
                self._killed.update(dict.fromkeys(wave.running, asked))
                wave.process.kill()

    def _is_stale(self, wave: WaveProcess) -> bool:
        """Whether everything was dispatched long ago, for something that takes milliseconds."""
        now = time.monotonic()
        return all(now - running.dispatched > _STALE_S for running in wave.running.values())

    def _start_wave(self) -> None:
        packs, at_once = self._job_queue.next_wave()
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
        )
        rows = itertools.count()
        spec = WaveSpec(
            trainer=self._trainer.name,
            search=(str(Path.cwd()),),
            scratch=str(scratch.path),
            slots=len(self._slots),
            cpus_per_run=cpus_per_run,
            memory_per_run=self._memory_per_run,
            preload=self._trainer.preload,
            packs=tuple(
                (program, tuple(self._attempt(job, next(rows)) for job in jobs))
                for program, jobs in packs
            ),
        )
        wave = WaveProcess.start(number, mark, scratch, spec=spec, env=env, at_once=at_once)
        self._waves[number] = wave
        self._selector.register(wave.events.descriptor, selectors.EVENT_READ, wave)
        self._record(WaveStarted(wave=number, runs=len(wave.waiting), slots=len(self._slots)))

    def _attempt(self, job: Job, row: int) -> Task:
        folder = str(self._folder(job.run).path.absolute())
        return Task(job.run, job.attempt, job.config, folder, row, self._datasets)

    def _folder(self, run: str) -> RunFolder:
        """Where attempts at `run` write: the run's folder, or for evaluations one in it."""
        folder = self._group.run(run)
        return folder if self._datasets is None else folder.evaluation

    def _grant(self) -> None:
        """Hand free slots to the oldest ready wave that has more waiting than it has room for."""
        fit = runs_that_fit(self._peaks, self._memory, len(self._slots))
        for wave in self._waves.values():
            limit = min(fit, wave.at_once)
            wave.limit(limit)
            idle = len(wave.granted) - len(wave.running)
            while (
                wave.ready
                and self._free
                and len(wave.waiting) > idle
                and len(wave.granted) < limit
                and sum(len(other.granted) for other in self._waves.values()) < fit
            ):
                slot = min(self._free)
                self._free.discard(slot)
                wave.grant(self._slots[slot])
                idle += 1

    def _listen(self, wave: WaveProcess) -> None:
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
                case "left":  # it was told to drain: the next wave takes them
                    wave.waiting.difference_update(message["runs"])
                    self._job_queue.give_back(message["runs"])
                case "drained":
                    wave.shutdown_s = message["shutdown_s"]
                case "failed":
                    wave.failure = message["message"]
        if wave.events.closed:
            self._finish_wave(wave)

    def _on_started(self, wave: WaveProcess, message: Mapping[str, Any]) -> None:
        run, attempt, slot = message["run"], message["attempt"], message["slot"]
        wave.waiting.discard(run)
        wave.running[run] = Running(run, attempt, slot, time.monotonic(), oom_kills=oom_kills())
        kind = Started if self._datasets is None else EvaluationStarted
        self._record(kind(run=run, attempt=attempt, wave=wave.number, slot=slot))

    def _on_ended(self, wave: WaveProcess, record: Mapping[str, Any]) -> None:
        """A run ended and has written its result."""
        run = record["id"]
        wave.running.pop(run, None)
        wave.usage.pop(run, None)
        wave.note_end(record.get("wall_s") or 0.0)
        self._killed.pop(run, None)
        self._barren = 0
        program, peak = self._job_queue.program(run), record.get("rss_peak_bytes", 0)
        self._peaks[program] = max(self._peaks.get(program, 0), peak)
        self._settle(wave, record)

    def _on_died(self, wave: WaveProcess, run: str, detail: str, *, lost: bool = False) -> None:
        """A worker vanished, or (`lost`) its whole wave did; `detail` says what is known."""
        running = wave.running.pop(run, None)
        if running is None:
            return
        folder = self._folder(run)
        record, is_own = record_of_death(
            wave, running, folder, self._killed.pop(run, None), detail, lost=lost
        )
        if is_own:  # it had ended and written so; only its process died on the way back
            self._on_ended(wave, record)
        else:
            self._settle(wave, record)

    def _settle(self, wave: WaveProcess, record: Mapping[str, Any]) -> None:
        run = record["id"]
        ended = ended_event(record, run, wave=wave.number)
        self._record(ended if self._datasets is None else evaluated_event(ended))
        self._job_queue.settle(run, ended.attempt, ended.outcome, ended.cause)
        self._pause = self._pause or self._job_queue.brake_reason()

    def _finish_wave(self, wave: WaveProcess) -> None:
        """The wave child is gone, as planned or not: tell its runs, take back its slots, reap."""
        self._selector.unregister(wave.events.descriptor)
        in_order = wave.shutdown_s is not None
        status = wave.exit_status()
        reason = None if in_order else wave.failure or death_of_wave(status, wave.log_tail())
        # Processes first: a worker that still computes must not write beside its successor.
        processes = wave.kill_processes()
        for run in list(wave.running):
            self._on_died(wave, run, f"its wave died: {reason}", lost=True)
        processes += wave.reap()
        self._free |= wave.granted
        del self._waves[wave.number]
        processes += self._kill_strays()
        self._job_queue.give_back(wave.waiting)
        self._record(WaveEnded(reason=reason or "done", processes_reaped=processes, **wave.costs()))
        self._write_events()
        if in_order or self._stopping():
            return
        self._barren += 1
        if self._barren >= _BARREN_LIMIT:
            raise HostError(
                f"{_BARREN_LIMIT} waves in a row died without one result; the last: {reason}. "
                f"Nothing is lost: launch again once the host is well; `sweep doctor` looks at it."
            )

    def _watch(self, now: float) -> None:
        """Once a second: note the starts, end what overstays, look after room."""
        for wave in self._waves.values():
            late = start_is_late(wave.ready, now - wave.born, wave.running, now)
            late = late or end_is_late(wave.silent_s(now))
            if late and not wave.failure:
                wave.failure = late
                wave.process.kill()
            for run, running in wave.running.items():
                if running.began is None:
                    wave.running[run] = replace(running, began=wave.noted(run).began)
                wave.sample(run)
                cap_log(self._folder(run).log_file)
            self._kill_overstayed(wave, now)
        if now - self._room_looked >= _ROOM_LOOK_S:
            self._room_looked = now
            self._pause = self._pause or self._disk.shortage()
            for wave in self._waves.values():
                if self._disk.recycle(wave.measure_scratch()):
                    wave.drain()

    def _kill_overstayed(self, wave: WaveProcess, now: float) -> None:
        late = overstayed(wave.running, now, self._policy)
        for run in wave.kill_workers(late.keys() - self._killed.keys()):
            slot = wave.running[run].slot
            # The runs of a pack share the fate of their process.
            for other in wave.running.values():
                if other.slot == slot:
                    self._killed[other.run] = late[run]

    def _end_all(self) -> None:
        """Whatever made us leave: no process and no file stays."""
        for wave in list(self._waves.values()):
            wave.reap()
        self._waves.clear()
        self._kill_strays()
        self._write_events()
        self._selector.close()

    def _kill_strays(self) -> int:
        """End what runs have left behind without mark and parents, once no wave is active.

        Such processes were adopted by this one, which starts no children but waves. Those that it
        had before (a shell's that became this process by exec) are spared; as the first process of
        a container, which adopts anybody's orphans, it spares all.
        """
        if self._waves or os.getpid() == 1:
            return 0
        killed, _ = kill_all(self._adopted)
        return killed

    def _adopted(self) -> list[psutil.Process]:
        reap_adopted(self._not_ours)
        children = psutil.Process().children()
        strays = [child for child in children if child.pid not in self._not_ours]
        return [process for stray in strays for process in [stray, *stray.children(recursive=True)]]

    def _record(self, event: Event) -> None:
        self._events.append(event)

    def _write_events(self) -> None:
        """Journal first, then show: what was shown is never lost."""
        if self._events:
            self._journal.append(*self._events)  # raises with nothing appended
            events, self._events = self._events, []
            for event in events:
                self._observe(event)
