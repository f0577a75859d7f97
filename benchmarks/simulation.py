"""Waves of runs on slots: the same supervisor as in a launch, under a simulated clock.

`sweeper.engine.scripted_backend` plays the waves; this module says how long their parts take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeper.engine.budgets import DiskBudget
from sweeper.engine.job_queue import Job, WaveJobs
from sweeper.engine.policy import Policy
from sweeper.engine.protocol import Task
from sweeper.engine.scripted_backend import Fate, ScriptedBackend, WaveFate
from sweeper.engine.supervisor import Limits, Supervisor
from sweeper.host.cpus import Slot
from sweeper.plan import PlannedWave
from sweeper.records import GroupFolder
from sweeper.records.events import Event
from sweeper.trainer import load_trainer

__all__ = ["Costs", "Execution", "Simulated", "lower_bound_s", "simulate"]

_NOWHERE = Path("/nonexistent")
_ENOUGH = 1 << 50


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


@dataclass
class _Script:
    """How long each attempt takes, by what its slot's process has run before."""

    durations: Mapping[str, float]
    programs: Mapping[str, str]
    costs: Costs
    executions: list[Execution] = field(default_factory=list)
    first_on_slot: dict[tuple[int, int], float] = field(default_factory=dict)
    compiled: dict[tuple[int, int, str], float] = field(default_factory=dict)

    def fate(self, task: Task, wave: int, slot: int, now: float) -> Fate:
        before = 0.0
        # The runs of a pack begin together, so an entry of this very moment is their own.
        if self.first_on_slot.setdefault((wave, slot), now) == now:
            before += self.costs.worker_s
        if self.compiled.setdefault((wave, slot, self.programs[task.run]), now) == now:
            before += self.costs.compile_s
        start, seconds = now + before, self.durations[task.run]
        self.executions.append(Execution(task.run, wave, slot, start, start + seconds))
        return Fate(seconds=seconds, began_after_s=before)


class _Events:
    """A journal that nobody reads."""

    def append(self, *events: Event) -> None:
        """Nothing is written."""


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
    programs = {
        run.spec.id: run.program for wave in waves for pack in wave.packs for run in pack.runs
    }
    script = _Script(durations, programs, costs)
    backend = ScriptedBackend(
        lambda task, wave, slot: script.fate(task, wave, slot, backend.now()),
        lambda number: WaveFate(costs.startup_s, costs.shutdown_s),
    )
    Supervisor(
        group=GroupFolder(_NOWHERE, "simulated"),
        trainer=load_trainer("benchmarks.noop"),
        slots=[Slot(index, (index,)) for index in range(slots)],
        policy=Policy(overlap=overlap),
        limits=Limits(DiskBudget(_NOWHERE, _NOWHERE, _ENOUGH, lambda path: _ENOUGH), _ENOUGH),
        journal=_Events(),
        backend=backend,
        observe=lambda event: None,
        clock=backend.now,
    ).run([_jobs(wave) for wave in waves])
    return Simulated(tuple(script.executions), backend.now())


def _jobs(wave: PlannedWave) -> WaveJobs:
    return [
        (pack.program, tuple(Job(run.spec.id, 1, {}) for run in pack.runs)) for pack in wave.packs
    ]
