"""`sweep logs`, on records written by hand and processes of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.cli import app
from sweeper.cli.common import guarded
from sweeper.host.identity import this_host
from sweeper.records import GroupFolder, JournalWriter
from sweeper.records.events import Ended, Launched, Planned, Started
from sweeper.records.outcomes import Outcome

SWEEP = Path(sys.executable).with_name("sweep")


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupFolder:
    monkeypatch.setenv("SWEEPER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    return GroupFolder(tmp_path / "runs", "g").make()


def started(group: GroupFolder) -> JournalWriter:
    """The journal of a launch of this process, under which a run has begun."""
    me = this_host().identity()
    journal = JournalWriter(group.journal_dir, "w")
    journal.append(
        Launched(launch="L", host=me.host, pid=me.pid, pid_start=me.start),
        Planned(runs={"r1": {}, "r2": {}}),
        Started(run="r1", attempt=1),
    )
    return journal


def finish(journal: JournalWriter) -> None:
    journal.append(Ended(run="r1", attempt=1, outcome=Outcome.FINISHED))
    journal.close()


def test_the_log_goes_to_stdout_and_its_file_to_stderr(
    group: GroupFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(started(group))
    file = group.run("r1").make().log_file
    file.write_text("step 1\n\x1b[2Jstep 2")
    assert guarded(app, ["logs", "r1"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "step 1\n\\x1b[2Jstep 2\n"
    assert shown.err == f"{file} (attempt 1, finished)\n"


def test_only_the_last_lines(group: GroupFolder, capsys: pytest.CaptureFixture[str]) -> None:
    finish(started(group))
    group.run("r1").make().log_file.write_text("1\n2\n3\n")
    assert guarded(app, ["logs", "r1", "--tail", "2"]) == 0
    assert capsys.readouterr().out == "2\n3\n"


def test_following_shows_what_comes_and_ends_with_the_run(group: GroupFolder) -> None:
    journal = started(group)
    file = group.run("r1").make().log_file
    file.write_text("before\n")
    command = [str(SWEEP), "logs", "r1", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        with file.open("a") as log:
            log.write("while it runs\n")
        assert process.stdout.readline() == "while it runs\n"
        with file.open("a") as log:
            log.write("the end")
        finish(journal)
        assert process.stdout.read() == "the end\n"
        assert process.wait(30) == 0


def test_a_run_that_never_started_has_no_log(
    group: GroupFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(started(group))
    assert guarded(app, ["logs", "r2"]) == 2
    assert capsys.readouterr().err == "run `r2` is waiting: it has no log\n"


def test_the_attempt_that_decided_or_another_one(
    group: GroupFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run finished, and a ghost crashed after it."""
    finish(started(group))
    with JournalWriter(group.journal_dir, "x") as journal:
        journal.append(
            Started(run="r1", attempt=2), Ended(run="r1", attempt=2, outcome=Outcome.CRASHED)
        )
    folder = group.run("r1").make()
    folder.log_file.write_text("second\n")
    kept = folder.attempts / "1"
    kept.mkdir(parents=True)
    (kept / "log.txt").write_text("first\n")
    assert guarded(app, ["logs", "r1"]) == 0
    assert capsys.readouterr().out == "first\n"
    assert guarded(app, ["logs", "r1", "--attempt", "2"]) == 0
    assert capsys.readouterr().out == "second\n"
    assert guarded(app, ["logs", "r1", "--attempt", "3"]) == 2
    assert capsys.readouterr().err == "run `r1` has no attempt 3: there are 1, 2\n"
