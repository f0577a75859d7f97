"""Folders: names that are safe for every group, private modes, whole files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sweeper.errors import RecordError
from sweeper.records import (
    GroupFolder,
    JournalWriter,
    RunFolder,
    groups,
    read_events,
    read_json,
    write_atomically,
)
from sweeper.records.events import LaunchEnded
from sweeper.records.layout import LONGEST_FOLDER_NAME, folder_name, group_name

NASTY = [
    "two words",
    'it\'s "quoted"',
    "line\nbreak",
    "../up",
    "/abs",
    ".hidden",
    "50%",
    "ünï",
    "a/b",
]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_every_group_has_one_folder_of_its_own_and_its_name_comes_back(group: str) -> None:
    assume(len(group.encode()) * 3 <= LONGEST_FOLDER_NAME)
    name = folder_name(group)
    assert group_name(name) == group
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isprintable()
    assert not set(name) & set(" '\"$`\\;&|<>*?!~#(){}[]\0\n")


@pytest.mark.parametrize("group", NASTY)
def test_groups_lists_what_was_made(tmp_path: Path, group: str) -> None:
    folder = GroupFolder(tmp_path / "it's\n runs", group).make()
    assert groups(tmp_path / "it's\n runs") == [group]
    assert folder.path.parent == tmp_path / "it's\n runs"
    run = folder.run("abcdefghij").make()
    assert run.group == folder
    assert folder.run_ids() == ["abcdefghij"]


def test_a_plain_name_stays_as_it_is() -> None:
    assert folder_name("sweep-2BP-12-10") == "sweep-2BP-12-10"


@pytest.mark.parametrize("group", ["", "x" * 300, "ü/" * 120])
def test_names_that_no_file_system_takes(group: str) -> None:
    with pytest.raises(RecordError, match="name"):
        folder_name(group)


@pytest.mark.parametrize("run_id", ["", "..", "../x", "a/b", "a b", ".x", "a\n", "x" * 65])
def test_what_is_no_run_id_makes_no_path(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(RecordError, match="no run id"):
        GroupFolder(tmp_path, "g").run(run_id)


def test_no_file_name_is_used_twice(tmp_path: Path) -> None:
    group = GroupFolder(tmp_path, "g")
    run = group.run("a")
    for folder in (group, run):
        names = [
            getattr(folder, name)
            for name in dir(type(folder))
            if name.endswith(("_file", "_dir", "_folder")) and name != "runs_dir"
        ]
        assert len(set(names)) == len(names) >= 5
        assert all(path.parent == folder.path for path in names)


def test_all_folders_on_the_way_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run = GroupFolder(tmp_path / "deep" / "runs", "g").make().run("a").make()
        write_atomically(run.result_file, "{}")
    finally:
        os.umask(old)
    assert run.result_file.stat().st_mode & 0o777 == 0o600
    for path in run.result_file.relative_to(tmp_path).parents[:-1]:
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(RecordError, match="--runs-dir"):
        GroupFolder(tmp_path / "runs", "g").make()
    assert groups(tmp_path / "runs") == []


def test_a_group_without_a_journal_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert groups(tmp_path) == []
    assert groups(tmp_path / "missing") == []


def test_a_file_is_replaced_whole_and_leaves_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_atomically(path, '{"a": 1}')
    inode = path.stat().st_ino
    write_atomically(path, b'{"a": 2}')
    assert read_json(path) == {"a": 2}
    assert path.stat().st_ino != inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_atomically(path, '{"a": 1}')
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0\0", '{"a"'])
def test_a_small_file_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(content)
    assert read_json(path) is None
    assert read_json(tmp_path / "missing") is None


def test_a_run_folder_knows_its_group(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / folder_name("a b") / "runs" / "x")
    assert run.group == GroupFolder(tmp_path, "a b")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_share_that_cannot_sync_folders_or_files_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_sync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", no_sync)
    folder = GroupFolder(tmp_path / "runs", "g").make()
    write_atomically(folder.sweep_file, "text")
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(LaunchEnded(launch="L", reason="done"))
    assert len(read_events(folder.journal_dir)) == 1
    assert folder.sweep_file.read_text() == "text"


def test_a_disk_that_fails_to_sync_is_no_such_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_atomically(tmp_path / "file", "text")
