"""Signals, death of the supervisor and of what it started: nothing is lost, nothing is left."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import ended, of_kind, wait_until

from sweeper.engine.scratch import reap_dead_launches
from sweeper.records.events import Started
from sweeper.records.outcomes import Outcome

SLOW = """\
trainer: sabotage
group: slow
steps: 40
step_s: 0.05
seeds: 6
"""


def started(bench: Any, group: str) -> list[Started]:
    return of_kind(Started, bench.events(group))


def interrupt_twice(bench: Any, launch: Any) -> str:
    launch.send_signal(signal.SIGINT)
    wait_until(lambda: list(bench.scratch.glob("*/w1/stop")))
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=20)
    return str(output)


def metrics_without_times(bench: Any, group: str) -> dict[str, list[dict[str, float]]]:
    """Every run's logged rows, without the one column that tells the time."""
    return {
        run: [
            {key: value for key, value in json.loads(line).items() if key != "time"}
            for line in bench.group(group).run(run).metrics_file.read_text().splitlines()
        ]
        for run in bench.state(group).runs
    }


def test_one_interrupt_stops_at_the_next_step_and_launching_again_goes_on(bench: Any) -> None:
    file = bench.write(
        "stop", "trainer: sabotage\ngroup: stop\ndeed: [finish, wait for stop]\nseeds: 3\n"
    )
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: (
            sum(e.outcome is Outcome.FINISHED for e in ended(bench.events("stop"))) == 3
            and len(started(bench, "stop")) == 5
        ),
        state=lambda: bench.events("stop"),
    )
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=30)
    assert launch.returncode == 130, output
    assert "Traceback" not in output
    counts = bench.state("stop").counts()
    assert (counts["finished"], counts["stopped"], counts["waiting"]) == (3, 2, 1)
    assert bench.marked_processes() == []
    assert bench.launches_left() == []

    status = json.loads(bench.sweep("status", "stop", "--json").stdout)
    assert status["counts"]["stopped"] == 2
    assert status["running"] == []
    plan = json.loads(bench.sweep("plan", file, "--json").stdout)
    assert plan["to_train"] == 3


def test_two_interrupts_stop_at_once(bench: Any) -> None:
    file = bench.write("hang", "trainer: sabotage\ngroup: hang\ndeed: hang\nseeds: 3\n")
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(lambda: len(started(bench, "hang")) == 2, state=lambda: bench.events("hang"))
    output = interrupt_twice(bench, launch)
    assert launch.returncode == 130, output
    ends = ended(bench.events("hang"))
    assert [end.outcome for end in ends] == ["stopped", "stopped"]
    assert bench.marked_processes() == []


@pytest.fixture(scope="module")
def undisturbed(new_bench: Callable[[], Any]) -> Any:
    bench = new_bench()
    result = bench.sweep("launch", bench.write("slow", SLOW), "--cpus", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    return bench


def test_a_killed_supervisor_loses_nothing(bench: Any, undisturbed: Any) -> None:
    file = bench.write("slow", SLOW)
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: len(ended(bench.events("slow"))) >= 2 and len(started(bench, "slow")) >= 4,
        state=lambda: bench.events("slow"),
    )
    launch.kill()
    launch.communicate()

    # The next command cleans up, and says what it found.
    status = bench.sweep("status", "slow", "--json")
    assert "removed what a dead launch had left" in status.stderr
    assert json.loads(status.stdout)["counts"]["interrupted"] == 2
    assert bench.marked_processes() == []
    assert bench.launches_left() == []

    again = bench.sweep("launch", file, "--cpus", 2)
    assert again.returncode == 0, again.stdout + again.stderr
    state = bench.state("slow")
    assert state.counts()["finished"] == 6
    lost = [run for run in state.runs.values() if len(run.attempts) > 1]
    assert len(lost) == 2
    assert all(run.attempts[0].outcome == "lost" for run in lost)
    assert set(Counter(event.run for event in started(bench, "slow")).values()) == {1, 2}

    # What was disturbed ends with the very records of what wasn't.
    calm = undisturbed.state("slow")
    assert state.runs.keys() == calm.runs.keys()
    for run_id, run in state.runs.items():
        assert {**run.metrics, "threads": 0} == {**calm.runs[run_id].metrics, "threads": 0}
    assert metrics_without_times(bench, "slow") == metrics_without_times(undisturbed, "slow")


def test_a_killed_wave_is_replaced_and_its_runs_are_tried_again(bench: Any) -> None:
    file = bench.write("slow", SLOW)
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(lambda: len(ended(bench.events("slow"))) >= 1, state=lambda: bench.events("slow"))
    (wave,) = psutil.Process(launch.pid).children()
    wave.kill()
    output, _ = launch.communicate(timeout=90)
    assert launch.returncode == 0, output
    state = bench.state("slow")
    assert state.counts()["finished"] == 6
    # First a wave of those that it had not begun, then one of those that were lost with it.
    assert [w.reason == "done" for w in state.waves] == [False, True, True]
    lost = [a for run in state.runs.values() for a in run.attempts if a.outcome == "lost"]
    assert lost
    assert all(attempt.cause.kind == "host" for attempt in lost)
    assert bench.marked_processes() == []


def test_a_finished_sweep_is_not_run_again(undisturbed: Any) -> None:
    before = undisturbed.events("slow")
    again = undisturbed.sweep("launch", undisturbed.path / "slow.yaml")
    assert again.returncode == 0
    assert of_kind(Started, undisturbed.events("slow")) == of_kind(Started, before)


def test_a_second_launch_of_a_group_says_who_runs_it(bench: Any) -> None:
    file = bench.write("hang", "trainer: sabotage\ngroup: hang\ndeed: hang\nseeds: 1\n")
    first = bench.start("launch", file, "--cpus", 1)
    wait_until(lambda: started(bench, "hang"), state=lambda: bench.events("hang"))
    before = bench.events("hang")
    second = bench.sweep("launch", file)
    assert second.returncode == 2
    assert str(first.pid) in second.stderr
    assert bench.events("hang") == before
    interrupt_twice(bench, first)
    assert first.returncode == 130


def test_looking_never_harms_a_living_launch(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = bench.write("slow", SLOW)
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(lambda: started(bench, "slow"), state=lambda: bench.events("slow"))
    monkeypatch.setenv("SWEEPER_SCRATCH", str(bench.scratch))
    reap_dead_launches()
    status = json.loads(bench.sweep("status", "--json").stdout)
    assert status["launch"]["alive"] is True
    assert len(status["running"]) == 2
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 0, output
    assert Path(bench.group("slow").results_dir / "table.md").exists()
