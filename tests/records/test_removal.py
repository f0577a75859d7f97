"""What is removed goes whole, and never under a launch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pretended_hosts import Machine

from sweeper.errors import BusyError, RecordError
from sweeper.host.identity import this_host
from sweeper.records import GroupFolder, JournalWriter, claim, groups, read_claims, snapshot
from sweeper.records.events import Ended, Launched, Planned, Started
from sweeper.records.outcomes import Outcome
from sweeper.records.removal import finish_removals, move_group, remove_group, remove_runs


@pytest.fixture
def folder(tmp_path: Path) -> GroupFolder:
    """A group with two finished runs, and a folder outside that one of them links to."""
    folder = GroupFolder(tmp_path / "runs", "g").make()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("")
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(Planned(runs={"r1": {}, "r2": {}}))
        for run in ("r1", "r2"):
            journal.append(
                Started(run=run, attempt=1), Ended(run=run, attempt=1, outcome=Outcome.FINISHED)
            )
            folder.run(run).make().log_file.write_text("log")
    (folder.run("r1").path / "link").symlink_to(tmp_path / "outside")
    return folder


def standings(folder: GroupFolder) -> dict[str, str]:
    return {run.id: run.standing for run in snapshot(folder).state.runs.values()}


def test_a_group_goes_whole_and_what_it_links_to_stays(folder: GroupFolder, tmp_path: Path) -> None:
    remove_group(folder)
    assert list(folder.runs_dir.iterdir()) == []
    assert (tmp_path / "outside" / "precious").exists()


def test_removed_runs_wait_and_their_folders_are_gone(folder: GroupFolder, tmp_path: Path) -> None:
    remove_runs(folder, ["r1"])
    assert standings(folder) == {"r1": "waiting", "r2": "finished"}
    assert [path.name for path in folder.runs_folder.iterdir()] == ["r2"]
    assert (tmp_path / "outside" / "precious").exists()
    assert read_claims(folder).owners == ()


def test_a_run_folder_that_is_a_link_goes_alone(folder: GroupFolder, tmp_path: Path) -> None:
    folder.run("r3").path.symlink_to(tmp_path / "outside")
    remove_runs(folder, ["r3"])
    assert (tmp_path / "outside" / "precious").exists()
    assert folder.run_ids() == ["r1", "r2"]


@pytest.mark.parametrize("name", [".", "runs"])
def test_a_linked_folder_is_refused(folder: GroupFolder, tmp_path: Path, name: str) -> None:
    place = folder.path / name
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    with pytest.raises(RecordError, match="is a link"):
        remove_group(folder)


def test_nothing_is_removed_under_a_claim(folder: GroupFolder) -> None:
    with claim(folder, "L", here=this_host()):
        with pytest.raises(BusyError, match="is being run by another launch"):
            remove_group(folder)
        with pytest.raises(BusyError, match="is being run by another launch"):
            remove_runs(folder, ["r1"])
        with pytest.raises(BusyError, match="is being run by another launch"):
            move_group(folder, GroupFolder(folder.runs_dir, "new"))
    assert standings(folder) == {"r1": "finished", "r2": "finished"}


def test_a_launch_without_a_claim_is_found_in_the_journal(folder: GroupFolder) -> None:
    me = this_host().identity()
    with JournalWriter(folder.journal_dir, "old") as journal:
        journal.append(Launched(launch="L", host=me.host, pid=me.pid, pid_start=me.start))
    with pytest.raises(BusyError, match=f"process {os.getpid()}"):
        remove_group(folder)
    assert read_claims(folder).owners == ()


def test_what_cannot_be_known_counts_as_running_unless_the_user_knows(folder: GroupFolder) -> None:
    claim(folder, "L", here=Machine("far-away").new_process())
    with pytest.raises(BusyError, match="--take-over"):
        remove_group(folder)
    remove_group(folder, take_over=True)
    assert groups(folder.runs_dir) == []


def test_no_launch_can_begin_meanwhile(
    folder: GroupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    rename = Path.rename

    def spy(path: Path, target: Path) -> Path:
        with pytest.raises(BusyError):
            claim(folder, "late", here=this_host())
        seen.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", spy)
    remove_group(folder)
    assert seen == [folder.path]


def test_an_interrupted_deletion_is_never_listed_and_finished_later(folder: GroupFolder) -> None:
    hidden = folder.runs_dir / ".removed-123"
    folder.path.rename(hidden)
    assert groups(folder.runs_dir) == []
    finish_removals(folder.runs_dir)
    assert list(folder.runs_dir.iterdir()) == []


def test_a_renamed_group_is_the_same_and_free(folder: GroupFolder) -> None:
    new = GroupFolder(folder.runs_dir, "new name")
    before = standings(folder)
    move_group(folder, new)
    assert groups(folder.runs_dir) == ["new name"]
    assert standings(new) == before
    assert read_claims(new).owners == ()


def test_a_group_is_not_moved_onto_another(folder: GroupFolder) -> None:
    with pytest.raises(RecordError, match="already"):
        move_group(folder, folder)
