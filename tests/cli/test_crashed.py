"""`sweep crashed` on a group with many runs of one cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeper.cli import app
from sweeper.records import Cause, CauseKind, GroupFolder, JournalWriter, Outcome
from sweeper.records.events import Ended, Planned


@pytest.fixture
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    folder = GroupFolder(tmp_path / "runs", "heads").make()
    runs = {f"run{i:03d}": {"head": "ab"[i % 2], "seed": i // 2} for i in range(60)}
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(Planned(runs=runs))
        for run, values in runs.items():
            cause, outcome = None, Outcome.FINISHED
            if values["head"] == "b":
                cause = Cause(CauseKind.EXCEPTION, f"no {run}", "KeyError")
                outcome = Outcome.CRASHED
            journal.append(Ended(run=run, attempt=1, outcome=outcome, cause=cause))
    return folder.runs_dir


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    app(["crashed", "heads", *arguments], exit_on_error=False)
    return capsys.readouterr().out


def test_it_explains_and_lists_twenty_or_all(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--runs-dir", str(runs_dir))
    short = printed(capsys, *where)
    assert "30 crashed: KeyError: no run…\n" in short
    assert "    when      head = b: 30 of 30 crashed; 0 of 30 others\n" in short
    assert "… and 10 more crashed for this cause: see --all\n" in short
    assert short.count("    axes ") == 20
    assert printed(capsys, *where, "--all").count("    axes ") == 30
    answer = json.loads(printed(capsys, *where, "--json"))
    keys = ["group", "total", "chosen_of", "where", "limit", "trainer", "causes", "runs"]
    assert list(answer) == [*keys, "in_doubt", "earlier", "show", "rerun", "retry"]
    assert len(answer["runs"]) == 30
    assert answer["causes"][0]["condition"]["text"] == "head = b"
