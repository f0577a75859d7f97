"""From what a person types to a group or run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweeper.errors import RecordError
from sweeper.records import GroupFolder, JournalWriter, find_group, find_run, latest_group
from sweeper.records.events import Planned
from sweeper.records.lookup import run_name


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    for group, ids in {"heads": ["abc2345678", "abd2345678"], "slope": ["xyz2345678"]}.items():
        folder = GroupFolder(tmp_path, group).make()
        for run_id in ids:
            folder.run(run_id).make()
        with JournalWriter(folder.journal_dir, "w") as journal:
            journal.append(Planned(runs={key: {} for key in (*ids, f"{group[:3]}waiting2")}))
    return tmp_path


def test_a_prefix_is_enough(runs_dir: Path) -> None:
    assert find_run(runs_dir, "abc").path == GroupFolder(runs_dir, "heads").run("abc2345678").path
    assert find_run(runs_dir, "x").id == "xyz2345678"


def test_a_run_that_never_started_is_found_in_the_journal(runs_dir: Path) -> None:
    run = find_run(runs_dir, "slow")
    assert run.id == "slowaiting2"
    assert not run.path.exists()


def test_an_ambiguous_prefix_names_the_candidates(runs_dir: Path) -> None:
    with pytest.raises(RecordError, match=r"2 runs: `heads/abc2345678`, `heads/abd2345678`"):
        find_run(runs_dir, "ab")


def test_the_same_run_in_two_groups_is_told_apart_by_the_group(runs_dir: Path) -> None:
    GroupFolder(runs_dir, "slope").run("abc2345678").make()
    both = "is in 2 groups: give one of `heads/abc2345678`, `slope/abc2345678`"
    with pytest.raises(RecordError, match=both):
        find_run(runs_dir, "abc2345678")
    assert find_run(runs_dir, "slope/abc").group.group == "slope"
    heads = GroupFolder(runs_dir, "heads")
    assert run_name(heads, "abc2345678") == "heads/abc2345678"
    assert run_name(heads, "abd2345678") == "abd2345678"


def test_a_whole_id_is_never_ambiguous_with_a_longer_one(runs_dir: Path) -> None:
    GroupFolder(runs_dir, "slope").run("abc23456789").make()
    assert find_run(runs_dir, "abc2345678").id == "abc2345678"


def test_none_names_the_nearest(runs_dir: Path) -> None:
    with pytest.raises(RecordError, match="did you mean `xyz2345678`"):
        find_run(runs_dir, "xzy2345678")
    with pytest.raises(RecordError, match=r"no group `haeds`.*did you mean `heads`"):
        find_run(runs_dir, "haeds/abc")
    with pytest.raises(RecordError, match="names no run"):
        find_run(runs_dir, "heads/")


def test_groups(runs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert find_group(runs_dir, "heads").group == "heads"
    with pytest.raises(RecordError, match=r"did you mean `slope`\?; groups there: `heads`, "):
        find_group(runs_dir, "slopes")
    with pytest.raises(RecordError, match="holds no records yet"):
        find_group(tmp_path_factory.mktemp("empty"), "heads")


def test_the_latest_group_is_the_one_that_changed_last(
    runs_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for moment, group in [(1000, "slope"), (2000, "heads")]:
        for path in GroupFolder(runs_dir, group).journal_dir.iterdir():
            os.utime(path, (moment, moment))
    assert latest_group(runs_dir).group == "heads"
    with pytest.raises(RecordError, match="sweep launch"):
        latest_group(tmp_path_factory.mktemp("empty"))
