"""From the runs of a sweep and the state of its group to what still has to be trained."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sweeper.errors import TrainerError
from sweeper.keys import renamed_keys
from sweeper.plan.estimates import Estimator, Finished
from sweeper.plan.preflight import failure, invalid_cause, reasons_against
from sweeper.plan.programs import Programs
from sweeper.records.outcomes import SETTLED, Outcome
from sweeper.records.shards import WHOLE, Shard
from sweeper.records.state import RUNNING

if TYPE_CHECKING:
    from sweeper.config import RunSpec, Sweep
    from sweeper.records import GroupState, RunState
    from sweeper.trainer import Trainer

__all__ = [
    "RUNS_PER_WAVE",
    "Pack",
    "Plan",
    "PlannedRun",
    "PlannedWave",
    "plan_each",
    "plan_runs",
    "remaining",
]

# A wave costs some six seconds outside training and a kilobyte or two of scratch space per run: at
# 5,000 runs that is about a millisecond per run and ten megabytes. The disk's budget ends a wave
# sooner where that is too much.
RUNS_PER_WAVE = 5000


@dataclass(frozen=True)
class PlannedRun:
    """A run to be trained, with its program's name and the expected wall time."""

    spec: RunSpec
    program: str
    estimate_s: float | None = None
    has_failed: bool = False
    """Whether it has crashed or run out of time before."""
    is_again: bool = False
    """Whether it has an outcome that would be left alone, but for the user."""


@dataclass(frozen=True)
class Pack:
    """Runs of one program that are handed to the trainer together."""

    runs: tuple[PlannedRun, ...]

    @property
    def program(self) -> str:
        return self.runs[0].program

    @property
    def has_failed(self) -> bool:
        """Whether its runs have failed before; they never share a pack with others."""
        return self.runs[0].has_failed

    @property
    def estimate_s(self) -> float | None:
        """The expected wall time: that of its longest run, as they are trained side by side."""
        known = [run.estimate_s for run in self.runs if run.estimate_s is not None]
        return max(known, default=None)


@dataclass(frozen=True)
class PlannedWave:
    """What runs in one Ray session, in the order of dispatch."""

    packs: tuple[Pack, ...]

    @property
    def runs(self) -> int:
        return sum(len(pack.runs) for pack in self.packs)


@dataclass(frozen=True)
class Plan:
    """What a launch would do: every run of the sweep is done, invalid or in exactly one wave.

    `invalid` holds every run that can't work, with the reasons, recorded or not; `done` counts
    the runs whose records are left alone by outcome, invalid ones not among them, but those that
    another launch is training right now, as ``running``.
    """

    total: int
    invalid: tuple[tuple[RunSpec, tuple[str, ...]], ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)
    waves: tuple[PlannedWave, ...] = ()
    settled: tuple[RunSpec, ...] = ()  # the runs that `done` counts
    startup_s: float | None = None  # of the group's waves so far, and their shutdown, on average
    earlier: int = 0  # runs that the group has from earlier sweep files
    recorded: frozenset[str] = frozenset()  # invalid runs that the records know, reasons and all

    @property
    def packs(self) -> tuple[Pack, ...]:
        return tuple(pack for wave in self.waves for pack in wave.packs)

    @property
    def to_train(self) -> int:
        return sum(wave.runs for wave in self.waves)

    @property
    def failed_before(self) -> int:
        """How many of the runs to be trained have failed before."""
        return sum(run.has_failed for pack in self.packs for run in pack.runs)

    @property
    def again(self) -> int:
        """How many of the runs to be trained have finished or diverged before."""
        return sum(run.is_again for pack in self.packs for run in pack.runs)

    @property
    def newly_invalid(self) -> tuple[tuple[RunSpec, tuple[str, ...]], ...]:
        """The invalid runs that the records don't know yet, or know for other reasons."""
        return tuple(item for item in self.invalid if item[0].id not in self.recorded)

    @property
    def estimate_s(self) -> float | None:
        """Seconds of training still to be done on one slot; None without any history."""
        known = [pack.estimate_s for pack in self.packs if pack.estimate_s is not None]
        return sum(known) if known else None


def remaining(
    sweep: Sweep,
    state: GroupState,
    shard: Shard = WHOLE,
    *,
    chosen: Collection[str] | None = None,
    again: bool = False,
) -> Plan:
    """What a launch of a part of `sweep` would do for a group in this state.

    Only of the runs in `chosen`, if given; `again` as for `plan_runs`. Raises `TrainerError`.
    """
    specs = {spec.id: spec for spec in sweep}
    own = [
        spec
        for spec in specs.values()
        if shard.holds(spec.id) and (chosen is None or spec.id in chosen)
    ]
    plan = plan_runs(
        own,
        state,
        sweep.trainer,
        runs_per_wave=sweep.resources.runs_per_wave,
        fixed=sweep.fixed,
        again=again,
    )
    tried = {run.id for run in state.runs.values() if run.attempts}
    outside = [
        wave.startup_s + (wave.shutdown_s or 0.0)
        for wave in state.waves
        if wave.startup_s is not None
    ]
    return replace(
        plan,
        earlier=len(tried - specs.keys()),
        startup_s=fmean(outside) if outside else None,
    )


def plan_runs(
    runs: Iterable[RunSpec],
    state: GroupState,
    trainer: Trainer,
    *,
    runs_per_wave: int | None = None,
    fixed: Mapping[str, Any] | None = None,
    again: bool = False,
) -> Plan:
    """Plan `runs` by what the records say of them.

    `fixed` are the parameters that are no axes; by default those with which each was planned last.

    Runs that finished or diverged are left alone, unless it is for `again`, and so are those that
    run elsewhere. All others
    are checked and then cut into packs of at most `trainer.pack_size` runs of one program, ordered
    longest first (which ends a wave with short runs, so that no slot idles for long) but what
    failed before behind all that didn't, and filled into waves of at most `runs_per_wave` runs.
    None means one wave, or equal ones of at most `RUNS_PER_WAVE`: a heuristic. Packs are
    never cut, so a wave holds at least one pack. Raises `TrainerError` for a `pack_size` below 1.
    """
    if trainer.pack_size < 1:
        raise TrainerError(
            f"trainer {trainer.name!r}: `pack_size >= 1` must hold, but got "
            f"pack_size={trainer.pack_size}"
        )
    specs = {spec.id: spec for spec in runs}
    programs = Programs()
    settled: list[RunSpec] = []
    invalid: list[tuple[RunSpec, tuple[str, ...]]] = []
    to_train: list[tuple[RunSpec, str]] = []
    for spec in specs.values():
        if _is_left_alone(state.runs.get(spec.id), again):
            settled.append(spec)
            continue
        program, reasons = None, reasons_against(spec, trainer)
        if not reasons:
            program, reasons = _program(spec, trainer, programs)
        if program is None:
            invalid.append((spec, reasons))
        else:
            to_train.append((spec, program))
    estimator = Estimator(_finished(state, specs, trainer, programs))
    planned = [
        PlannedRun(
            spec,
            program,
            estimator.estimate_s(spec.axis_values, program, _fixed_of(spec, fixed, state)),
            _has_failed(state.runs.get(spec.id)),
            _is_settled(state.runs.get(spec.id)),
        )
        for spec, program in to_train
    ]
    return Plan(
        total=len(specs),
        invalid=tuple(invalid),
        done=dict(Counter(_left_alone_as(state.runs[spec.id]) for spec in settled)),
        waves=_waves(_packs(planned, trainer.pack_size), runs_per_wave),
        settled=tuple(settled),
        recorded=frozenset(
            spec.id for spec, reasons in invalid if _is_recorded(state.runs.get(spec.id), reasons)
        ),
    )


def plan_each(
    runs: Iterable[RunSpec], trainer: Trainer, *, runs_per_wave: int | None = None
) -> Plan:
    """Plan `runs` whatever the records say of them, each in a pack of its own, by program."""
    programs = Programs()
    invalid: list[tuple[RunSpec, tuple[str, ...]]] = []
    packs: list[Pack] = []
    for spec in runs:
        program, reasons = _program(spec, trainer, programs)
        if program is None:
            invalid.append((spec, reasons))
        else:
            packs.append(Pack((PlannedRun(spec, program),)))
    order = {name: place for place, name in enumerate(dict.fromkeys(p.program for p in packs))}
    packs.sort(key=lambda pack: order[pack.program])
    return Plan(
        total=len(packs) + len(invalid),
        invalid=tuple(invalid),
        waves=_waves(packs, runs_per_wave),
    )


def _is_left_alone(run: RunState | None, again: bool) -> bool:
    """Whether a second attempt isn't wanted, or the first one goes on elsewhere."""
    if run is not None and run.running:
        return True
    return not again and _is_settled(run)


def _is_settled(run: RunState | None) -> bool:
    """Whether a second attempt would end the same way. What was invalid may have been fixed."""
    if run is None or run.interrupted or run.outcome is Outcome.INVALID:
        return False
    return run.outcome in SETTLED


def _left_alone_as(run: RunState) -> str:
    return RUNNING if run.running else str(run.outcome)


def _has_failed(run: RunState | None) -> bool:
    return run is not None and run.outcome in (Outcome.CRASHED, Outcome.TIMED_OUT)


def _is_recorded(run: RunState | None, reasons: Sequence[str]) -> bool:
    return (
        run is not None
        and run.outcome is Outcome.INVALID
        and run.cause is not None
        and run.cause.message == invalid_cause(reasons).message
    )


def _program(
    spec: RunSpec, trainer: Trainer, programs: Programs
) -> tuple[str | None, tuple[str, ...]]:
    """The program of a run, or why there is none."""
    try:
        return programs.name(trainer.program_key(copy.deepcopy(spec.config))), ()
    except Exception as error:
        return None, (failure("program_key", error),)


def _finished(
    state: GroupState, specs: Mapping[str, RunSpec], trainer: Trainer, programs: Programs
) -> list[Finished]:
    """The finished runs of the group; those that this sweep holds too, with their program."""
    finished = []
    read: dict[int, Mapping[str, Any]] = {}  # thousands of runs share one mapping
    for run in state.runs.values():
        # The last attempt of a run that went on from a checkpoint took only a part of its time.
        restored = run.deciding is not None and run.deciding.restored_step is not None
        if run.outcome is Outcome.FINISHED and run.wall_s is not None and not restored:
            spec = specs.get(run.id)
            known = spec is not None and not spec.invalid
            program = _program(spec, trainer, programs)[0] if spec and known else None
            fixed = read.setdefault(id(run.fixed), renamed_keys(run.fixed, trainer.renamed))
            axis_values = renamed_keys(run.axis_values, trainer.renamed)
            finished.append(Finished(axis_values, run.wall_s, program, fixed))
    return finished


def _fixed_of(
    spec: RunSpec, fixed: Mapping[str, Any] | None, state: GroupState
) -> Mapping[str, Any]:
    run = state.runs.get(spec.id)
    return fixed if fixed is not None else run.fixed if run is not None else {}


def _packs(planned: Sequence[PlannedRun], pack_size: int) -> list[Pack]:
    """Packs of one program each, longest first; within one program as equal as they can be.

    What has failed before probably fails again: it comes last, so that it can neither hold up the
    others nor make a launch look as if everything failed.
    """
    by_program: dict[tuple[bool, str], list[PlannedRun]] = defaultdict(list)
    for run in planned:
        by_program[run.has_failed, run.program].append(run)
    packs = []
    for same in by_program.values():
        # Runs of like length share a pack, as each waits for the longest.
        same.sort(key=lambda run: -(run.estimate_s or 0.0))
        # One that fails takes its pack with it: who failed before is tried alone.
        count = len(same) if same[0].has_failed else ceil(len(same) / pack_size)
        packs += [
            Pack(tuple(same[len(same) * i // count : len(same) * (i + 1) // count]))
            for i in range(count)
        ]
    # Stable: equal estimates stay in the order of the grid, the packs of a program together.
    return sorted(packs, key=lambda pack: (pack.has_failed, -(pack.estimate_s or 0.0)))


def _waves(packs: Sequence[Pack], runs_per_wave: int | None) -> tuple[PlannedWave, ...]:
    total = sum(len(pack.runs) for pack in packs)
    if not total:
        return ()
    room = runs_per_wave or ceil(total / ceil(total / RUNS_PER_WAVE))
    waves: list[list[Pack]] = [[]]
    size = 0
    for pack in packs:
        if waves[-1] and size + len(pack.runs) > room:
            waves.append([])
            size = 0
        waves[-1].append(pack)
        size += len(pack.runs)
    return tuple(PlannedWave(tuple(wave)) for wave in waves)
