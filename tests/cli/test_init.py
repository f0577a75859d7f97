"""`sweep init`: what it writes works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import SWEEP, Bench

from sweeper.config import read_sweep


def test_it_writes_a_sweep_that_can_be_read(tmp_path: Path, bench: Bench) -> None:
    done = bench.sweep("init", tmp_path / "my study")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"cd '{tmp_path}/my study'" in done.stdout
    sweep = read_sweep(tmp_path / "my study" / "sweep.yaml", search=[tmp_path / "my study"])
    assert sweep.count() == 15
    assert list(sweep.warnings) == []
    assert sweep.trainer.headline == "slope_error"


def test_its_test_passes(tmp_path: Path) -> None:
    subprocess.run([SWEEP, "init"], cwd=tmp_path, check=True)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_it_overwrites_nothing(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "test_train.py").write_text("mine")

    done = bench.sweep("init", tmp_path)

    message = f"{tmp_path}/test_train.py exists already: nothing was written\n"
    assert (done.returncode, done.stderr) == (2, message)
    assert [file.name for file in tmp_path.iterdir()] == ["test_train.py"]
