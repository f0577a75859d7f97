"""`sweep stop`, on claims of this process and of other hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from sweeper.cli import app
from sweeper.cli.common import guarded
from sweeper.host.identity import this_host
from sweeper.records import GroupFolder, Shard, claim
from sweeper.records.stop_requests import requested

ELSEWHERE = replace(this_host(), name="node7", boot="another", namespace="n", machine="m", pid=42)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWEEPER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "runs"


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def launched(runs: Path, held: ExitStack, group: str, launch: str) -> GroupFolder:
    """A group on which a launch of this process works."""
    folder = GroupFolder(runs, group).make()
    held.enter_context(claim(folder, launch, here=this_host()))
    return folder


def test_the_only_group_at_work_is_asked(
    runs: Path, held: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = launched(runs, held, "g", "aaaa")
    GroupFolder(runs, "idle").make()

    assert guarded(app, ["stop"]) == 0

    here = this_host()
    assert capsys.readouterr().out == (
        "g: asked 1 launch to stop at the next step of its runs\n"
        f"  aaaa  host {here.name}, process {here.pid}\n"
        "next:\n  sweep watch g\n"
    )
    assert requested(folder, "aaaa") == 1


def test_launches_of_other_hosts_are_asked_too(
    runs: Path, held: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = GroupFolder(runs, "g").make()
    for launch, host, part in (("aaaa", this_host(), "1/2"), ("bbbb", ELSEWHERE, "2/2")):
        held.enter_context(claim(folder, launch, here=host, shard=Shard.parse(part), job="7"))

    assert guarded(app, ["stop", "g", "--now", "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    assert [(it["launch"], it["host"], it["lives"]) for it in answer["asked"]] == [
        ("aaaa", this_host().name, True),
        ("bbbb", "node7", None),
    ]
    assert [requested(folder, launch) for launch in ("aaaa", "bbbb")] == [2, 2]


def test_nothing_at_work_is_an_error(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GroupFolder(runs, "g").make()

    assert guarded(app, ["stop", "g"]) == 2

    error = "no launch works on group `g`: there is nothing to stop\n"
    assert capsys.readouterr().err == error


def test_several_groups_at_work_must_be_named(
    runs: Path, held: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [launched(runs, held, name, "aaaa") for name in ("g", "h")]

    assert guarded(app, ["stop"]) == 2

    error = "2 groups are being trained: `g`, `h`; name the one to stop\n"
    assert capsys.readouterr().err == error
    assert [requested(folder, "aaaa") for folder in folders] == [0, 0]
