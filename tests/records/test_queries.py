"""What people ask of the records, asked of real folders and real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeper.cli.text import status_text
from sweeper.errors import RecordError
from sweeper.host.identity import this_host
from sweeper.host.processes import host_name, process_start
from sweeper.records import (
    GroupFolder,
    JournalWriter,
    claim,
    crashed,
    snapshot,
    status,
    write_atomically,
)
from sweeper.records.events import Ended, Launched, LaunchEnded, Planned, Started
from sweeper.records.outcomes import Cause, Outcome

START = 1_000_000.0


class Recorder:
    """Writes a group's records with a clock that the test sets."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = GroupFolder(tmp_path / "runs", "heads").make()
        self.now = START
        self.journal = JournalWriter(self.folder.journal_dir, "w", clock=lambda: self.now)

    def launch(self, total: int = 4, slots: int = 2, **more: Any) -> None:
        me = {"host": host_name(), "pid": os.getpid(), "pid_start": process_start(os.getpid())}
        self.journal.append(
            Launched(launch="L1", total=total, slots=slots, **{**me, **more}),
            Planned(headline="test/mean", runs={f"run{i}": {"lr": 0.1 * i} for i in range(total)}),
        )

    def start(self, run: str, attempt: int = 1, slot: int = 0) -> None:
        self.journal.append(Started(run=run, attempt=attempt, slot=slot))

    def end(
        self,
        run: str,
        outcome: str,
        attempt: int = 1,
        cause: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        why = Cause.from_plain(cause) if cause else None
        self.journal.append(
            Ended(run=run, attempt=attempt, outcome=Outcome(outcome), cause=why, **more)
        )

    def progress(self, run: str, fraction: float, step: int, moment: float) -> None:
        said = {"fraction": fraction, "step": step, "time": moment, "restored_step": 20}
        text = json.dumps(said)
        write_atomically(self.folder.run(run).make().progress_file, text)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    yield recorder
    recorder.journal.close()


def test_status_of_a_launch_that_works(recorder: Recorder) -> None:
    recorder.launch()
    recorder.start("run0")
    recorder.start("run1", slot=1)
    recorder.now += 10
    recorder.end("run0", "finished", wall_s=10.0)
    recorder.start("run2")
    recorder.progress("run1", 0.5, 40, recorder.now)
    report = status(recorder.folder, now=START + 15)
    json.dumps(report, allow_nan=False)
    assert report["group"] == "heads"
    assert report["total"] == 4
    assert {key: n for key, n in report["counts"].items() if n} == {
        "finished": 1,
        "running": 2,
        "waiting": 1,
    }
    assert report["running"] == [
        {
            "id": "run1",
            "name": None,
            "note": None,
            "axis_values": {"lr": 0.1},
            "attempt": 1,
            "slot": 1,
            "fraction": 0.5,
            "step": 40,
            "restored_step": 20,
            "since_s": 15.0,
        },
        {
            "id": "run2",
            "name": None,
            "note": None,
            "axis_values": {"lr": 0.2},
            "attempt": 1,
            "slot": 0,
            "fraction": None,
            "step": None,
            "restored_step": None,
            "since_s": 5.0,
        },
    ]
    assert report["launch"]["alive"] is True
    assert report["wall_s"] == 15.0
    # run1 needs 15 s more by its fraction, run2 5 s by the average, run3 10 s: 30 s on two slots.
    assert report["eta_s"] == pytest.approx(15.0)


def test_eta_without_data_and_at_the_end(recorder: Recorder) -> None:
    recorder.launch(total=2)
    assert status(recorder.folder, now=START)["eta_s"] is None
    recorder.start("run0")
    assert status(recorder.folder, now=START + 5)["eta_s"] is None
    recorder.progress("run0", 0.25, 1, START + 5)
    # 20 s in all by the fraction, 15 of them to come; run1 20 s on the other slot.
    assert status(recorder.folder, now=START + 5)["eta_s"] == pytest.approx(17.5)
    for run in ("run0", "run1"):
        recorder.end(run, "finished", wall_s=1.0)
    assert status(recorder.folder, now=START + 5)["eta_s"] == 0.0
    recorder.journal.append(LaunchEnded(launch="L1", reason="done"))
    report = status(recorder.folder, now=START + 500)
    assert report["eta_s"] is None
    assert report["wall_s"] == 0.0
    assert report["launch"]["reason"] == "done"
    assert report["launch"]["alive"] is False


def test_eta_of_a_launch_that_trains_some_runs_again(recorder: Recorder) -> None:
    recorder.launch(total=4, slots=1)
    for run in range(3):
        recorder.start(f"run{run}")
        recorder.end(f"run{run}", "finished", wall_s=10.0)
    recorder.journal.append(LaunchEnded(launch="L1", reason="done"))
    with JournalWriter(recorder.folder.journal_dir, "v", clock=lambda: START + 50) as journal:
        me: dict[str, Any] = {
            **{"host": host_name(), "pid": os.getpid()},
            "pid_start": process_start(os.getpid()),
        }
        journal.append(Launched(launch="L2", slots=1, total=4, again=True, to_train=2, **me))
        # It was told to train two of those that have finished; run3 is left for another launch.
        assert status(recorder.folder, now=START + 50)["eta_s"] == pytest.approx(20.0)
        journal.append(Started(run="run0", attempt=2))
        found = status(recorder.folder, now=START + 54)
    assert found["eta_s"] == pytest.approx(16.0, abs=0.1)
    assert [run["id"] for run in found["running"]] == ["run0"]
    assert (found["counts"]["running"], found["counts"]["finished"]) == (1, 2)


def test_eta_counts_runs_that_an_earlier_launch_left_crashed(recorder: Recorder) -> None:
    recorder.launch(total=2, slots=1)
    recorder.end("run0", "finished", wall_s=10.0)
    recorder.end("run1", "crashed")
    # This launch won't touch run1 again; the next one will.
    assert status(recorder.folder, now=START)["eta_s"] == 0.0
    recorder.journal.append(LaunchEnded(launch="L1", reason="done"))
    with JournalWriter(recorder.folder.journal_dir, "w2", clock=lambda: START + 9) as second:
        second.append(Launched(launch="L2", total=2, slots=1, host=host_name(), pid=os.getpid()))
    assert status(recorder.folder, now=START + 10)["eta_s"] == pytest.approx(10.0)


def test_progress_of_an_earlier_attempt_does_not_count(recorder: Recorder) -> None:
    recorder.launch()
    recorder.progress("run0", 0.9, 90, START - 5)
    recorder.start("run0", attempt=2)
    assert status(recorder.folder, now=START)["running"][0]["fraction"] is None


LAUNCH = """
import os, sys
from pathlib import Path
from sweeper.host.identity import this_host
from sweeper.records import GroupFolder, JournalWriter, claim
from sweeper.records.events import Launched, Planned, Started
folder = GroupFolder(Path(sys.argv[1]), "heads").make()
held = claim(folder, "L1", here=this_host())
me = held.owner.process
with JournalWriter(folder.journal_dir, held.owner.writer) as journal:
    journal.append(Launched(launch="L1", total=2, host=me.host, pid=me.pid, claim=held.number))
    journal.append(Planned(runs={"run0": {"lr": 1}, "run1": {"lr": 2}}))
    journal.append(Started(run="run0", attempt=1))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_launch_that_was_killed_leaves_interrupted_runs(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = GroupFolder(tmp_path, "heads")
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        before = status(folder)
    finally:
        process.kill()
        process.communicate()
    assert before["launch"]["alive"] is True
    assert [run["id"] for run in before["running"]] == ["run0"]
    folder.run("run0").make()
    write_atomically(
        folder.run("run0").progress_file, json.dumps({"step": 7, "time": time.time() + 1})
    )
    after = status(folder)
    assert after["launch"]["alive"] is False
    assert after["running"] == []
    assert after["eta_s"] is None
    assert (after["counts"]["interrupted"], after["counts"]["waiting"]) == (1, 1)
    (item,) = crashed(folder)
    assert (item.id, item.outcome, item.last_step) == ("run0", "interrupted", 7)
    # Another launch that holds the claim doesn't bring the dead one back to life.
    with claim(folder, "L2", here=this_host()):
        assert status(folder)["counts"]["running"] == 0


def test_a_launch_on_another_host_may_live(recorder: Recorder) -> None:
    recorder.launch(host="elsewhere-17", pid=1)
    recorder.start("run0")
    report = status(recorder.folder, now=START + 5)
    assert report["launch"]["alive"] is None
    assert report["counts"]["running"] == 1
    assert report["wall_s"] == 0.0  # until the last thing it is known to have done


def test_a_writer_whose_launch_is_torn_away_lives_by_its_claim(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "heads").make()
    held = claim(folder, "L1", here=this_host())
    with JournalWriter(folder.journal_dir, held.owner.writer) as journal:
        journal.append(Started(run="run0", attempt=1))
    assert snapshot(folder).state.counts()["running"] == 1
    held.release()
    assert snapshot(folder).state.counts()["interrupted"] == 1


def test_a_launch_that_was_taken_over_is_dead_on_every_host(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "heads").make()
    held = claim(folder, "L1", here=this_host())
    with JournalWriter(folder.journal_dir, held.owner.writer) as journal:
        journal.append(
            Launched(launch="L1", host="elsewhere", pid=1, claim=held.number),
            Started(run="run0", attempt=1),
        )
    assert status(folder)["counts"]["running"] == 1
    held.release()
    found = status(folder)
    assert (found["launch"]["alive"], found["counts"]["interrupted"]) == (False, 1)


def test_a_claim_that_this_host_cannot_see_yet_is_no_death(recorder: Recorder) -> None:
    claim(recorder.folder, "L0", here=this_host()).release()
    recorder.launch(host="elsewhere", pid=1, claim=3)
    recorder.start("run0")
    assert status(recorder.folder)["launch"]["alive"] is None


def test_several_launches_are_listed_and_add_up(recorder: Recorder) -> None:
    recorder.launch(total=4, slots=1, shard="1/2")
    with JournalWriter(recorder.folder.journal_dir, "w2", clock=lambda: START + 1) as second:
        second.append(
            Launched(launch="L2", total=4, slots=3, host="node8", pid=7, job="12_3", shard="2/2"),
            Started(run="run0", attempt=1),
        )
    found = status(recorder.folder, now=START + 5)
    listed = [(it["id"], it["host"], it["shard"], it["alive"]) for it in found["launches"]]
    assert listed == [("L1", host_name(), "1/2", True), ("L2", "node8", "2/2", None)]
    (doubt,) = found["in_doubt"]
    assert (doubt["launch"], doubt["job"], doubt["running"]) == ("L2", "12_3", 1)
    assert doubt["message"] == (
        "can't tell whether the launch on host node8 (process 7, job 12_3) still lives: 1 run of "
        "it counts as running; if you know that it is dead, launch with --take-over"
    )
    text = status_text(found)
    assert doubt["message"] in text
    assert "L1  host" in text
    assert "shard 2/2" in text


def test_crashed_lists_every_bad_end_by_cause(recorder: Recorder) -> None:
    recorder.launch(total=8)
    recorder.end("run0", "finished")
    recorder.end(
        "run5",
        "crashed",
        last_step=12,
        cause={
            "kind": "exception",
            "type": "builtins.ValueError",
            "message": "first line\nsecond line",
            "place": "train.py:3",
        },
    )
    recorder.end(
        "run1", "crashed", cause={"kind": "signal", "type": "SIGKILL", "message": "killed"}
    )
    recorder.end("run2", "diverged", cause={"kind": "not finite", "message": "loss is nan"})
    recorder.end("run3", "invalid", cause={"kind": "preflight", "message": "segment too long"})
    recorder.end("run4", "crashed", cause={"kind": "exception", "message": "again"})
    recorder.start("run4", attempt=2)
    run = recorder.folder.run("run1").make()
    write_atomically(run.log_file, "log")
    write_atomically(run.stack_file, "stack")
    items = [item.plain() for item in crashed(recorder.folder)]
    json.dumps(items, allow_nan=False)
    assert [(item["cause"], item["outcome"], item["id"]) for item in items] == [
        ("exception", "crashed", "run5"),
        ("not finite", "diverged", "run2"),
        ("preflight", "invalid", "run3"),
        ("signal", "crashed", "run1"),
    ]
    assert items[0] == {
        "id": "run5",
        "name": None,
        "note": None,
        "outcome": "crashed",
        "cause": "exception",
        "message": "first line second line",
        "type": "builtins.ValueError",
        "place": "train.py:3",
        "last_step": 12,
        "attempts": 1,
        "log": None,
        "stack": None,
        "axis_values": {"lr": 0.5},
    }
    assert items[3]["log"] == str(run.log_file)
    assert items[3]["stack"] == str(run.stack_file)


def test_a_strange_run_id_in_the_journal_is_shown_and_opens_no_file(recorder: Recorder) -> None:
    recorder.end("../../etc", "crashed", cause={"kind": "exit", "message": "code 3"})
    (item,) = crashed(recorder.folder)
    assert (item.id, item.log) == ("../../etc", None)


def test_damage_is_counted_and_a_missing_group_is_an_error(recorder: Recorder) -> None:
    recorder.launch()
    with recorder.journal.path.open("a") as file:
        file.write("garbage\n")
    assert status(recorder.folder)["damaged_lines"] == 1
    with pytest.raises(RecordError, match="no records"):
        status(GroupFolder(recorder.folder.runs_dir, "other"))


HEAVY = ["numpy", "jax", "ray", "matplotlib", "pydantic", "yaml", "rich", "asyncio", "difflib"]


def test_status_is_fast_for_an_ordinary_group(recorder: Recorder) -> None:
    runs = [f"r{index:09d}" for index in range(3000)]
    for begin in range(0, len(runs), 500):
        batch = runs[begin : begin + 500]
        recorder.journal.append(
            Planned(runs={run: {"a": 1, "b": "x"} for run in batch}),
            *(Started(run=run, attempt=1) for run in batch),
            *(Ended(run=run, attempt=1, outcome=Outcome.FINISHED, wall_s=1.0) for run in batch),
        )
    code = (
        "import sys, time; from pathlib import Path\n"
        "from sweeper.records import GroupFolder, status\n"
        "print(status(GroupFolder(Path(sys.argv[1]), 'heads'))['counts']['finished'])\n"
        "print(time.process_time())\n"
        "print(*(name for name in sys.modules if '.' not in name))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, recorder.folder.runs_dir],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert output[0] == "3000"
    assert not set(HEAVY) & set(output[2].split())
    # 0.15 s on an idle core; the bound is for a busy one.
    assert float(output[1]) < 1.0
