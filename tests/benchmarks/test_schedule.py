"""The simulated schedule obeys what no schedule can beat, and loses no run."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.schedule import SLOTS, duration_s, planned_waves, runs
from benchmarks.simulation import Costs, Execution, lower_bound_s, simulate
from sweeper.config import RunSpec
from sweeper.plan import Pack, PlannedRun, PlannedWave

NONE = Costs(startup_s=0.0, shutdown_s=0.0, worker_s=0.0, compile_s=0.0)


def pack(run: str, program: str) -> Pack:
    return Pack((PlannedRun(RunSpec(run, None, {}), program),))


@st.composite
def workloads(draw: st.DrawFn, programs: int) -> tuple[list[PlannedWave], dict[str, float]]:
    """Some waves of runs with some programs and durations."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    waves: list[PlannedWave] = []
    durations: dict[str, float] = {}
    for number, size in enumerate(sizes):
        names = [f"w{number}r{index}" for index in range(size)]
        waves.append(
            PlannedWave(tuple(pack(run, f"p{draw(st.integers(1, programs))}") for run in names))
        )
        durations |= {run: draw(st.floats(0.1, 100.0)) for run in names}
    return waves, durations


def costs() -> st.SearchStrategy[Costs]:
    seconds = st.floats(0.0, 10.0)
    return st.builds(
        Costs, startup_s=seconds, shutdown_s=seconds, worker_s=seconds, compile_s=seconds
    )


@given(workloads(programs=3), st.integers(1, 5), costs(), st.booleans())
def test_every_run_once_on_a_slot_of_its_own(
    workload: tuple[list[PlannedWave], dict[str, float]], slots: int, spent: Costs, overlap: bool
) -> None:
    waves, durations = workload
    found = simulate(waves, durations, slots, costs=spent, overlap=overlap)
    assert Counter(e.run for e in found.executions) == Counter(durations.keys())
    by_slot: dict[int, list[Execution]] = defaultdict(list)
    for execution in found.executions:
        assert execution.end - execution.start == pytest.approx(durations[execution.run])
        by_slot[execution.slot].append(execution)
    assert by_slot.keys() <= set(range(slots))
    for executed in by_slot.values():
        executed.sort(key=lambda e: e.start)
        for earlier, later in itertools.pairwise(executed):
            assert later.start >= earlier.end - 1e-9


@given(workloads(programs=3), st.integers(1, 5), costs(), st.booleans())
def test_nothing_beats_the_lower_bound(
    workload: tuple[list[PlannedWave], dict[str, float]], slots: int, spent: Costs, overlap: bool
) -> None:
    waves, durations = workload
    found = simulate(waves, durations, slots, costs=spent, overlap=overlap)
    least = lower_bound_s(durations, slots) + spent.startup_s + spent.shutdown_s
    assert found.makespan_s >= least - 1e-6
    assert 0.0 < found.utilisation(slots) <= 1.0 + 1e-9


@given(workloads(programs=1), st.integers(1, 5), costs())
def test_overlap_is_never_worse(
    workload: tuple[list[PlannedWave], dict[str, float]], slots: int, spent: Costs
) -> None:
    """With one program, so that the order of the line can't depend on who asks."""
    waves, durations = workload
    overlapping = simulate(waves, durations, slots, costs=spent, overlap=True)
    one_by_one = simulate(waves, durations, slots, costs=spent, overlap=False)
    assert overlapping.makespan_s <= one_by_one.makespan_s + 1e-6


@given(st.lists(st.floats(1.0, 100.0), min_size=1, max_size=30), st.integers(1, 5))
def test_one_wave_without_costs_is_graham_list_scheduling(times: list[float], slots: int) -> None:
    """Graham (1966): a list schedule is at most 2 - 1/m times as long as the best one."""
    durations = {f"r{index}": seconds for index, seconds in enumerate(times)}
    wave = PlannedWave(tuple(pack(run, "p") for run in durations))
    found = simulate([wave], durations, slots, costs=NONE)
    free = [0.0] * slots
    for seconds in times:  # in line, each to the slot that is free first
        first = free.index(min(free))
        free[first] += seconds
    assert found.makespan_s == pytest.approx(max(free))
    assert found.makespan_s <= (2 - 1 / slots) * lower_bound_s(durations, slots) + 1e-6


def test_the_users_sweep_fills_the_slots() -> None:
    specs = runs(range(40))
    durations = {run: duration_s(spec.config) for run, spec in specs.items()}
    assert len(durations) == 6000
    planned = planned_waves(None, longest_first=True)
    overlapping = simulate(planned, durations, SLOTS)
    assert Counter(e.run for e in overlapping.executions) == Counter(durations.keys())
    assert overlapping.utilisation(SLOTS) > 0.95
    assert overlapping.makespan_s < 1.05 * lower_bound_s(durations, SLOTS)


def test_overlap_and_the_longest_first_save_time() -> None:
    """On a tenth of the slots with a tenth of the runs, which takes a tenth of the time."""
    durations = {run: duration_s(spec.config) for run, spec in runs(range(4)).items()}
    planned = planned_waves(100, longest_first=True, replicates=4)
    best = simulate(planned, durations, SLOTS // 10).makespan_s
    assert best < simulate(planned, durations, SLOTS // 10, overlap=False).makespan_s
    in_grid_order = planned_waves(100, longest_first=False, replicates=4)
    assert best < simulate(in_grid_order, durations, SLOTS // 10).makespan_s
