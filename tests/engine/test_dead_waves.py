"""Dead waves: a run that kills its own, hosts on which nothing comes up."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest
from support import Bench, ended, orderly, wait_until

from sweeper.records import GroupState

pytestmark = pytest.mark.faults

SLOW = "trainer: sabotage\ngroup: slow\nsteps: 40\nstep_s: 0.05\nseeds: 6\n"
STILLBORN = "trainer: stillborn\ngroup: sick\nseeds: {runs}\n"


def test_a_killed_wave_is_replaced_and_its_runs_are_tried_again(bench: Bench) -> None:
    launch = bench.start("launch", bench.write("slow", SLOW), "--cpus", 2)
    wait_until(lambda: len(ended(bench.events("slow"))) >= 1, state=lambda: bench.events("slow"))
    (wave,) = psutil.Process(launch.pid).children()
    wave.kill()
    output, _ = launch.communicate(timeout=90)
    assert launch.returncode == 0, output
    state = bench.state("slow")
    assert state.counts()["finished"] == 6
    # First a wave of those that it had not begun, then one of those that were lost with it.
    assert [wave.reason == "done" for wave in state.waves] == [False, True, True]
    lost = [a for run in state.runs.values() for a in run.attempts if a.outcome == "lost"]
    assert lost
    assert [attempt.cause and attempt.cause.kind for attempt in lost] == ["host"] * len(lost)
    bench.assert_nothing_is_left()


@pytest.fixture(scope="module")
def killer(new_bench: Callable[[], Bench]) -> GroupState:
    """After a sweep in which one run kills its whole wave whenever it is tried.

    A run finishes before it, without which the host would be taken for sick; one runs beside it.
    """
    bench = new_bench()
    file = bench.write(
        "killer",
        "trainer: reckless\ngroup: killer\nzip: [deed, seconds]\n"
        "deed: [finish, finish, kill the wave]\nseconds: [0, 4, 0]\n",
    )
    done = bench.sweep("launch", file, "--cpus", 2)
    assert done.returncode == 3, orderly(done.stdout + done.stderr)
    bench.assert_nothing_is_left()
    return bench.state("killer")


def attempts(state: GroupState, deed: str, seconds: float) -> list[tuple[str, str | None]]:
    """Outcome and kind of cause of each attempt at a run."""
    values = {"deed": deed, "seconds": seconds}
    (run,) = [run for run in state.runs.values() if run.axis_values == values]
    return [(str(a.outcome), str(a.cause.kind) if a.cause else None) for a in run.attempts]


def test_a_lost_run_is_tried_again_twice_and_no_more(killer: GroupState) -> None:
    assert attempts(killer, "kill the wave", 0.0) == [("lost", "host")] * 3


def test_who_ran_beside_a_run_that_kills_its_wave_finishes(killer: GroupState) -> None:
    assert attempts(killer, "finish", 0.0) == [("finished", None)]
    assert attempts(killer, "finish", 4.0)[-1] == ("finished", None)


@pytest.mark.parametrize("finished_before", [0, 2])
def test_workers_that_cannot_be_made_end_the_launch_at_once(
    bench: Bench, finished_before: int
) -> None:
    """What they are forked from dies at an import; then all is well again."""
    if finished_before:
        file = bench.write("sick", STILLBORN.format(runs=finished_before))
        assert bench.sweep("launch", file, "--cpus", 2).returncode == 0
    file = bench.write("sick", STILLBORN.format(runs=6))
    (bench.path / "sick").touch()
    sick = bench.sweep("launch", file, "--cpus", 2)
    assert sick.returncode == 2, orderly(sick.stdout + sick.stderr)
    died = "the parent of the workers, which imports dies_at_import, died with signal 9"
    assert f"3 waves in a row died without one result; the last: {died}" in sick.stderr
    assert bench.marked_processes() == []
    (bench.path / "sick").unlink()
    well = bench.sweep("launch", file, "--cpus", 2)
    assert well.returncode == 0, well.stdout + well.stderr
    assert bench.state("sick").counts()["finished"] == 6
