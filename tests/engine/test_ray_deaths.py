"""A part of Ray dies, or Ray doesn't start: no run is lost, and nobody else's Ray is touched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from stranger import Stranger
from support import Bench, of_kind, orderly, wait_until

from sweeper.records.events import Started

pytestmark = pytest.mark.faults

VICTIMS = (
    "raylet/raylet",
    "gcs_server",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
    "sweeper.engine.fork_server",
)
# After each run that raises comes a fresh worker, which needs all of Ray.
IN_TURN = """\
trainer: sabotage
group: turn
steps: 40
step_s: 0.05
seed: [0, 1, 2]
deed: [finish, raise]
"""


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """Lives through all tests of this module."""
    temp = Path(f"/tmp/st-{os.getpid()}")
    one = Stranger(temp)
    yield one
    one.close()
    subprocess.run(["rm", "-rf", temp], check=True)


class Killed(NamedTuple):
    """How a launch ended that lost a part of its Ray, and which of its processes outlived it."""

    status: int
    output: str
    left: list[int]


def processes_of(launch: int) -> dict[int, str]:
    """Command lines of the processes below a launch's supervisor, by pid.

    By ancestry: some of Ray's processes rename themselves and write over their environment, which
    then shows no mark.
    """
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(launch).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found[process.pid] = " ".join(process.cmdline())
    return found


def kill_in_mid_wave(bench: Bench, victim: str) -> Killed:
    launch = bench.start("launch", bench.write("turn", IN_TURN), "--cpus", 2)
    wait_until(
        lambda: (
            of_kind(Started, bench.events("turn"))
            and any(victim in line for line in processes_of(launch.pid).values())
        ),
        state=lambda: (bench.events("turn"), processes_of(launch.pid)),
    )
    born = processes_of(launch.pid)
    for pid, line in born.items():
        if victim in line:
            os.kill(pid, signal.SIGKILL)
    output, _ = launch.communicate(timeout=120)
    return Killed(launch.returncode, output, [pid for pid in born if psutil.pid_exists(pid)])


@pytest.fixture(scope="module")
def killed(
    new_bench: Callable[[], Bench], stranger: Stranger
) -> Iterator[dict[str, tuple[Bench, Future[Killed]]]]:
    """All at once: most of the time goes into Ray's time-outs."""
    with ThreadPoolExecutor(len(VICTIMS)) as pool:
        benches = {victim: new_bench() for victim in VICTIMS}
        for bench in benches.values():
            stranger.plant_in(bench.scratch)
        yield {
            victim: (bench, pool.submit(kill_in_mid_wave, bench, victim))
            for victim, bench in benches.items()
        }


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_part_of_ray_costs_no_run(
    killed: dict[str, tuple[Bench, Future[Killed]]], victim: str, stranger: Stranger
) -> None:
    bench, future = killed[victim]
    status, output, left = future.result()
    assert left == []
    assert status == 3, orderly(output)
    for run in bench.state("turn").runs.values():
        expected = "finished" if run.axis_values["deed"] == "finish" else "crashed"
        assert run.outcome == expected, (run, output)
        assert all(attempt.outcome == "lost" for attempt in run.attempts[:-1])
    bench.assert_every_attempt_ended_once("turn")
    bench.assert_nothing_is_left()
    assert stranger.is_untouched()


def test_a_ray_that_does_not_start_ends_the_launch_in_order(
    bench: Bench, stranger: Stranger
) -> None:
    stranger.plant_in(bench.scratch)
    broken = bench.path / "broken"
    (broken / "ray").mkdir(parents=True)
    (broken / "ray" / "__init__.py").write_text(
        "def init(**_):\n    raise OSError('no sockets today')\n"
    )
    file = bench.write("some", "trainer: sabotage\ngroup: some\nseeds: 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Bench, "env", {**bench.env, "PYTHONPATH": f"{broken}:{bench.env['PYTHONPATH']}"}
        )
        result = bench.sweep("launch", file, "--cpus", 1)
    assert result.returncode == 2
    assert "no sockets today" in orderly(result.stderr)
    state = bench.state("some")
    assert state.counts()["waiting"] == 2
    assert all(not run.attempts for run in state.runs.values())
    assert state.launches[-1].reason == "error"
    bench.assert_nothing_is_left()
    assert stranger.is_untouched()
