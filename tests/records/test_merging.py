"""Records from several places, joined: nothing lost, nothing twice, and the sources untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.errors import BusyError, RecordError
from sweeper.host.identity import this_host
from sweeper.records import GroupFolder, JournalWriter, claim, read_claims, snapshot
from sweeper.records.events import Ended, Launched, LaunchEnded, Planned, Started
from sweeper.records.merging import merge, plan_merge
from sweeper.records.outcomes import Outcome


class Place:
    """A group folder that stands for one host's records."""

    def __init__(self, tmp_path: Path, name: str) -> None:
        self.folder = GroupFolder(tmp_path / name, "g").make()

    def launch(self, writer: str, time: float, *, attempt: int = 1, **outcomes: Outcome) -> None:
        """A whole launch, which leaves its name in the logs of its runs."""
        with JournalWriter(self.folder.journal_dir, writer, clock=lambda: time, after=0.0) as it:
            it.append(
                Launched(launch=writer, total=3), Planned(runs={r: {} for r in ("a", "b", "c")})
            )
            for run, outcome in outcomes.items():
                it.append(Started(run=run, attempt=attempt))
                it.append(Ended(run=run, attempt=attempt, outcome=outcome))
                self.folder.run(run).make().log_file.write_text(writer)
            it.append(LaunchEnded(launch=writer, reason="done"))

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.path.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder.path)): path.read_bytes() for path in found}


@pytest.fixture
def one(tmp_path: Path) -> Place:
    place = Place(tmp_path, "one")
    place.launch("w1", 1000.0, a=Outcome.FINISHED, b=Outcome.CRASHED)
    return place


@pytest.fixture
def two(tmp_path: Path) -> Place:
    place = Place(tmp_path, "two")
    place.launch("w2", 2000.0, b=Outcome.FINISHED, c=Outcome.DIVERGED)
    return place


def standings(folder: GroupFolder) -> dict[str, str]:
    return {run.id: run.standing for run in snapshot(folder).state.runs.values()}


def log(folder: GroupFolder, run: str) -> str:
    return folder.run(run).log_file.read_text()


def test_two_places_become_one_and_stay_as_they_are(one: Place, two: Place, tmp_path: Path) -> None:
    before = one.files(), two.files()
    target = GroupFolder(tmp_path / "all", "g")
    merge([one.folder, two.folder], target)
    assert standings(target) == {"a": "finished", "b": "finished", "c": "diverged"}
    assert [log(target, run) for run in "abc"] == ["w1", "w2", "w2"]
    assert (one.files(), two.files()) == before
    assert read_claims(target).owners == ()


def test_the_folder_of_the_attempt_that_decides_is_kept(one: Place, two: Place) -> None:
    merge([two.folder], one.folder)
    assert log(one.folder, "b") == "w2"  # it finished there, and had crashed here


def test_a_later_crash_does_not_replace_what_finished(one: Place, two: Place) -> None:
    merge([one.folder], two.folder)
    assert log(two.folder, "b") == "w2"
    two.launch("w3", 3000.0, attempt=2, c=Outcome.FINISHED)
    one.launch("w4", 4000.0, attempt=2, c=Outcome.CRASHED)
    merge([one.folder], two.folder)
    assert (log(two.folder, "c"), standings(two.folder)["c"]) == ("w3", "finished")


def test_files_that_a_later_attempt_has_overwritten_are_taken_from_elsewhere(
    one: Place, tmp_path: Path
) -> None:
    """A copy was retried, and crashed over the files of the attempt that finished."""
    copy = Place(tmp_path, "copy")
    merge([one.folder], copy.folder)
    copy.launch("w5", 5000.0, attempt=2, a=Outcome.CRASHED)
    assert log(copy.folder, "a") == "w5"
    merge([one.folder], copy.folder)
    assert (log(copy.folder, "a"), standings(copy.folder)["a"]) == ("w1", "finished")


def test_lists_of_source_files_come_along(one: Place, two: Place) -> None:
    two.folder.sources_dir.mkdir()
    two.folder.source_list("abc").write_text("{}")
    merge([two.folder], one.folder)
    assert one.folder.source_list("abc").read_text() == "{}"


def test_merging_again_changes_nothing(one: Place, two: Place) -> None:
    merge([two.folder], one.folder)
    again = plan_merge([two.folder], one.folder)
    assert (again.journals, again.runs) == ({}, {})


def test_a_dry_run_writes_nothing(one: Place, two: Place, tmp_path: Path) -> None:
    target = GroupFolder(tmp_path / "all", "g")
    planned = plan_merge([one.folder, two.folder], target).plain()
    assert (planned["total"], planned["counts"]) == (3, {"finished": 2, "diverged": 1})
    assert (planned["copied"], planned["replaced"]) == (["a", "b", "c"], [])
    assert not target.runs_dir.exists()


def test_a_journal_file_that_has_grown_is_taken(one: Place, tmp_path: Path) -> None:
    copy = Place(tmp_path, "copy")
    merge([one.folder], copy.folder)
    one.launch("w1", 3000.0, attempt=2, b=Outcome.FINISHED)
    merge([one.folder], copy.folder)
    assert standings(copy.folder) == {"a": "finished", "b": "finished", "c": "waiting"}


def test_one_writer_with_two_stories_is_an_error_with_nothing_written(
    one: Place, two: Place
) -> None:
    two.launch("w1", 9000.0, a=Outcome.CRASHED)
    before = one.files()
    with pytest.raises(RecordError, match=r"w1\.jsonl are of one launch, but differ"):
        merge([two.folder], one.folder)
    assert one.files() == before


@pytest.mark.parametrize("held", ["source", "target"])
def test_nothing_is_merged_while_a_launch_works(one: Place, two: Place, held: str) -> None:
    folder = (two if held == "source" else one).folder
    with claim(folder, "L", here=this_host()), pytest.raises(BusyError):
        merge([two.folder], one.folder)
    assert standings(one.folder)["b"] == "crashed"


def test_a_place_is_not_merged_into_itself(one: Place) -> None:
    with pytest.raises(RecordError, match="same folder"):
        merge([one.folder], one.folder)
