"""Launching again after the supervisor was killed, or when all is done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from support import Bench, ended, of_kind, wait_until

from sweeper.records.events import Started

SLOW = "trainer: sabotage\ngroup: slow\nsteps: 40\nstep_s: 0.05\nseeds: 6\n"


def metrics_without_times(bench: Bench, group: str) -> dict[str, list[dict[str, float]]]:
    """Every run's logged rows, without the one column that holds the time."""
    return {
        run: [
            {key: value for key, value in json.loads(line).items() if key != "time"}
            for line in bench.group(group).run(run).metrics_file.read_text().splitlines()
        ]
        for run in bench.state(group).runs
    }


@pytest.fixture(scope="module")
def undisturbed(new_bench: Callable[[], Bench]) -> Bench:
    bench = new_bench()
    result = bench.sweep("launch", bench.write("slow", SLOW), "--cpus", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    return bench


def test_a_killed_supervisor_loses_nothing(bench: Bench, undisturbed: Bench) -> None:
    file = bench.write("slow", SLOW)
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: (
            len(ended(bench.events("slow"))) >= 2
            and len(of_kind(Started, bench.events("slow"))) >= 4
        ),
        state=lambda: bench.events("slow"),
    )
    launch.kill()
    launch.communicate()

    # The next command that looks cleans up, and reports what it found.
    status = bench.sweep("status", "slow", "--json")
    assert "removed what a dead launch had left" in status.stderr
    assert json.loads(status.stdout)["counts"]["interrupted"] == 2
    bench.assert_nothing_is_left()

    again = bench.sweep("launch", file, "--cpus", 2)
    assert again.returncode == 0, again.stdout + again.stderr
    state = bench.state("slow")
    assert state.counts()["finished"] == 6
    lost = [run for run in state.runs.values() if len(run.attempts) > 1]
    assert len(lost) == 2
    assert all(run.attempts[0].outcome == "lost" for run in lost)
    started = Counter(event.run for event in of_kind(Started, bench.events("slow")))
    assert set(started.values()) == {1, 2}

    # What was disturbed ends with the very records of what wasn't.
    calm = undisturbed.state("slow")
    assert state.runs.keys() == calm.runs.keys()
    for run_id, run in state.runs.items():
        assert {**run.metrics, "threads": 0} == {**calm.runs[run_id].metrics, "threads": 0}
    assert metrics_without_times(bench, "slow") == metrics_without_times(undisturbed, "slow")


def test_a_finished_sweep_is_not_run_again(undisturbed: Bench) -> None:
    before = undisturbed.events("slow")
    again = undisturbed.sweep("launch", undisturbed.path / "slow.yaml")
    assert again.returncode == 0
    assert of_kind(Started, undisturbed.events("slow")) == of_kind(Started, before)
