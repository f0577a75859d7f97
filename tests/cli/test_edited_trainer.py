"""A trainer is edited while its sweep runs, and a run is trained again by the new code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support import Bench

# The run with seed 1 edits the file, and waits until the launch has noticed.
TRAINER = """
import time
from dataclasses import dataclass
from pathlib import Path

VERSION = 1

@dataclass(frozen=True)
class Config:
    seed: int = 0

def train(configs, runs):
    if configs[0].seed == 1 and VERSION == 1:
        file = Path(__file__)
        file.write_text(file.read_text().replace("VERSION = 1", "VERSION = 2", 1))
        journal = runs[0].folder.parents[1] / "journal"
        while not any("sources_changed" in path.read_text() for path in journal.iterdir()):
            time.sleep(0.05)
    runs[0].log(0, loss=VERSION)
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = tmp_path_factory.mktemp("edited")
    bench = Bench(path, Path(f"/tmp/sw-{os.getpid()}-code"))
    (path / "self_edited.py").write_text(TRAINER)
    bench.write("s", "trainer: self_edited\ngroup: g\nseeds: 3\nresources: {isolation: process}\n")
    yield bench
    shutil.rmtree(bench.scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def launched(bench: Bench) -> CompletedProcess[str]:
    result = bench.sweep("launch", "s.yaml", "--cpus", 1)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def losses(bench: Bench) -> dict[str, float]:
    return {run.id: run.metrics["loss"] for run in bench.state("g").runs.values()}


def test_every_command_says_that_the_code_changed(
    bench: Bench, launched: CompletedProcess[str]
) -> None:
    assert list(losses(bench).values()) == [1, 1, 2]
    assert "warning: the trainer's code changed while this launch ran" in launched.stdout
    *_, last = bench.state("g").runs
    for text in (
        launched.stdout,
        bench.sweep("status", "g").stdout,
        bench.sweep("table", "g").stdout,
        bench.sweep("table", "g", "--format", "csv").stderr,
        bench.sweep("show", last).stdout,
    ):
        assert text.count("(self_edited.py): runs that started after ") == (
            2 if text is launched.stdout else 1
        )


def test_a_run_is_trained_again_by_the_code_of_today(
    bench: Bench, launched: CompletedProcess[str]
) -> None:
    first, *_ = bench.state("g").runs
    shutil.rmtree(bench.group("g").run(first).path)
    planned = bench.sweep("plan", "s.yaml").stderr.splitlines()
    assert planned == [
        "3 finished runs were trained by other code than today's (changed: self_edited.py); "
        "`sweep launch s.yaml --again` trains them again",
        f"1 finished run has no folder any more; `sweep launch s.yaml {first} --again` trains it "
        f"again",
    ]
    assert f"FILE {first} --again" in bench.sweep("status", "g").stdout
    result = bench.sweep("launch", "s.yaml", first, "--again", "--cpus", 1, "--json")
    assert result.returncode == 0, result.stderr
    assert list(losses(bench).values()) == [2, 1, 2]
    run = bench.state("g").runs[first]
    assert [attempt.number for attempt in run.attempts] == [1, 2]
    assert len(run.attempts[1].sources) == 1
    code = json.loads(result.stdout)["code"]
    assert {"sources": list(run.attempts[1].sources), "runs": 1} in code["trained_by"]


def test_what_names_no_run_is_an_error_of_the_user(
    bench: Bench, launched: CompletedProcess[str]
) -> None:
    result = bench.sweep("launch", "s.yaml", "--again", "--where", "sed=1")
    assert (result.returncode, result.stderr) == (
        2,
        "--where: `sed` is not a key of the config; did you mean `seed`?\n",
    )
