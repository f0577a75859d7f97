"""What `sweep doctor` makes of a trial wave and of the compile cache."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sweeper.doctor import self_test
from sweeper.doctor.limits import Check
from sweeper.doctor.self_test import CacheTrial, WaveTrial
from sweeper.records.events import Ended, Started, WaveEnded
from sweeper.records.outcomes import Cause, CauseKind, Outcome

METRICS = {"jax": 1.0, "threads": 38.0, "xla_threads": 1.0, "stray_threads": 0.0}
WELL = WaveTrial(startup_s=3.4, shutdown_s=1.4, scratch_peak_bytes=220 * 1024, metrics=METRICS)
ENDED = Ended(run="doctor", attempt=1, outcome=Outcome.FINISHED, metrics=METRICS)
WAVE = WaveEnded(
    wave=1, reason="done", startup_s=3.4, shutdown_s=1.4, scratch_peak_bytes=220 * 1024
)


def test_events_become_a_trial() -> None:
    assert self_test.read_trial([Started(run="doctor", attempt=1), ENDED, WAVE]) == WELL


def test_a_probe_without_an_end() -> None:
    found = self_test.read_trial([Started(run="doctor", attempt=1), WAVE])
    assert found.failure == "the run of the probe never ended"


def test_a_crashed_probe_says_its_cause() -> None:
    cause = Cause(CauseKind.SIGNAL, "Illegal instruction", "SIGILL")
    ended = replace(ENDED, outcome=Outcome.CRASHED, cause=cause, metrics={})
    found = self_test.read_trial([ended, WAVE])
    assert found.failure == "the run of the probe crashed: SIGILL: Illegal instruction"
    assert self_test.ray_check(found).verdict == "ok"
    line = self_test.worker_check(found)
    assert line.verdict == "problem"
    assert "SIGILL" in line.found


def test_ray_that_does_not_start() -> None:
    found = self_test.read_trial([], failure="Ray didn't start: OSError: no")
    line = self_test.ray_check(found)
    assert line.verdict == "problem"
    assert "Ray didn't start: OSError: no" in line.found
    assert line.fix
    assert self_test.worker_check(found).verdict == "problem"


def test_ray_that_dies_on_its_way_out() -> None:
    found = self_test.read_trial([ENDED, replace(WAVE, shutdown_s=None)])
    assert self_test.ray_check(found).verdict == "problem"
    assert self_test.worker_check(found).verdict == "ok"


def test_healthy_host() -> None:
    lines = [
        self_test.ray_check(WELL),
        self_test.worker_check(WELL),
        self_test.aftermath_check(WELL),
    ]
    assert [line.verdict for line in lines] == ["ok", "ok", "ok"]
    assert [line.fix for line in lines] == [None, None, None]
    assert lines[0].found == "starts in 3.4 s, stops in 1.4 s, 220 KiB of scratch for one run"
    json.dumps([vars(line) for line in lines])


def test_slow_start() -> None:
    assert self_test.ray_check(replace(WELL, startup_s=45.0)).verdict == "warning"


@pytest.mark.parametrize(
    ("metrics", "verdict", "words"),
    [
        ({"xla_threads": 192.0, "threads": 426.0}, "problem", "NPROC"),
        ({"stray_threads": 3.0}, "problem", "affinity"),
        ({"threads": 60.0}, "warning", "limits"),
        ({"threads": 26.0, "jax": 0.0}, "warning", "pip install 'sweeper[models]'"),
    ],
)
def test_workers_that_are_not_what_they_should_be(
    metrics: dict[str, float], verdict: str, words: str
) -> None:
    line = self_test.worker_check(replace(WELL, metrics={**METRICS, **metrics}))
    assert line.verdict == verdict
    assert words in (line.fix or "")


def test_what_a_wave_leaves() -> None:
    assert self_test.aftermath_check(replace(WELL, left=2)).verdict == "problem"
    line = self_test.aftermath_check(replace(WELL, left_bytes=4096))
    assert line.verdict == "problem"
    assert "4 KiB" in line.found


FIRST = {"jax": 1, "compile_s": 7.2, "hits": 0, "misses": 1}
HIT = {"jax": 1, "compile_s": 0.19, "hits": 1, "misses": 0}


def cache(*reports: Mapping[str, float], complaint: str = "") -> Check:
    return self_test.cache_check(CacheTrial(Path("/cache"), reports=reports, complaint=complaint))


def test_cache_that_hits() -> None:
    line = cache(FIRST, HIT)
    assert line.verdict == "ok"
    assert line.found.startswith("hit: 7.20 s to compile in one process, 0.19 s in the next")


def test_cache_that_jaxlib_rejects() -> None:
    said = "UserWarning: Error reading persistent compilation cache entry for 'jit_f': XlaError"
    line = cache(FIRST, FIRST, complaint=said)
    assert line.verdict == "warning"
    assert "another jaxlib" in (line.fix or "")


def test_cache_that_misses_silently() -> None:
    line = cache(FIRST, FIRST)
    assert line.verdict == "warning"
    assert "JAX_ENABLE_COMPILATION_CACHE" in (line.fix or "")


def test_jax_that_does_not_compile() -> None:
    line = cache(complaint="XlaRuntimeError: no")
    assert line.verdict == "problem"
    assert "XlaRuntimeError: no" in line.found


def test_host_without_jax_needs_no_cache() -> None:
    assert cache({"jax": 0}, {"jax": 0}).verdict == "ok"


def try_cache(**changes: str) -> Check:
    return self_test.cache_check(self_test.try_cache({**os.environ, **changes}))


def test_home_that_is_read_only() -> None:
    line = try_cache(SWEEPER_CACHE="/proc/sweeper")
    assert line.verdict == "warning"
    assert "/proc/sweeper" in line.found
    assert "SWEEPER_CACHE" in (line.fix or "")


def fake_jax(folder: Path, text: str) -> dict[str, str]:
    (folder / "jax.py").write_text(text)
    return {"PYTHONPATH": str(folder), "SWEEPER_CACHE": str(folder / "cache")}


def test_processes_that_find_no_jax(tmp_path: Path) -> None:
    line = try_cache(**fake_jax(tmp_path, "raise ImportError('none here')"))
    assert line.found == "not needed: JAX isn't installed"


def test_processes_with_a_broken_jax(tmp_path: Path) -> None:
    line = try_cache(**fake_jax(tmp_path, "raise RuntimeError('no such instruction')"))
    assert line.verdict == "problem"
    assert "no such instruction" in line.found
    assert list((tmp_path / "cache").rglob("self-test*")) == []


def test_scratch_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPER_SCRATCH", "/tmp/" + "long" * 20)
    found = self_test.try_wave()
    line = self_test.ray_check(found)
    assert line.verdict == "problem"
    assert "too long for Ray's sockets" in line.found
