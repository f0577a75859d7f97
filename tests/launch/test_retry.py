"""`sweep retry`: failed runs of the records once more, and records that a group may read."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable

import pytest
from support import Bench

FICKLE = """
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Config:
    deed: Literal["finish", "raise", "overstay", "diverge"] = "finish"
    seed: int = 0


def train(configs, runs):
    deed, mended = configs[0].deed, Path(__file__).with_name("mended").exists()
    if deed == "raise" and not mended:
        raise ValueError(f"no good at {configs[0].seed}")
    if deed == "overstay":
        time.sleep(4 if mended else 600)
    runs[0].log(0, loss=float("nan") if deed == "diverge" else 1.0)
"""
SWEEP_TEXT = """\
trainer: fickle
group: fickle
deed: [finish, raise, overstay, diverge]
seeds: 2
resources:
  timeout: 2 s
"""


@pytest.fixture(scope="module")
def launched(new_bench: Callable[[], Bench]) -> Bench:
    bench = new_bench()
    (bench.path / "fickle.py").write_text(FICKLE)
    file = bench.write("fickle", SWEEP_TEXT)
    launch = bench.sweep("launch", file, "--cpus", 2, "--shared")
    assert launch.returncode == 3, launch.stderr
    file.unlink()  # the records alone must do
    return bench


def standings(bench: Bench) -> dict[str, set[tuple[str, int]]]:
    """By deed, how its runs stand and after how many attempts."""
    found: dict[str, set[tuple[str, int]]] = {}
    for run in bench.state("fickle").runs.values():
        ends = found.setdefault(run.axis_values["deed"], set())
        ends.add((run.standing, len(run.attempts)))
    return found


def test_it_says_what_it_will_do_and_changes_nothing(launched: Bench) -> None:
    before = launched.events("fickle")
    told = launched.sweep("retry", "fickle", "--dry-run", "--trainer", "fickle")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("fickle: 4 runs again\n")
    assert "  2 crashed: ValueError: no good at …  at " in told.stdout
    assert "  2 timed out: ran longer than its timeout of 2 s" in told.stdout
    assert "left alone:\n  2 diverged: " in told.stdout
    answer = launched.sweep(
        "retry", "fickle", "--dry-run", "--trainer", "fickle", "--cause", "timed out", "--json"
    )
    data = json.loads(answer.stdout)
    assert (data["to_train"], data["timeout_s"], data["waves"]) == (2, 2.0, [2])
    assert launched.events("fickle") == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fickle"], "--trainer fickle"),
        (["fickle", "--trainer", "other"], "trained by 'fickle', not by 'other'"),
        (["fickle", "--trainer", "fickle", "--cause", "ValeError"], "did you mean `ValueError`?"),
        (["fickle", "--trainer", "fickle", "--cause", "diverged"], "no cause says `diverged`"),
        (["fickle", "--trainer", "fickle", "--timeout", "soon"], "--timeout: expected an amount"),
        (["fickel"], "did you mean `fickle`?"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    launched: Bench, arguments: list[str], words: str
) -> None:
    before = launched.events("fickle")
    told = launched.sweep("retry", *arguments)
    assert told.returncode == 2
    assert words in told.stderr
    assert "Traceback" not in told.stderr
    assert launched.events("fickle") == before


def test_only_what_is_meant_is_trained_again(launched: Bench) -> None:
    assert standings(launched) == {
        "finish": {("finished", 1)},
        "raise": {("crashed", 1)},
        "overstay": {("timed out", 1)},
        "diverge": {("diverged", 1)},
    }
    (launched.path / "mended").touch()
    again = ("retry", "fickle", "--cpus", "2", "--trainer", "fickle")
    first = launched.sweep(*again, "--cause", "valueerror")
    assert first.returncode == 3, first.stderr
    assert first.stdout.startswith("fickle: 2 runs again\n")
    assert standings(launched)["raise"] == {("finished", 2)}
    assert standings(launched)["overstay"] == {("timed out", 1)}

    second = launched.sweep(*again, "--timeout", "1 min")
    assert second.returncode == 3, second.stderr  # what diverged stays so
    assert standings(launched) == {
        "finish": {("finished", 1)},
        "raise": {("finished", 2)},
        "overstay": {("finished", 2)},
        "diverge": {("diverged", 1)},
    }
    assert launched.state("fickle").total == 8
    nothing = launched.sweep(*again)
    assert nothing.returncode == 2
    assert "no run that could end otherwise: 2 diverged" in nothing.stderr


def test_shared_records_can_be_read_by_the_group_and_by_nobody_else(launched: Bench) -> None:
    """Also what was made after the launch that shared them."""
    folder = launched.group("fickle").path
    paths = [folder, *folder.rglob("*")]
    assert {path.name for path in paths} >= {"lock", "result.json", "log.txt", "table.csv"}
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o007 == 0, path
        assert mode & 0o070 == (0o050 if path.is_dir() else 0o040), path
