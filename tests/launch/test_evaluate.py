"""Trained runs evaluated on other datasets: figures join the records, nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support import Bench

from sweeper.engine.earlier_attempts import set_aside
from sweeper.records import write_atomically


@pytest.fixture(scope="module")
def trained(new_bench: Callable[[], Bench]) -> Bench:
    bench = new_bench()
    file = bench.write("eval", "trainer: sabotage\ngroup: eval\ndeed: [finish, raise]\nseeds: 3\n")
    assert bench.sweep("launch", file, "--cpus", 2).returncode == 3
    return bench


def metrics(bench: Bench) -> dict[int, dict[str, float]]:
    runs = bench.state("eval").runs.values()
    return {run.axis_values["seed"]: dict(run.metrics) for run in runs if run.outcome == "finished"}


def test_figures_join_the_records_and_a_failure_changes_no_outcome(trained: Bench) -> None:
    before = trained.state("eval").counts()
    result = trained.sweep(
        "evaluate", "--trainer", "sabotage", "eval", "--datasets", "set-a,set-bc", "--json"
    )
    assert result.returncode == 0, result.stderr
    assert "3 runs have not finished and are left out" in result.stderr
    assert len(json.loads(result.stdout)["evaluated"]) == 3
    found = metrics(trained)
    assert {seed: own["set-bc/mean"] for seed, own in found.items()} == {0: 6.0, 1: 7.0, 2: 8.0}
    assert all("loss" in own for own in found.values())  # what training measured stays
    assert "set-a" in trained.sweep("table", "eval", "--metrics", "set-a/mean").stdout

    # As after another training, which crashed: the model of the one before is evaluated.
    again = trained.group("eval").run(next(iter(json.loads(result.stdout)["evaluated"])))
    set_aside(again, 2)
    write_atomically(again.result_file, json.dumps({"attempt": 2, "outcome": "crashed"}))

    failing = trained.sweep(
        "evaluate", "--trainer", "sabotage", "eval", "--datasets", "set-that-fails"
    )
    assert failing.returncode == 3
    assert "ValueError: asked to fail" in failing.stdout
    found = metrics(trained)
    assert {seed for seed, own in found.items() if "set-that-fails/mean" in own} == {0, 2}
    assert trained.state("eval").counts() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing", "--datasets", "set-a"], "no run `nothing`"),
        (["eval", "--datasets", "rubbish"], "no dataset `rubbish`"),
        (["eval", "--datasets", ","], "--datasets NAME,NAME"),
    ],
)
def test_mistakes_are_reported_before_anything_starts(
    trained: Bench, arguments: list[str], words: str
) -> None:
    before = trained.events("eval")
    result = trained.sweep("evaluate", "--trainer", "sabotage", *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert trained.events("eval") == before
