"""A sweep of thousands of runs under faults and deaths of its supervisor: nothing lost.

`make soak` runs it, ``SOAK=short make soak`` a short version. SOAK_SEED chooses the faults and the
moments of the kills; the same seed gives the same plan.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from soak.accounts import complaints, confusion, leftovers, planned_faults
from soak.driver import Say, SoakBench, Watched, launch, random_kills

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

SEED = int(os.environ.get("SOAK_SEED", "20261122"))
SCRATCH_BUDGET_BYTES = 100e6


@dataclass(frozen=True)
class Size:
    """How much is soaked."""

    runs: int
    kills: int
    noops: int


SHORT, FULL = Size(200, 2, 600), Size(2000, 6, 6000)
SIZE = SHORT if os.environ.get("SOAK") == "short" else FULL


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user that looks like Ray's, but is nobody's business."""
    code = "import time\nwhile True: time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "raylet", "gcs_server"], start_new_session=True
    )
    yield process
    process.kill()
    process.wait()


def test_every_run_is_accounted_for(
    bench: SoakBench, bystander: subprocess.Popen[bytes], say: Say
) -> None:
    file = bench.write(
        "soak",
        "trainer: soaked\ngroup: soak\nresources: {timeout: 8 s, memory_per_run: 300 MB}\n"
        f"plan: {SEED}\nseeds: {SIZE.runs}\n",
    )
    neighbour = bench.scratch.with_name(f"{bench.scratch.name}-neighbour")
    neighbour.mkdir()
    try:
        watched, killed = Watched(), 0
        dice = random.Random(SEED)
        for kill in random_kills(dice, SIZE.kills, SIZE.runs):
            status = launch(bench, file, "soak", watched, kill)
            killed += status == -9
            say(
                f"{kill}: launch ended with {status} after {watched.seconds[-1]:.0f} s, "
                f"{bench.ends('soak')} ends so far"
            )
            if dice.random() < 0.5:  # else the next launch has to clean up
                bench.sweep("status", "soak", "--json")
                assert not list(leftovers(bench))
        status = launch(bench, file, "soak", watched)
        state = bench.state("soak")
        attempts = [attempt for run in state.runs.values() for attempt in run.attempts]
        lost = sum(str(attempt.outcome) == "lost" for attempt in attempts)
        say(confusion(state, SEED))
        say(
            f"{SIZE.runs} runs, {sum(planned_faults(SIZE.runs, SEED).values())} spoilt, "
            f"{killed} kills, {len(bench.executions())} executions, {len(attempts)} attempts, "
            f"{lost} lost; {sum(watched.seconds):.0f} s; scratch peak "
            f"{watched.scratch_peak / 1e6:.1f} MB"
        )
        assert status == 3, "some runs are spoilt"
        assert killed == SIZE.kills
        assert list(complaints(bench, "soak", SIZE.runs, SEED)) == []
        assert list(leftovers(bench)) == []
        assert 0 < watched.scratch_peak < SCRATCH_BUDGET_BYTES
        assert bystander.poll() is None
        assert neighbour.is_dir()
    finally:
        neighbour.rmdir()


def test_noops_straight(bench: SoakBench, say: Say) -> None:
    file = bench.write("noops", f"trainer: soaked\ngroup: noops\nseeds: {SIZE.noops}\n")
    watched = Watched()
    assert launch(bench, file, "noops", watched) == 0
    state = bench.state("noops")
    began = min(launch.started for launch in state.launches)
    last = max(a.ended or 0.0 for run in state.runs.values() for a in run.attempts)
    say(
        f"{SIZE.noops} no-op runs in {len(state.waves)} waves: {watched.seconds[0]:.1f} s in all, "
        f"{1e3 * (last - began) / SIZE.noops:.2f} ms a run from launch to last end; scratch peak "
        f"{watched.scratch_peak / 1e6:.1f} MB"
    )
    assert state.counts()["finished"] == SIZE.noops == state.total
    assert sorted(bench.executions()) == sorted(state.runs)
    assert list(leftovers(bench)) == []
    assert watched.scratch_peak < SCRATCH_BUDGET_BYTES
