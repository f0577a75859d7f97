"""Signals and closed terminals: a launch stops in order, and nothing is left of it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from support import SWEEP, Bench, ended, of_kind, orderly, wait_until

from sweeper.engine.scratch import reap_dead_launches
from sweeper.records.events import Recorded, Started
from sweeper.records.outcomes import Outcome

STOP = "trainer: sabotage\ngroup: stop\ndeed: [finish, wait for stop]\nseeds: 3\n"
PATIENT = "trainer: sabotage\ngroup: patient\ndeed: wait for stop\nseeds: 3\n"


class Stopped(NamedTuple):
    """A launch that was interrupted once, and what others did while it was running."""

    bench: Bench
    pid: int
    second_launch: subprocess.CompletedProcess[str]
    status: dict[str, Any]
    events: tuple[list[Recorded], list[Recorded]]
    """Before and after they did it."""
    returncode: int
    output: str


@pytest.fixture(scope="module")
def stopped(new_bench: Callable[[], Bench]) -> Stopped:
    bench = new_bench()
    file = bench.write("stop", STOP)
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: (
            sum(e.outcome is Outcome.FINISHED for e in ended(bench.events("stop"))) == 3
            and len(of_kind(Started, bench.events("stop"))) == 5
        ),
        state=lambda: bench.events("stop"),
    )
    before = bench.events("stop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEPER_SCRATCH", str(bench.scratch))
        reap_dead_launches()
    second = bench.sweep("launch", file)
    status = json.loads(bench.sweep("status", "--json").stdout)
    after = bench.events("stop")
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=60)
    return Stopped(bench, launch.pid, second, status, (before, after), launch.returncode, output)


def test_one_interrupt_stops_at_the_next_step(stopped: Stopped) -> None:
    assert stopped.returncode == 130, orderly(stopped.output)
    counts = stopped.bench.state("stop").counts()
    assert (counts["finished"], counts["stopped"], counts["waiting"]) == (3, 2, 1)
    stopped.bench.assert_nothing_is_left()


def test_what_was_stopped_is_to_train_again(stopped: Stopped) -> None:
    status = json.loads(stopped.bench.sweep("status", "stop", "--json").stdout)
    assert status["counts"]["stopped"] == 2
    assert status["running"] == []
    file = stopped.bench.path / "stop.yaml"
    plan = json.loads(stopped.bench.sweep("plan", file, "--json").stdout)
    assert plan["to_train"] == 3


def test_a_second_launch_of_a_group_says_who_runs_it(stopped: Stopped) -> None:
    assert stopped.second_launch.returncode == 2
    assert str(stopped.pid) in stopped.second_launch.stderr
    assert stopped.events[0] == stopped.events[1]


def test_looking_never_harms_a_living_launch(stopped: Stopped) -> None:
    """Its two runs were still there to be stopped."""
    assert stopped.status["launch"]["alive"] is True
    assert len(stopped.status["running"]) == 2
    assert stopped.returncode == 130
    assert stopped.bench.state("stop").launches[-1].reason == "stopped"
    assert (stopped.bench.group("stop").results_dir / "table.md").exists()


@pytest.mark.faults
def test_two_interrupts_stop_at_once(bench: Bench) -> None:
    file = bench.write("hang", "trainer: sabotage\ngroup: hang\ndeed: hang\nseeds: 3\n")
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: len(of_kind(Started, bench.events("hang"))) == 2,
        state=lambda: bench.events("hang"),
    )
    launch.send_signal(signal.SIGINT)
    wait_until(lambda: list(bench.scratch.glob("*/w1/stop")))
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=20)
    assert launch.returncode == 130, output
    assert [end.outcome for end in ended(bench.events("hang"))] == ["stopped", "stopped"]
    bench.assert_nothing_is_left()


def until_two_run(bench: Bench) -> None:
    wait_until(
        lambda: len(of_kind(Started, bench.events("patient"))) == 2,
        state=lambda: bench.events("patient"),
    )


def assert_stopped(bench: Bench) -> None:
    state = bench.state("patient")
    counts = state.counts()
    assert (counts["stopped"], counts["waiting"]) == (2, 1)
    assert state.launches[-1].reason == "stopped"
    bench.assert_nothing_is_left()


@pytest.mark.faults
def test_a_terminated_launch_stops_in_order(bench: Bench) -> None:
    launch = bench.start("launch", bench.write("patient", PATIENT), "--cpus", 2)
    until_two_run(bench)
    launch.terminate()
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 130, orderly(output)
    assert_stopped(bench)


@pytest.mark.faults
def test_a_closed_terminal_stops_the_launch_in_order(bench: Bench) -> None:
    """The terminal's end sends SIGHUP, and every later word to it fails."""
    file = bench.write("patient", PATIENT)
    ours, theirs = pty.openpty()
    launch = subprocess.Popen(
        ["setsid", "--ctty", SWEEP, "launch", file, "--cpus", "2"],
        env=bench.env,
        cwd=bench.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        until_two_run(bench)
    finally:
        os.close(ours)
    assert launch.wait(60) == 130
    assert_stopped(bench)


@pytest.mark.faults
def test_a_reader_that_leaves_stops_no_sweep(bench: Bench) -> None:
    """`sweep launch … | head -1`."""
    file = bench.write("some", "trainer: sabotage\ngroup: some\nseeds: 3\n")
    launch = bench.start("launch", file, "--cpus", 2)
    assert launch.stdout is not None
    launch.stdout.readline()
    launch.stdout.close()
    assert launch.wait(timeout=60) == 0
    assert bench.state("some").counts()["finished"] == 3
    bench.assert_nothing_is_left()
