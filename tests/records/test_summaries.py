"""`sweep list`: every group of a runs directory, whatever is in it."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from sweeper.cli.group_texts import ago, list_text
from sweeper.host.identity import this_host
from sweeper.records import GroupFolder, JournalWriter, claim
from sweeper.records.events import Ended, Event, Launched, LaunchEnded, Planned, Started
from sweeper.records.outcomes import Outcome
from sweeper.records.summaries import list_groups


def planned(*runs: str) -> Event:
    return Planned(runs={run: {"lr": 0.1} for run in runs})


def finished(run: str) -> Event:
    return Ended(run=run, attempt=1, outcome=Outcome.FINISHED)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """Two groups, the second one written to later."""
    for clock, group in ((partial(float, 1000), "old"), (partial(float, 5000), "new")):
        folder = GroupFolder(tmp_path / "runs", group).make()
        with JournalWriter(folder.journal_dir, "w", clock) as journal:
            journal.append(Launched(launch="L", total=2), planned("a", "b"))
            journal.append(Started(run="a", attempt=1), finished("a"))
            journal.append(LaunchEnded(launch="L", reason="done"))
    return tmp_path / "runs"


def test_groups_are_listed_by_their_last_activity(runs_dir: Path) -> None:
    found = [(it.group, it.totals.last_time) for it in list_groups(runs_dir).groups]
    assert [group for group, _ in found] == ["new", "old"]
    assert [round(moment or 0.0) for _, moment in found] == [5000, 1000]


def test_runs_are_counted_by_standing(runs_dir: Path) -> None:
    totals = list_groups(runs_dir).groups[0].totals
    assert (totals.total, totals.counts) == (2, {"finished": 1, "waiting": 1})


def test_a_summary_is_kept_and_equals_the_one_that_was_folded(runs_dir: Path) -> None:
    first = list_groups(runs_dir).groups
    assert all(it.path.joinpath("summary.json").exists() for it in first)
    assert [it.totals for it in list_groups(runs_dir).groups] == [it.totals for it in first]


def test_a_kept_summary_is_used_only_while_the_journal_has_not_grown(runs_dir: Path) -> None:
    folder = GroupFolder(runs_dir, "new")
    list_groups(runs_dir)
    kept = json.loads(folder.summary_file.read_text())
    folder.summary_file.write_text(json.dumps({**kept, "total": 77}))
    assert list_groups(runs_dir).groups[0].totals.total == 77  # it is read, indeed
    with JournalWriter(folder.journal_dir, "other") as journal:
        journal.append(Started(run="b", attempt=1), finished("b"))
    assert list_groups(runs_dir).groups[0].totals.counts == {"finished": 2}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1}', '{"format": 1, "total": 2, "counts": {"odd": 1}}']
)
def test_a_damaged_summary_is_made_again(runs_dir: Path, text: str) -> None:
    GroupFolder(runs_dir, "new").summary_file.write_text(text)
    assert list_groups(runs_dir).groups[0].totals.counts == {"finished": 1, "waiting": 1}


def test_whoever_holds_a_group_is_named_and_nothing_is_kept(runs_dir: Path) -> None:
    folder = GroupFolder(runs_dir, "new")
    with claim(folder, "C", here=this_host()):
        found = list_groups(runs_dir).groups[0]
        assert [(it.launch, it.pid, it.lives) for it in found.held_by] == [("C", os.getpid(), True)]
        assert not folder.summary_file.exists()
    assert list_groups(runs_dir).groups[0].held_by == ()


def test_foreign_folders_are_named_and_hidden_ones_are_not(runs_dir: Path) -> None:
    (runs_dir / "pictures").mkdir()
    (runs_dir / ".removed-1").mkdir()
    (runs_dir / "notes.txt").write_text("")
    assert list_groups(runs_dir).others == ("pictures",)


def test_damaged_lines_are_counted(runs_dir: Path) -> None:
    with (runs_dir / "new" / "journal" / "w.jsonl").open("a") as file:
        file.write('{"torn')
    assert list_groups(runs_dir).groups[0].totals.damaged_lines == 1


def test_sizes_are_estimated_from_some_runs_and_exact_on_request(runs_dir: Path) -> None:
    folder = GroupFolder(runs_dir, "new")
    for number in range(40):
        run = folder.run(f"run{number:02}").make()
        run.log_file.write_bytes(b"x" * (1000 if number < 20 else 3000))
    list_groups(runs_dir)
    besides = sum(it.stat().st_size for it in (folder.summary_file, *folder.journal_dir.iterdir()))
    about = list_groups(runs_dir).groups[0].size
    exact = list_groups(runs_dir, sizes=True).groups[0].size
    assert (about.size_bytes - besides, about.exact) == (40_000, False)
    assert (exact.size_bytes - besides, exact.exact) == (80_000, True)


def test_an_empty_place_is_no_error(tmp_path: Path) -> None:
    assert list_groups(tmp_path / "nowhere").groups == ()


def test_the_text_has_a_line_for_each_group(runs_dir: Path) -> None:
    (runs_dir / "pictures").mkdir()
    found = list_groups(runs_dir)
    answer = {"groups": [it.plain() for it in found.groups], "others": found.others}
    lines = list_text(answer, now=5000.0 + 7300.0).splitlines()
    assert lines[1].split()[:6] == ["new", "2", "1", "finished,", "1", "waiting"]
    assert "2 h ago" in lines[1]
    assert lines[-1] == "no groups of runs: pictures"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5.0, "just now"), (60.0, "1 min ago"), (7300.0, "2 h ago"), (86400.0, "1 day ago")],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    assert ago(seconds) == text
