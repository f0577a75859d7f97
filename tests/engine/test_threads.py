"""A pinned worker is one thread wide, stays on its CPU, and finds compiled programs again."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from support import Bench

pytestmark = pytest.mark.faults  # the doctor's self-test, a wave of one run, is in the quick suite


@pytest.fixture(scope="module")
def counted(new_bench: Callable[[], Bench]) -> list[dict[str, float]]:
    """Metrics of four JAX runs on two slots, two in each of two launches."""
    bench = new_bench()
    cache = {
        "SWEEPER_CACHE": str(bench.path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # the program here is a small one
    }
    for launch in (1, 2):
        file = bench.write(
            "census", f"trainer: census\ngroup: census\nseeds: [{2 * launch}, {2 * launch + 1}]\n"
        )
        with pytest.MonkeyPatch.context() as patch:
            for name, value in cache.items():
                patch.setenv(name, value)
            patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
            result = bench.sweep("launch", file, "--cpus", 2)
        assert result.returncode == 0, result.stdout + result.stderr
    runs = bench.state("census").runs.values()
    return [dict(run.metrics) for run in sorted(runs, key=lambda run: run.axis_values["seed"])]


def test_the_pool_of_xla_is_one_thread_wide(counted: list[dict[str, float]]) -> None:
    assert [run["xla_pool"] for run in counted] == [1, 1, 1, 1]


def test_a_worker_has_fewer_than_45_threads(counted: list[dict[str, float]]) -> None:
    assert max(run["threads"] for run in counted) < 45


def test_every_thread_runs_on_the_cpu_of_its_slot(counted: list[dict[str, float]]) -> None:
    assert [run["cpus"] for run in counted] == [1, 1, 1, 1]
    used = {int(run["cpu"]) for run in counted}
    assert used == set(sorted(os.sched_getaffinity(0))[:2])


def test_the_second_launch_finds_the_compiled_program(counted: list[dict[str, float]]) -> None:
    assert [run["cache_hits"] > 0 for run in counted[2:]] == [True, True]
