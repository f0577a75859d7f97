"""`sweep retry`: failed runs of the records once more, and records that a group may read."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Bench, of_kind, wait_until
from trainers.sabotage import Config

from sweeper.config import plain, run_id, to_yaml
from sweeper.records import GroupFolder
from sweeper.records.events import Launched, Started

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
    file = bench.write("fickle", SWEEP_TEXT)
    launch = bench.sweep("launch", file, "--cpus", 2, "--shared")
    assert launch.returncode == 3, launch.stderr
    file.unlink()  # the records alone must do
    return bench


def run_of(bench: Bench, deed: str) -> str:
    """The first run with this deed."""
    runs = bench.state("fickle").runs.values()
    return next(run.id for run in runs if run.axis_values["deed"] == deed)


def standings(bench: Bench) -> dict[str, set[tuple[str, int]]]:
    """By deed, how its runs stand and after how many attempts."""
    found: dict[str, set[tuple[str, int]]] = {}
    for run in bench.state("fickle").runs.values():
        ends = found.setdefault(run.axis_values["deed"], set())
        ends.add((run.standing, len(run.attempts)))
    return found


def test_it_says_what_it_will_do_and_changes_nothing(launched: Bench) -> None:
    before = launched.events("fickle")
    said = launched.sweep("retry", "fickle", "--dry-run", "--trainer", "fickle")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("fickle: 4 runs to train again\n")
    assert "  2 crashed: ValueError: no good at …  at " in said.stdout
    assert "  2 timed out: ran longer than its timeout of 2 s" in said.stdout
    assert "left alone:\n  2 diverged: " in said.stdout
    answer = launched.sweep(
        "retry", "fickle", "--dry-run", "--trainer", "fickle", "--cause", "timed out", "--json"
    )
    data = json.loads(answer.stdout)
    assert (data["to_train"], data["timeout_s"], data["waves"]) == (2, 2.0, [2])
    assert launched.events("fickle") == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fickle", "--trainer", "other"], "trained by 'fickle', not by 'other'"),
        (["fickle", "--trainer", "fickle", "--cause", "ValeError"], "did you mean `ValueError`?"),
        (["fickle", "--trainer", "fickle", "--cause", "diverged"], "no cause contains `diverged`"),
        (["fickle", "--trainer", "fickle", "--timeout", "soon"], "--timeout: expected an amount"),
        (["fickel"], "did you mean `fickle`?"),
    ],
)
def test_mistakes_are_reported_before_anything_starts(
    launched: Bench, arguments: list[str], words: str
) -> None:
    before = launched.events("fickle")
    said = launched.sweep("retry", *arguments)
    assert said.returncode == 2
    assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert launched.events("fickle") == before


def test_only_what_is_meant_is_trained_again(launched: Bench) -> None:
    assert standings(launched) == {
        "finish": {("finished", 1)},
        "raise": {("crashed", 1)},
        "overstay": {("timed out", 1)},
        "diverge": {("diverged", 1)},
    }
    (launched.path / "fixed").touch()
    again = ("retry", "fickle", "--cpus", "2", "--trainer", "fickle")
    first = launched.sweep(*again, "--cause", "valueerror")
    assert first.returncode == 3, first.stderr
    assert first.stdout.startswith("fickle: 2 runs to train again\n")
    assert standings(launched)["raise"] == {("finished", 2)}
    assert standings(launched)["overstay"] == {("timed out", 1)}
    shown = json.loads(launched.sweep("show", run_of(launched, "raise"), "--json").stdout)
    assert shown["outcome"] == "finished"
    kept = Path(shown["paths"]["folder"]) / "attempts" / "1"
    assert json.loads((kept / "result.json").read_text())["outcome"] == "crashed"
    names = [file["name"] for file in shown["files"]]
    assert [name for name in names if "/" in name] == [
        "attempts/1/log.txt",
        "attempts/1/result.json",
    ]

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
    assert "has no run that could end differently: 2 diverged" in nothing.stderr


def test_shared_records_can_be_read_by_the_group_and_by_nobody_else(launched: Bench) -> None:
    """Also what was made after the launch that shared them."""
    folder = launched.group("fickle").path
    paths = [folder, *folder.rglob("*")]
    assert {path.name for path in paths} >= {"000001.json", "result.json", "log.txt", "table.csv"}
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o007 == 0, path
        assert mode & 0o070 == (0o050 if path.is_dir() else 0o040), path


@pytest.mark.faults
def test_retry_trains_what_was_interrupted_and_nothing_else(bench: Bench) -> None:
    file = bench.write(
        "slow", "trainer: sabotage\ngroup: slow\nsteps: 40\nstep_s: 0.05\nseeds: 5\n"
    )
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: len(of_kind(Started, bench.events("slow"))) >= 3,
        state=lambda: bench.events("slow"),
    )
    busy = bench.sweep("retry", "slow", "--trainer", "sabotage")
    assert busy.returncode == 2
    launch.send_signal(signal.SIGKILL)
    launch.communicate()
    before = bench.state("slow")
    left = sum(run.outcome is None and bool(run.attempts) for run in before.runs.values())
    untouched = {run.id for run in before.runs.values() if not run.attempts}
    assert left
    assert untouched
    done = bench.sweep("retry", "slow", "--trainer", "sabotage", "--cpus", "2")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith(f"slow: {left} runs to train again\n")
    after = bench.state("slow")
    assert {run.id for run in after.runs.values() if not run.attempts} == untouched
    assert after.counts()["finished"] == 5 - len(untouched)


RUN = run_id("sabotage", plain(Config()))


def crashed_records(bench: Bench, **resources: object) -> GroupFolder:
    """Records of one run that crashed, as a launch leaves them or a stranger forges them."""
    return bench.plant(
        "some",
        {"event": "launched", "launch": "l", "trainer": "sabotage", "total": 1, "host": "other",
         "resources": resources},
        {"event": "planned", "runs": {RUN: {"seed": 0}}},
        {"event": "started", "run": RUN, "attempt": 1},
        {"event": "ended", "run": RUN, "attempt": 1, "outcome": "crashed",
         "cause": {"kind": "exception", "message": "no", "type": "ValueError"}},
        {"event": "launch_ended", "launch": "l", "reason": "done"},
    )  # fmt: skip


def retry_some(bench: Bench) -> str:
    """The complaint of `sweep retry`."""
    said = bench.sweep("retry", "some", "--trainer", "sabotage", timeout=20)
    assert said.returncode == 2, said.stdout
    assert "Traceback" not in said.stderr
    assert len(of_kind(Launched, bench.events("some"))) == 1
    return said.stderr


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"timeout_s": -1.0}, "no resources"),
        ({"timeout_s": "nan"}, "journal of group `some`"),
        ({"cpus_per_run": 0}, "journal of group `some`"),
        ({"memory_per_run": "much"}, "journal of group `some`"),
    ],
)
def test_forged_resources_are_refused(
    bench: Bench, resources: dict[str, object], words: str
) -> None:
    folder = crashed_records(bench, **resources)
    folder.run(RUN).make().config_file.write_text(to_yaml(Config()))
    assert words in retry_some(bench)


def test_a_config_that_is_another_runs_is_not_trained_under_this_ones_name(bench: Bench) -> None:
    folder = crashed_records(bench)
    folder.run(RUN).make().config_file.write_text("seed: 1\n")
    assert "this is another run" in retry_some(bench)


def test_a_run_whose_folder_is_gone_did_start(bench: Bench) -> None:
    crashed_records(bench)
    assert "ever started" not in retry_some(bench)


@pytest.mark.faults
def test_who_shared_a_pack_with_a_run_that_raises_finishes_when_tried_again(
    bench: Bench,
) -> None:
    file = bench.write("packs", "trainer: packed\ngroup: packs\nseeds: 3\n")
    assert bench.sweep("launch", file, "--cpus", 1).returncode == 3
    bench.sweep("retry", "packs", "--trainer", "packed", "--cpus", "1")
    assert bench.state("packs").counts()["finished"] == 2


def test_a_pipe_for_a_config_blocks_nobody(bench: Bench) -> None:
    os.mkfifo(crashed_records(bench).run(RUN).make().config_file)
    assert "config.yaml" in retry_some(bench)
