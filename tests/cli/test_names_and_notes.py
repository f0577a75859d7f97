"""Names and notes beside ids, in every command that shows runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeper.cli import app
from sweeper.cli.common import USER_ERROR, guarded
from sweeper.records import GroupFolder, JournalWriter, latest_group
from sweeper.records.events import Ended, Launched, LaunchEnded, Planned, Started
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.report.tables import group_table, render


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupFolder:
    """A group with two named runs, one of them crashed."""
    monkeypatch.setenv("SWEEPER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    folder = GroupFolder(tmp_path / "runs", "g").make()
    cause = Cause(CauseKind.EXCEPTION, "no", "ValueError")
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(
            Launched(launch="L", total=2),
            Planned(
                runs={"k3f": {"width": 8}, "q7m": {"width": 16}},
                names={"k3f": "tanh/8", "q7m": "tanh/16"},
            ),
            *(Started(run=run, attempt=1) for run in ("k3f", "q7m")),
            Ended(run="k3f", attempt=1, outcome=Outcome.FINISHED, metrics={"loss": 1.0}),
            Ended(run="q7m", attempt=1, outcome=Outcome.CRASHED, cause=cause),
            LaunchEnded(launch="L", reason="done"),
        )
    return folder


@pytest.fixture
def said(folder: GroupFolder, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> str:
        assert guarded(app, list(arguments)) == 0
        return capsys.readouterr().out

    return command


@pytest.mark.parametrize("name", ["tanh/8", "g/tanh/8", "k3f"])
def test_a_run_is_found_by_its_name(said: Any, name: str) -> None:
    shown = json.loads(said("show", name, "--json"))
    assert (shown["id"], shown["name"]) == ("k3f", "tanh/8")


def test_a_name_that_several_runs_have_is_refused(
    folder: GroupFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with JournalWriter(folder.journal_dir, "x") as journal:
        journal.append(Planned(runs={"a1": {}, "b2": {}}, names={"a1": "same", "b2": "same"}))
    assert guarded(app, ["show", "same"]) == USER_ERROR
    assert capsys.readouterr().err == "2 runs are called `same`: give one of `g/a1`, `g/b2`\n"


def test_crashed_and_show_print_names_and_notes(said: Any) -> None:
    said("note", "q7m", "look  here\nagain")
    crashed = [line.split() for line in said("crashed", "g").splitlines()]
    assert ["example", "q7m", "(tanh/16)"] in crashed
    assert ["note", "look", "here", "again"] in crashed
    assert ["note", "look", "here", "again"] in [
        x.split() for x in said("show", "q7m").splitlines()
    ]


def test_a_note_on_a_group_is_shown_by_status_and_list(said: Any) -> None:
    said("list")
    said("note", "g", "for figure 3")
    assert "note: for figure 3" in said("status", "g").splitlines()
    assert "g: note: for figure 3" in said("list").splitlines()
    said("note", "g", "--clear")
    assert "note" not in said("status", "g")


def test_a_table_of_runs_has_a_column_of_names(folder: GroupFolder) -> None:
    table = group_table(folder, group_seeds=False)
    heads, first = render(table, "csv").splitlines()[:2]
    assert heads.split(",")[1:3] == ["id", "name"]
    assert first.split(",")[1:3] == ["k3f", "tanh/8"]
    assert render(table).split()[:2] == ["id", "name"]


@pytest.mark.parametrize(
    "words", [["note", "g"], ["note", "g", "x", "--clear"], ["note", "g", " "]]
)
def test_a_note_without_text_is_an_error(
    folder: GroupFolder, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert guarded(app, ["note", *words]) == USER_ERROR


def test_a_note_does_not_make_an_old_group_the_latest(said: Any, folder: GroupFolder) -> None:
    newer = GroupFolder(folder.runs_dir, "newer").make()
    with JournalWriter(newer.journal_dir, "w") as journal:
        journal.append(Launched(launch="L2"))
    said("note", "g", "old")
    assert latest_group(folder.runs_dir).group == "newer"
