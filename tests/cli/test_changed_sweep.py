"""A sweep file is edited and launched again: every command speaks of the file as it stands now."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Bench

TRAINER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    rate: float = 0.1
    steps: int = 3
    seed: int = 0

def train(configs, runs):
    if configs[0].rate > 1:
        raise ArithmeticError(f"rate {configs[0].rate}")
    for step in range(configs[0].steps):
        runs[0].log(step, loss=configs[0].rate * configs[0].steps)
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A sweep whose axis lost its bad value, and whose fixed value changed, between launches."""
    path = tmp_path_factory.mktemp("changed")
    bench = Bench(path, Path(f"/tmp/sw-{os.getpid()}-edit"))
    (path / "edited.py").write_text(TRAINER)
    bench.write("s", "trainer: edited\ngroup: g\nrate: [0.5, 2.0]\nseeds: 2\n")
    assert bench.sweep("launch", "s.yaml", "--cpus", 1).returncode == 3
    bench.write("s", "trainer: edited\ngroup: g\nrate: [0.5]\nseeds: 2\nsteps: 9\n")
    yield bench
    shutil.rmtree(bench.scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def ending(bench: Bench) -> Any:
    planned = bench.sweep("plan", "s.yaml", "--set", "steps=7").stdout
    assert "2: 2 to train" in planned
    assert "4 more runs from earlier files" in planned
    result = bench.sweep("launch", "s.yaml", "--set", "steps=7", "--cpus", 1, "--json")
    # The two crashed runs are of the file as it was.
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def answer(bench: Bench, *arguments: str) -> Any:
    result = bench.sweep(*arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_end_of_the_launch(bench: Bench, ending: Any) -> None:
    assert (ending["total"], ending["counts"], ending["earlier"]) == (2, {"finished": 2}, 4)
    assert (bench.group("g").results_dir / "table.csv").read_text().count("\n") == 2


def test_the_groups_copy_of_the_file_keeps_what_the_command_line_said(
    bench: Bench, ending: Any
) -> None:
    copy = bench.path / "runs" / "g" / "sweep.yaml"
    assert copy.read_text().splitlines()[-1] == "--set: [steps=7]"
    planned = answer(bench, "plan", str(copy), "--json")
    assert (planned["to_train"], planned["total"]) == (0, 2)


def test_status(bench: Bench, ending: Any) -> None:
    text = bench.sweep("status", "g").stdout
    assert text == "g: 2 of 2 finished; 4 more runs from earlier files (`--all`)\n"
    everything = answer(bench, "status", "g", "--all", "--json")
    assert (everything["total"], everything["counts"]["crashed"]) == (6, 2)


def test_table(bench: Bench, ending: Any) -> None:
    (row,) = answer(bench, "table", "g", "--format", "json")["rows"]
    assert (row["axis_values"], row["finished"]) == ({}, 2)
    assert row["metrics"]["loss"]["values"] == [3.5, 3.5]
    rows = answer(bench, "table", "g", "--all", "--format", "json")["rows"]
    assert sorted((row["axis_values"]["steps"], row["finished"]) for row in rows) == [
        (3, 0),
        (3, 2),
        (7, 2),
    ]


def test_crashed_and_retry(bench: Bench, ending: Any) -> None:
    text = bench.sweep("crashed", "g").stdout
    assert "every run that has ended is finished; 4 more runs from earlier files" in text
    found = answer(bench, "crashed", "g", "--all", "--json")["causes"]
    assert [cause["condition"]["text"] for cause in found] == ["rate = 2"]
    result = bench.sweep("retry", "g", "--dry-run", "--trainer", "edited")
    assert result.returncode == 2
    assert "every run that has ended is finished" in result.stderr
