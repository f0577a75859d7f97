"""`sweep rm` and `sweep mv`: what they ask, say and refuse."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from sweeper.cli import app
from sweeper.cli.common import SOME_BAD, USER_ERROR, guarded
from sweeper.launch.known_trainers import Remembered, remember, remembered
from sweeper.records import GroupFolder, JournalWriter, groups, snapshot
from sweeper.records.events import Ended, Launched, LaunchEnded, Planned, Started
from sweeper.records.outcomes import Outcome
from sweeper.trainer import load_trainer

_HILL = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    rate: float = 0.1

def train(configs, runs): ...
"""


class Terminal(io.StringIO):
    """Somebody who types an answer."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupFolder:
    monkeypatch.setenv("SWEEPER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    folder = GroupFolder(tmp_path / "runs", "g").make()
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(
            Planned(runs={"r1": {}, "r2": {}}, names={"r1": "first"}),
            Started(run="r1", attempt=1),
            Ended(run="r1", attempt=1, outcome=Outcome.FINISHED),
        )
    folder.run("r1").make().log_file.write_text("x" * 2048)
    return folder


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_without_a_terminal_nothing_is_removed(
    folder: GroupFolder, no_terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(app, ["rm", "g"]) == USER_ERROR
    said = capsys.readouterr()
    assert said.out.startswith(f"group g in {folder.path}: 2 runs (1 finished, 1 waiting), ")
    assert said.err == "sweep rm asks before it removes anything: in a script, add --yes\n"
    assert groups(folder.runs_dir) == ["g"]


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, []), ("\n", SOME_BAD, ["g"])])
def test_the_answer_decides(
    folder: GroupFolder,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    left: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert guarded(app, ["rm", "g"]) == status
    assert groups(folder.runs_dir) == left


def test_a_run_is_removed_by_its_name(
    folder: GroupFolder, no_terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(app, ["rm", "first", "--yes"]) == 0
    assert capsys.readouterr().out == "run r1 (first) of g: finished, 2 KiB\n"
    assert snapshot(folder).state.runs["r1"].standing == "waiting"


def test_foreign_files_in_a_group_are_named(
    folder: GroupFolder, no_terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.path / "thesis.tex").write_text("")
    assert guarded(app, ["rm", "g"]) == USER_ERROR
    assert capsys.readouterr().out.endswith("; also in it: thesis.tex\n")


def test_a_renamed_group_says_what_to_change(
    folder: GroupFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(app, ["mv", "g", "new"]) == 0
    assert "write `group: new` in its sweep file too" in capsys.readouterr().err
    assert groups(folder.runs_dir) == ["new"]


def test_the_trainer_of_a_renamed_group_stays_known(
    folder: GroupFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "edits_hill.py").write_text(_HILL)
    monkeypatch.syspath_prepend(tmp_path)
    remember(folder.path, load_trainer("edits_hill", search=[tmp_path]), os.environ)
    with JournalWriter(folder.journal_dir, "l") as journal:
        journal.append(
            Launched(launch="l", host="h", trainer="edits_hill"),
            LaunchEnded(launch="l", reason="done"),
        )
    assert guarded(app, ["mv", "g", "new"]) == 0
    known = remembered(folder.runs_dir / "new", "edits_hill", os.environ)
    assert known == Remembered((tmp_path,))


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "g"])
def test_a_group_gets_only_a_name_that_a_file_could_give(folder: GroupFolder, name: str) -> None:
    assert guarded(app, ["mv", "g", name]) == USER_ERROR
    assert groups(folder.runs_dir) == ["g"]


def test_a_merge_says_what_was_there_and_what_is(
    folder: GroupFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere" / "g"
    assert guarded(app, ["merge", str(folder.path), str(target), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 journal file and 1 run folder would be copied, 0 run folders would be replaced"
    )
    assert guarded(app, ["merge", "g", str(target)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{target} now has 2 runs: 1 finished, 1 waiting",
        "1 journal file and 1 run folder copied, 0 run folders replaced",
    ]


def test_a_place_without_a_journal_is_no_group(
    folder: GroupFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(app, ["merge", "nothing", "g"]) == USER_ERROR
    assert capsys.readouterr().err.endswith("nothing is no group: it holds no journal\n")
