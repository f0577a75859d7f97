"""Waves of runs on slots under a simulated clock, with the real decisions.

What to run next is asked of `sweeper.plan.Queue`, when to start the next wave of
`sweeper.engine.policy.next_wave_is_due`; this module only lets the time pass and does what the
supervisor and the waves do in between: grant free slots to the oldest wave that is ready, give them
back when nothing waits.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sweeper.engine.policy import Drain, next_wave_is_due
from sweeper.plan import Pack, PlannedWave, Queue

__all__ = ["Costs", "Execution", "Simulated", "lower_bound_s", "simulate"]


@dataclass(frozen=True)
class Costs:
    """Seconds that pass outside of training; the defaults are measured ones."""

    startup_s: float = 6.0
    shutdown_s: float = 1.4
    worker_s: float = 1.0
    compile_s: float = 8.0
    """For each program that a slot's process meets for the first time, without any cache."""


@dataclass(frozen=True)
class Execution:
    """One run: on which slot of which wave, and the seconds since the launch of start and end."""

    run: str
    wave: int
    slot: int
    start: float
    end: float


@dataclass(frozen=True)
class Simulated:
    """What happened, in the order of the starts, and when the last wave had shut down."""

    executions: tuple[Execution, ...]
    makespan_s: float

    def utilisation(self, slots: int) -> float:
        """The share of all slots' time that was spent on training, in [0, 1]."""
        trained = sum(execution.end - execution.start for execution in self.executions)
        return trained / (slots * self.makespan_s)


def lower_bound_s(durations: Mapping[str, float], slots: int) -> float:
    """No schedule is shorter: the work on all slots at once, or the longest run."""
    return max(sum(durations.values()) / slots, *durations.values())


def simulate(
    waves: Sequence[PlannedWave],
    durations: Mapping[str, float],
    slots: int,
    *,
    costs: Costs = Costs(),
    overlap: bool = True,
) -> Simulated:
    """Execute the waves; `durations` are the seconds of training by run id.

    Without `overlap` a wave starts when the one before is gone.
    """
    return _Simulation(waves, durations, slots, costs, overlap).run()


@dataclass
class _Wave:
    """One wave's Ray session."""

    number: int
    queue: Queue[Pack]
    waiting: int
    ready: bool = False
    granted: set[int] = field(default_factory=set)
    programs: dict[int, str] = field(default_factory=dict)  # by slot, of what it runs
    compiled: set[tuple[int, str]] = field(default_factory=set)
    ends: int = 0
    ends_s: float = 0.0

    def drain_state(self, startup_s: float) -> Drain:
        run_s = self.ends_s / self.ends if self.ends else None
        return Drain(self.waiting, run_s, startup_s if self.ready else 0.0)


class _Simulation:
    def __init__(
        self,
        waves: Sequence[PlannedWave],
        durations: Mapping[str, float],
        slots: int,
        costs: Costs,
        overlap: bool,
    ) -> None:
        self._to_come = list(reversed(waves))
        self._durations = durations
        self._slots = slots
        self._costs = costs
        self._overlap = overlap
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._active: list[_Wave] = []
        self._free = set(range(slots))
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._now = 0.0
        self._executions: list[Execution] = []

    def run(self) -> Simulated:
        self._decide()
        while self._coming:
            self._now, _, happens = heapq.heappop(self._coming)
            happens()
            self._decide()
        return Simulated(tuple(self._executions), self._now)

    def _after(self, seconds: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._coming, (self._now + seconds, next(self._order), happens))

    def _decide(self) -> None:
        """What the supervisor does after each event."""
        if self._to_come and self._is_due():
            planned = self._to_come.pop()
            queue = Queue((pack.program, pack) for pack in planned.packs)
            wave = _Wave(next(self._numbers), queue, planned.runs)
            self._active.append(wave)
            self._after(self._costs.startup_s, lambda: setattr(wave, "ready", True))
        for wave in self._active:
            while wave.ready and self._free and len(wave.queue):
                slot = min(self._free)
                self._free.discard(slot)
                wave.granted.add(slot)
                self._dispatch(wave, slot, after_s=self._costs.worker_s)

    def _is_due(self) -> bool:
        if not self._overlap:
            return not self._active
        active = [wave.drain_state(self._costs.startup_s) for wave in self._active]
        return next_wave_is_due(active, self._slots)

    def _dispatch(self, wave: _Wave, slot: int, *, after_s: float = 0.0) -> None:
        last = wave.programs.pop(slot, None)
        taken = wave.queue.take(last, frozenset(wave.programs.values()))
        if taken is None:
            self._release(wave, slot)
            return
        program, pack = taken
        wave.waiting -= len(pack.runs)
        wave.programs[slot] = program
        if (slot, program) not in wave.compiled:
            wave.compiled.add((slot, program))
            after_s += self._costs.compile_s
        start = self._now + after_s
        seconds = max(self._durations[run.spec.id] for run in pack.runs)
        self._executions += [
            Execution(run.spec.id, wave.number, slot, start, start + self._durations[run.spec.id])
            for run in pack.runs
        ]
        self._after(after_s + seconds, lambda: self._end(wave, slot, pack))

    def _end(self, wave: _Wave, slot: int, pack: Pack) -> None:
        wave.ends += len(pack.runs)
        wave.ends_s += sum(self._durations[run.spec.id] for run in pack.runs)
        self._dispatch(wave, slot)

    def _release(self, wave: _Wave, slot: int) -> None:
        wave.granted.discard(slot)
        self._free.add(slot)
        if not wave.granted:
            self._after(self._costs.shutdown_s, lambda: self._active.remove(wave))
