"""Requests to stop: bound to one launch, looked for now and then, never fatal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweeper.errors import RecordError
from sweeper.records import GroupFolder
from sweeper.records.stop_requests import StopRequests, request_stop, requested


@pytest.fixture
def group(tmp_path: Path) -> GroupFolder:
    return GroupFolder(tmp_path, "g").make()


def test_nothing_is_asked_before_a_request(group: GroupFolder) -> None:
    assert requested(group, "5c1d09af") == 0


def test_a_request_reaches_its_launch_alone(group: GroupFolder) -> None:
    request_stop(group, "5c1d09af")

    assert requested(group, "5c1d09af") == 1
    assert requested(group, "09af5c1d") == 0


def test_a_request_to_stop_at_once_stands(group: GroupFolder) -> None:
    request_stop(group, "5c1d09af", now=True)
    request_stop(group, "5c1d09af")

    assert requested(group, "5c1d09af") == 2


def test_in_a_shared_group_others_can_read_a_request_whatever_the_umask(tmp_path: Path) -> None:
    shared = GroupFolder(tmp_path, "s").make(shared=True)
    umask = os.umask(0o077)
    try:
        request_stop(shared, "5c1d09af")
    finally:
        os.umask(umask)

    file = shared.stop_request("5c1d09af")
    assert (oct(file.stat().st_mode & 0o777), oct(file.parent.stat().st_mode & 0o777)) == (
        "0o640",
        "0o750",
    )


@pytest.mark.parametrize("text", ["", "[1]", '{"now": true}', '{"launch": "other", "now": true}'])
def test_what_is_no_request_to_this_launch_stops_nothing(group: GroupFolder, text: str) -> None:
    request_stop(group, "5c1d09af", now=True)
    group.stop_request("5c1d09af").write_text(text)

    assert requested(group, "5c1d09af") == 0


def test_a_launch_looks_once_a_second(group: GroupFolder) -> None:
    now = [0.0]
    requests = StopRequests(group, "5c1d09af", clock=lambda: now[0])
    assert requests.look() == 0
    request_stop(group, "5c1d09af")

    now[0] = 0.9
    assert requests.look() == 0
    now[0] = 1.0
    assert requests.look() == 1


def test_an_ended_launch_deletes_its_request_and_no_other(group: GroupFolder) -> None:
    request_stop(group, "5c1d09af")
    request_stop(group, "09af5c1d")

    StopRequests(group, "5c1d09af").forget()

    assert [file.name for file in group.requests_dir.iterdir()] == ["09af5c1d.json"]


def test_a_folder_that_cannot_be_written_is_reported(group: GroupFolder) -> None:
    group.requests_dir.write_text("a file in the way")

    with pytest.raises(RecordError, match="requests can't be made"):
        request_stop(group, "5c1d09af")
