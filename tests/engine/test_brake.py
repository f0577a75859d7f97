"""The brake: a sweep whose runs all fail alike is paused."""

from __future__ import annotations

import pytest
from support import Bench

pytestmark = pytest.mark.faults


def test_the_brake_pauses_and_the_sweep_goes_on_when_asked(bench: Bench) -> None:
    file = bench.write("brake", "trainer: sabotage\ngroup: brake\ndeed: raise\nseeds: 12\n")
    first = bench.sweep("launch", file, "--cpus", 2)
    assert first.returncode == 4, first.stdout + first.stderr
    assert "paused: the last 8 runs all ended as crashed" in first.stdout
    assert "ValueError: asked to raise" in first.stdout
    counts = bench.state("brake").counts()
    # What is running at the eighth crash ends as it likes.
    assert 8 <= counts["crashed"] < 12
    assert counts["waiting"] + counts["stopped"] == 12 - counts["crashed"]
    assert bench.state("brake").launches[-1].reason == "paused"
    assert bench.marked_processes() == []
    again = bench.sweep("launch", file, "--cpus", 2, "--no-brake")
    assert again.returncode == 3, again.stdout + again.stderr
    assert bench.state("brake").counts()["crashed"] == 12


def test_a_value_that_always_fails_is_held_back_and_the_rest_is_trained(bench: Bench) -> None:
    text = "trainer: sabotage\ngroup: hold\ndeed: [raise, finish]\nseeds: 20\n"
    file = bench.write("hold", text)
    first = bench.sweep("launch", file, "--cpus", 2)
    assert first.returncode == 4, first.stdout + first.stderr
    assert "hold back runs with deed = raise: 8 with it have crashed alike" in first.stdout
    state = bench.state("hold")
    assert state.counts()["finished"] == 20
    crashed = state.counts()["crashed"]
    assert 8 <= crashed <= 12
    message = state.launches[-1].message or ""
    assert message.startswith(f"{20 - crashed} runs with deed = raise held back: {crashed} with it")
    assert f"paused: {message}" in bench.sweep("status", "hold").stdout
    assert len(state.waves) == 1
    again = bench.sweep("launch", file, "--cpus", 2, "--no-brake")
    assert again.returncode == 3, again.stdout + again.stderr
    assert bench.state("hold").counts()["crashed"] == 20
