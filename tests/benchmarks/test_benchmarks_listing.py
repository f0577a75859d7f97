"""Every benchmark can be found and says what it measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import available, start

ROOT = Path(__file__).parents[2]


def test_each_benchmark_says_what_it_measures() -> None:
    found = available()
    assert {"dispatch", "memory", "schedule"} <= found.keys()
    assert all(found.values())


def test_an_unknown_name_is_told_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "shedule"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "did you mean 'schedule'?" in done.stderr


def test_options_go_to_the_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        start(["schedule", "--help"])
    assert "--compile" in capsys.readouterr().out


def test_pinned_versions_name_no_index() -> None:
    for file in (ROOT / "benchmarks").glob("constraints-*.txt"):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert lines
        assert all("==" in line and "/" not in line for line in lines), file
