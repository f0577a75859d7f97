"""The screen of `sweep watch`, and a sweep as it stood, on records written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeper.cli.watch_screen import Reader, choices, screen
from sweeper.errors import RecordError
from sweeper.records import GroupFolder, JournalWriter
from sweeper.records.events import Ended, Launched, LaunchEnded, Planned, Started
from sweeper.records.metrics import append_rows
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.records.watching import snapshot_at, watched

START = 1_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> GroupFolder:
    """A launch of 100 s with one crash, one divergence and one finished run of three."""
    group = GroupFolder(tmp_path, "heads").make()
    now = [START]

    def at(seconds: float, *events: Any) -> None:
        now[0] = START + seconds
        journal.append(*events)

    with JournalWriter(group.journal_dir, "w", clock=lambda: now[0], after=0.0) as journal:
        at(0, Launched(launch="L1", host="node7", pid=812, total=3, slots=2, to_train=3))
        at(1, Planned(runs={f"run{i}": {"m.lr": 0.1 * i} for i in range(1, 4)}))
        at(10, Started(run="run1", attempt=1, slot=0), Started(run="run2", attempt=1, slot=1))
        bad = Cause(CauseKind.EXCEPTION, "bad\x1b head", "ValueError", "train.py:7")
        at(30, Ended(run="run2", attempt=1, outcome=Outcome.CRASHED, cause=bad, wall_s=20.0))
        at(31, Started(run="run3", attempt=1, slot=1))
        at(90, Ended(run="run1", attempt=1, outcome=Outcome.FINISHED, rss_peak_bytes=3 << 20))
        at(95, Ended(run="run3", attempt=1, outcome=Outcome.DIVERGED, cause=bad))
        at(100, LaunchEnded(launch="L1", reason="done"))
    for run in ("run1", "run3"):
        rows = [{"step": 10 * i, "time": float(i), "loss": 1 / (i + 1)} for i in range(60)]
        append_rows(group.run(run).make().metrics_file, rows)
    return group


def then(folder: GroupFolder, seconds: float) -> dict[str, Any]:
    moment = START + seconds
    return watched(folder, snapshot_at(folder, moment), moment, past=True)


def test_the_sweep_as_it_stood(folder: GroupFolder) -> None:
    seen = then(folder, 40)

    assert {word: n for word, n in seen["counts"].items() if n} == {"crashed": 1, "running": 2}
    assert [(it["id"], it["step"], it["steps_per_s"], it["host"]) for it in seen["running"]] == [
        ("run1", 300, 10.0, "node7"),
        ("run3", 90, 10.0, "node7"),
    ]
    assert seen["launches"][0]["alive"] is True
    assert then(folder, 100)["launches"] == []


def test_before_its_first_event_there_is_nothing_to_show(folder: GroupFolder) -> None:
    with pytest.raises(RecordError, match="no records of that time yet"):
        then(folder, -1)


def body(folder: GroupFolder, width: int, height: int, reader: Reader | None = None) -> list[str]:
    """The screen without its first line, which has the local time."""
    return screen(then(folder, 40), reader or Reader(), width, height)[1:]


def test_at_80_columns(folder: GroupFolder) -> None:
    assert body(folder, 80, 10, Reader(place=1)) == [
        "█" * 10 + "░" * 20,
        "launch L1, host node7, process 812, 2 slots",
        "",
        "  slot 0   run1  step 300  10.0/s loss 0.0323  lr=0.1",
        "> slot 1   run3  step 90   10.0/s loss 0.100   lr=0.3",
        "  crashed  run2  10 s ago                      ValueError: bad\\x1b head  lr=0.2",
        "",
        "",
        "q quit  j/k move  o outcome  enter log  (showing running and failed)",
    ]


def test_at_200_columns_everything_has_room(folder: GroupFolder) -> None:
    assert body(folder, 200, 10)[5].endswith("lr=0.2")


@pytest.mark.parametrize(("width", "height"), [(40, 10), (20, 5), (1, 1), (300, 100)])
def test_no_screen_is_larger_than_its_terminal(
    folder: GroupFolder, width: int, height: int
) -> None:
    lines = screen(then(folder, 40), Reader(), width, height)
    assert len(lines) == height
    assert max(map(len, lines)) <= width


def test_one_outcome_alone(folder: GroupFolder) -> None:
    assert choices(then(folder, 40)) == [None, "running", "crashed"]
    shown = body(folder, 80, 10, Reader(outcome="crashed"))
    assert shown[3].startswith("> crashed  run2")
    assert shown[4] == ""


def test_a_log_takes_the_place_of_the_list(folder: GroupFolder) -> None:
    shown = body(folder, 80, 10, Reader(log=("log of run1:", "step 1", "\x1b[2J")))
    assert shown[3:6] == ["log of run1:", "step 1", "\\x1b[2J"]
