"""Which code trained the runs: what the records say where there is more than one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support import folded

from sweeper.records import GroupFolder, GroupState, make_folder
from sweeper.records.code import code_of, code_words, missing_folders, missing_text

Line = dict[str, Any]


def launch(
    writer: str, code: str | None, ends: Mapping[str, str], *, again: bool = False, at: float = 1e5
) -> list[Line]:
    """A launch that trained these runs, one after another, each for ten seconds."""
    events: list[Line] = [{"event": "launched", "launch": writer, "sources": code, "again": again}]
    for run, outcome in ends.items():
        events.append({"event": "started", "run": run, "attempt": 1})
        events.append({"event": "ended", "run": run, "attempt": 1, "outcome": outcome})
    return [
        {"v": 2, "writer": writer, "seq": seq, "time": at + 10 * seq, **event}
        for seq, event in enumerate(events)
    ]


def edited(writer: str, code: str, *files: str, until: float) -> Line:
    change = {"sources": code, "files": list(files), "unchanged_until": until}
    return {
        **{"v": 2, "writer": writer, "seq": 99, "time": until + 2},
        **{"event": "sources_changed", **change},
    }


@pytest.fixture
def folder(tmp_path: Path) -> GroupFolder:
    """A group whose records list the files of two states of the code."""
    folder = GroupFolder(tmp_path, "g").make()
    make_folder(folder.sources_dir)
    for digest, sha in (("one" * 4, "a"), ("two" * 4, "b")):
        files = {"train.py": sha, "model.py": "same"}
        folder.source_list(digest).write_text(json.dumps({"files": files}))
    return folder


ONE, TWO = "one" * 4, "two" * 4


def state_of(*launches: list[Line]) -> GroupState:
    return folded(line for lines in launches for line in lines)


def test_runs_of_one_code_need_no_word(folder: GroupFolder) -> None:
    state = state_of(launch("w1", ONE, {"a": "finished", "b": "crashed"}))
    found = code_of(folder, state)
    assert found["messages"] == []
    assert found["trained_by"] == [{"sources": [ONE], "runs": 1}]


def test_runs_of_two_states_of_the_code_are_counted_with_what_differs(folder: GroupFolder) -> None:
    first = launch("w1", ONE, {"a": "finished", "b": "diverged", "c": "crashed"})
    second = launch("w2", TWO, {"c": "finished"}, at=2e5)
    assert code_of(folder, state_of(first, second))["messages"] == [
        "not all runs were trained by the same code: 2 by oneoneon, 1 by twotwotw "
        "(changed: train.py)"
    ]
    again = launch("w3", TWO, {"a": "finished", "b": "finished"}, again=True, at=3e5)
    assert code_of(folder, state_of(first, second, again))["messages"] == []


def test_runs_from_before_the_code_was_recorded_are_said_to_be(folder: GroupFolder) -> None:
    first, second = launch("w1", None, {"a": "finished"}), launch("w2", ONE, {"b": "finished"})
    assert code_of(folder, state_of(first))["messages"] == []
    assert code_of(folder, state_of(first, second))["messages"] == [
        "not all runs were trained by the same code: 1 by code that was not recorded, 1 by oneoneon"
    ]


def test_an_edit_under_a_launch_is_said_as_long_as_it_leaves_runs_in_doubt(
    folder: GroupFolder,
) -> None:
    first = launch("w1", ONE, {"a": "finished", "b": "finished"})
    edit = edited("w1", TWO, "train.py", until=1e5 + 25)
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(1e5 - 35))
    found = code_of(folder, state_of(first, [edit]))
    assert found["messages"] == [
        f"the trainer's code changed while launch w1 ran (train.py): runs that started after "
        f"{since} may be trained by the new code"
    ]
    assert [edit["runs"] for edit in found["edits"]] == [1]  # the other had ended
    again = launch("w2", TWO, {"a": "finished", "b": "finished"}, again=True, at=2e5)
    assert code_of(folder, state_of(first, [edit], again))["messages"] == []
    assert (
        code_words(("a" * 16, "b" * 16, "c" * 16))
        == "aaaaaaaa or one of 2 later states of the code"
    )
    watched = code_of(folder, state_of(first, [edit], again), watched=["w1"])
    assert watched["messages"] == found["messages"]


def test_a_journal_of_a_stranger_reads_no_file_from_elsewhere(
    folder: GroupFolder, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps({"files": {"secret.py": "1"}}))
    first = launch("w1", "../../outside", {"a": "finished"})
    second = launch("w2", TWO, {"b": "finished"})
    third = launch("w3", 500 * "x", {"c": "finished"})
    assert code_of(folder, state_of(first, second, third))["changed"] == []


def test_finished_runs_without_a_folder_are_named(folder: GroupFolder) -> None:
    ends = {"aaa": "finished", "bbb": "finished", "ccc": "crashed", "ddd": "finished"}
    state = state_of(launch("w1", ONE, ends))
    folder.run("bbb").make()
    missing = missing_folders(folder, state.runs.values())
    assert missing == ["aaa", "ddd"]
    assert missing_text(missing) == (
        "2 finished runs have no folder any more; `sweep launch FILE aaa ddd --again` trains them "
        "again"
    )


def test_a_result_that_a_stopped_attempt_has_replaced_is_not_lost_without_a_word(
    folder: GroupFolder,
) -> None:
    first = launch("w1", ONE, {"aaa": "finished", "bbb": "finished", "ccc": "crashed"})
    again = {"aaa": "stopped", "bbb": "finished", "ccc": "stopped"}
    second = launch("w2", ONE, again, again=True, at=2e5)
    found = code_of(folder, state_of(first, second))
    assert found["undone"] == ["aaa"]
    assert found["messages"] == [
        "1 run that had finished before did not finish when trained again; `sweep show aaa --json` "
        "has the earlier results among its attempts"
    ]
    third = launch("w3", ONE, {"aaa": "finished"}, at=3e5)
    assert code_of(folder, state_of(first, second, third))["messages"] == []
