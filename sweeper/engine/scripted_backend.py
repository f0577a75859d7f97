"""A `Backend` without processes: waves act a script, and the time is simulated.

The supervisor that trains on a host runs on it unchanged, in tests within milliseconds and in the
simulation of schedules. `ScriptedBackend.now` is the supervisor's clock.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeper.engine.backend import Usage
from sweeper.engine.protocol import (
    Command,
    Drained,
    Grant,
    Limit,
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
from sweeper.engine.results import Result
from sweeper.engine.status_table import RunStatus
from sweeper.engine.task_queue import TaskQueue
from sweeper.records.outcomes import Cause, CauseKind, Outcome

__all__ = ["Fate", "ScriptedBackend", "ScriptedWave", "WaveFate"]

_PID = 1


@dataclass(frozen=True)
class Fate:
    """What becomes of an attempt: it lasts so long and ends so.

    `dies` lets its process vanish, `kills_wave` the whole wave, both without a result; `hangs` lets
    it go on until it is killed. Before `began_after_s` its worker is still starting. A run that
    `obeys` ends as stopped when its wave is asked to stop.
    """

    seconds: float = 1.0
    outcome: Outcome = Outcome.FINISHED
    cause: Cause | None = None
    began_after_s: float = 0.0
    dies: bool = False
    kills_wave: bool = False
    hangs: bool = False
    obeys: bool = True
    rss_peak_bytes: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WaveFate:
    """What becomes of a wave: how long its Ray takes, or why it never starts or never ends, and
    what its logs say."""

    startup_s: float = 6.0
    shutdown_s: float = 1.4
    fails: str | None = None
    hangs_at_start: bool = False
    hangs_at_end: bool = False
    says: str = ""
    scratch_bytes: Callable[[float], int] = lambda age_s: 0


class ScriptedBackend:
    """Acts `fate_of(task, wave number, slot)` for attempts and `wave_fate(number)` for waves."""

    def __init__(
        self,
        fate_of: Callable[[Task, int, int], Fate] = lambda task, wave, slot: Fate(),
        wave_fate: Callable[[int], WaveFate] = lambda number: WaveFate(),
    ) -> None:
        self.fate_of = fate_of
        self.wave_fate = wave_fate
        self.waves: list[ScriptedWave] = []
        self.strays = 0
        self.closed = False
        self._now = 0.0
        self._order = itertools.count()
        self._to_come: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen later, e.g. a signal."""
        heapq.heappush(self._to_come, (self._now + seconds, next(self._order), happens))

    def start(self, number: int, spec: WaveSpec) -> ScriptedWave:
        wave = ScriptedWave(self, number, spec, self.wave_fate(number))
        self.waves.append(wave)
        return wave

    def wait(self, timeout_s: float) -> Sequence[ScriptedWave]:
        """Let the time pass to the next thing that happens, at most by `timeout_s`."""
        until = self._now + timeout_s
        while not self._readable() and self._to_come and self._to_come[0][0] <= until:
            self._now, _, happens = heapq.heappop(self._to_come)
            happens()
        found = self._readable()
        if not found:
            self._now = until
        return found

    def _readable(self) -> list[ScriptedWave]:
        present = [wave for wave in self.waves if not wave.removed]
        return [wave for wave in present if wave.inbox or wave.closed]

    def kill_strays(self) -> int:
        found, self.strays = self.strays, 0
        return found

    def close(self) -> None:
        self.closed = True


@dataclass
class _Attempt:
    """A pack under way on a slot."""

    tasks: tuple[Task, ...]
    fates: tuple[Fate, ...]


class ScriptedWave:
    """Dispatches packs to its slots as `ray_wave` does, and ends them by their fates."""

    def __init__(
        self, backend: ScriptedBackend, number: int, spec: WaveSpec, fate: WaveFate
    ) -> None:
        self.number = number
        self.spec = spec
        self.inbox: list[Message] = []
        self.closed = False
        self.removed = False
        self.commands: list[Command] = []
        self.most_at_once = 0
        self._backend = backend
        self._fate = fate
        self._born = backend.now()
        self._queue = TaskQueue(spec.packs)
        self._slots: set[int] = set()
        self._running: dict[int, _Attempt] = {}
        self._programs: dict[int, str] = {}
        self._began: dict[str, float] = {}
        self._limit = spec.slots
        self._ready = False
        if fate.fails is not None:
            self._fail(fate.fails)
        elif not fate.hangs_at_start:
            backend.after(fate.startup_s, self._start)

    def _start(self) -> None:
        self._ready = True
        self.inbox.append(Ready(self._fate.startup_s))
        self._end_if_idle()

    def _fail(self, reason: str) -> None:
        self.inbox.append(WaveFailed(reason))
        self.closed = True

    def send(self, command: Command) -> None:
        self.commands.append(command)
        match command:
            case Limit(slots):
                self._limit = slots
            case Grant(slot):
                self._slots.add(slot)
                self._dispatch(slot)

    def _dispatch(self, slot: int) -> None:
        last = self._programs.pop(slot, None)
        full = len(self._programs) >= self._limit
        taken = None if full else self._queue.take(last, frozenset(self._programs.values()))
        if taken is None:
            self._slots.discard(slot)
            self.inbox.append(SlotReleased(slot))
            self._end_if_idle()
            return
        program, tasks = taken
        self._programs[slot] = program
        fates = tuple(self._backend.fate_of(task, self.number, slot) for task in tasks)
        attempt = self._running[slot] = _Attempt(tasks, fates)
        now = self._backend.now()
        for task, fate in zip(tasks, fates, strict=True):
            self._began[task.run] = now + fate.began_after_s
        self.most_at_once = max(self.most_at_once, len(self._running))
        self.inbox += [RunStarted(task.run, task.attempt, slot) for task in tasks]
        if not any(fate.hangs for fate in fates):
            seconds = max(fate.began_after_s + fate.seconds for fate in fates)
            self._backend.after(seconds, lambda: self._end(slot, attempt))

    def _end(self, slot: int, attempt: _Attempt, *, stopped: bool = False) -> None:
        if self.closed or self._running.get(slot) is not attempt:
            return
        if any(fate.kills_wave for fate in attempt.fates) and not stopped:
            self.closed = True
            return
        del self._running[slot]
        if any(fate.dies for fate in attempt.fates) and not stopped:
            self.inbox.append(WorkerDied(tuple(t.run for t in attempt.tasks), "it vanished", -9))
        else:
            pairs = zip(attempt.tasks, attempt.fates, strict=True)
            self.inbox.append(PackEnded(tuple(self._result(t, f, stopped) for t, f in pairs)))
        self._dispatch(slot)

    def _result(self, task: Task, fate: Fate, stopped: bool) -> Result:
        outcome, cause = fate.outcome, fate.cause
        if stopped:
            outcome, cause = Outcome.STOPPED, Cause(CauseKind.ASKED_TO_STOP, "stopped at a step")
        return Result(
            id=task.run,
            attempt=task.attempt,
            outcome=outcome,
            cause=cause,
            metrics=fate.metrics,
            wall_s=fate.seconds,
            rss_peak_bytes=fate.rss_peak_bytes,
        )

    def _end_if_idle(self) -> None:
        idle = self._ready and not self._queue and not self._slots and not self._fate.hangs_at_end
        if idle and not self.closed:
            self._backend.after(self._fate.shutdown_s, self._shut_down)

    def _shut_down(self) -> None:
        if not self.closed:
            self.inbox.append(Drained(self._fate.shutdown_s))
            self.closed = True

    def read(self) -> Sequence[Message]:
        messages, self.inbox = self.inbox, []
        return messages

    def stop(self) -> None:
        self.drain()
        for slot, attempt in list(self._running.items()):
            if all(fate.obeys and not fate.hangs for fate in attempt.fates):
                self._end(slot, attempt, stopped=True)

    def drain(self) -> None:
        left = self._queue.take_back()
        if left:
            self.inbox.append(RunsLeft(left))
        self._end_if_idle()

    def withhold(self, runs: Collection[str]) -> None:
        left = self._queue.take_back(runs)
        if left:
            self.inbox.append(RunsLeft(left))
        self._end_if_idle()

    def status(self, run: str) -> RunStatus:
        began = self._began.get(run)
        if began is None or began > self._backend.now():
            return RunStatus()
        return RunStatus(pid=_PID, began=began)

    def usage(self, run: str) -> Usage | None:
        began = self.status(run).began
        return None if began is None else Usage(self._backend.now() - began, 0)

    def stack_file(self, pid: int) -> Path:
        return Path("/nonexistent") / str(pid)

    def kill_runs(self, runs: Collection[str]) -> set[str]:
        killed: set[str] = set()
        for slot, attempt in list(self._running.items()):
            names = {task.run for task in attempt.tasks}
            if names & set(runs):
                killed |= names & set(runs)
                del self._running[slot]
                self.inbox.append(WorkerDied(tuple(sorted(names)), "killed"))
                self._dispatch(slot)
        return killed

    def kill(self) -> int:
        was_closed, self.closed = self.closed, True
        return 0 if was_closed else 1

    def exit_status(self) -> int | None:
        return 0

    def log_tail(self) -> str:
        return self._fate.says

    def scratch_bytes(self) -> int:
        return self._fate.scratch_bytes(self._backend.now() - self._born)

    def remove(self) -> int:
        self.removed = True
        return self.kill()
