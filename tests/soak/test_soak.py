"""A sweep of thousands of runs under faults and deaths of its supervisor: nothing lost.

`make soak` runs it, ``SOAK=short make soak`` a short version. SOAK_SEED chooses the faults and the
moments of the kills; the same seed gives the same plan.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from soak.accounts import EXPECTED, complaints, confusion, leftovers, planned_faults
from soak.driver import (
    PretendedHost,
    Say,
    SoakBench,
    Watched,
    can_pretend_hosts,
    launch,
    supervisor_kills,
    wave_kills,
)
from support import wait_until
from trainers.soaked import Config, fault

from sweeper.records import Shard
from sweeper.records.state import Attempt

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

SEED = int(os.environ.get("SOAK_SEED", "20261122"))
SCRATCH_BUDGET_BYTES = 100e6
_HOST_LIMIT_S = 900.0


@dataclass(frozen=True)
class Size:
    """How much is soaked."""

    runs: int
    kills: int
    noops: int
    shared_runs: int
    victims: tuple[str, ...]
    """Processes of waves that are killed in the last launch, by a part of their command lines."""


WAVE = "sweeper.engine.ray_wave"
SHORT = Size(runs=200, kills=2, noops=600, shared_runs=40, victims=(WAVE,))
FULL = Size(
    runs=2000, kills=6, noops=6000, shared_runs=400, victims=(WAVE, "raylet/raylet", "gcs_server")
)
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
        watched = Watched()
        dice = random.Random(SEED)
        for kill in supervisor_kills(dice, SIZE.kills, SIZE.runs):
            status = launch(bench, file, "soak", watched, [kill])
            say(
                f"{kill}: launch ended with {status} after {watched.seconds[-1]:.0f} s, "
                f"{bench.ends('soak')} ends so far"
            )
            if dice.random() < 0.5:  # else the next launch has to clean up
                bench.sweep("status", "soak", "--json")
                assert not list(leftovers(bench))
        left = SIZE.runs - bench.ends("soak")
        status = launch(bench, file, "soak", watched, wave_kills(dice, SIZE.victims, left))
        state = bench.state("soak")
        attempts = [attempt for run in state.runs.values() for attempt in run.attempts]
        lost = sum(str(attempt.outcome) == "lost" for attempt in attempts)
        say(confusion(state, SEED))
        say(
            f"{SIZE.runs} runs, {sum(planned_faults(SIZE.runs, SEED).values())} spoilt; "
            f"killed: {dict(watched.killed)}; "
            f"{len(bench.executions())} executions, {len(attempts)} attempts, {lost} lost; "
            f"{sum(watched.seconds):.0f} s; scratch peak {watched.scratch_peak / 1e6:.1f} MB"
        )
        assert status == 3, "some runs are spoilt"
        assert watched.killed["supervisor"] == SIZE.kills
        assert watched.killed.keys() == {"supervisor", *SIZE.victims}
        assert "Traceback" not in "".join(file.read_text() for file in bench.path.glob("*.log"))
        assert list(complaints(bench, "soak", SIZE.runs, SEED)) == []
        assert list(leftovers(bench)) == []
        assert 0 < watched.scratch_peak < SCRATCH_BUDGET_BYTES
        assert bystander.poll() is None
        assert neighbour.is_dir()
    finally:
        neighbour.rmdir()


def test_what_runs_may_leave_is_seen(tmp_path: Path) -> None:
    """Else the soak would find nothing left, whatever was."""
    script = (
        "import os, sys; from pathlib import Path; from unittest.mock import Mock; import meddler;"
        "home = Path.cwd(); assert meddler.found(home) == [];"
        "meddler.train([meddler.Config()], [Mock()]);"
        "assert meddler.found(home) == list(meddler._CHANGES), meddler.found(home); os._exit(0)"
    )
    trainers = Path(__file__).parents[1] / "trainers"
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(trainers)}, check=True
    )


def status_of_shard(bench: SoakBench, index: int) -> int:
    """3 where the plan of faults spoils any run of the shard, else 0."""
    runs = [run for run in bench.state("hosts").runs.values() if Shard(index, 2).holds(run.id)]
    spoilt = [fault(Config(SEED, int(run.axis_values["seed"]))) for run in runs]
    return 3 if any(chosen in EXPECTED for chosen in spoilt) else 0


@pytest.mark.skipif(not can_pretend_hosts(), reason="no namespaces for host names here")
def test_two_hosts_with_a_shard_each_of_which_one_dies(bench: SoakBench, say: Say) -> None:
    """The other one goes on, and closes nothing of it; its own next launch does."""
    file = bench.write(
        "hosts",
        "trainer: soaked\ngroup: hosts\nresources: {timeout: 8 s, memory_per_run: 300 MB}\n"
        f"plan: {SEED}\nseeds: {SIZE.shared_runs}\n",
    )
    one, two = (PretendedHost(name, bench) for name in ("node-one", "node-two"))
    began = time.monotonic()
    launches = [
        host.start("launch", file, "--cpus", 1, "--shard", f"{index}/2")
        for index, host in enumerate((one, two), start=1)
    ]
    hosts: dict[str, str | None] = {}

    def by_two() -> list[Attempt]:
        state = bench.state("hosts")
        hosts.update({launch.writer: launch.host for launch in state.launches})
        attempts = [attempt for run in state.runs.values() for attempt in run.attempts]
        return [it for it in attempts if hosts.get(it.writer) == "node-two"]

    try:
        wait_until(
            lambda: sum(attempt.outcome is not None for attempt in by_two()) >= 3,
            timeout_s=120.0,
        )
        launches[1].kill()
        launches[1].communicate(timeout=30)
        output, _ = launches[0].communicate(timeout=_HOST_LIMIT_S)
        assert launches[0].returncode == status_of_shard(bench, 1), output
        assert all(str(attempt.outcome) != "lost" for attempt in by_two())
        launches[1] = two.start("launch", file, "--cpus", 1, "--shard", "2/2")
        output, _ = launches[1].communicate(timeout=_HOST_LIMIT_S)
        assert launches[1].returncode == status_of_shard(bench, 2), output
    finally:
        for process in launches:
            process.kill()
            process.wait()
        for host in (one, two):
            shutil.rmtree(f"{bench.scratch}-{host.name}", ignore_errors=True)
    by_two()
    say(f"{SIZE.shared_runs} runs on two hosts: {time.monotonic() - began:.0f} s")
    assert set(hosts.values()) == {"node-one", "node-two"}
    assert list(complaints(bench, "hosts", SIZE.shared_runs, SEED)) == []
    assert list(leftovers(bench)) == []


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
