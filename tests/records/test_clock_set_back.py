"""A clock that is set back, in a launch or between two, changes no outcome."""

from __future__ import annotations

from pathlib import Path

from sweeper.records import Cause, CauseKind, JournalWriter, Outcome, fold, read_events, status
from sweeper.records.events import Ended, Event, Launched, LaunchEnded, Planned, Started
from sweeper.records.layout import GroupFolder


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


LOST = Cause(CauseKind.HOST, "its wave died")
RAISED = Cause(CauseKind.EXCEPTION, "no", "ValueError")


def launched(launch: str, sha: str = "a", total: int = 1) -> Launched:
    return Launched(launch=launch, sweep_sha=sha, total=total)


def planned(*runs: str) -> Planned:
    return Planned(runs={run: {} for run in runs})


def attempt(run: str, number: int, outcome: str, cause: Cause | None = None) -> list[Event]:
    end = Ended(run=run, attempt=number, outcome=Outcome(outcome), cause=cause)
    return [Started(run=run, attempt=number), end]


def test_the_latest_attempt_of_a_launch_decides(tmp_path: Path) -> None:
    clock = Clock(10_000.0)
    with JournalWriter(tmp_path, "w", clock=clock) as journal:
        journal.append(launched("one"), planned("run"))
        journal.append(*attempt("run", 1, "lost", cause=LOST))
        clock.now = 4_000.0
        journal.append(*attempt("run", 2, "crashed", cause=RAISED))
    run = fold(read_events(tmp_path)).runs["run"]
    assert run.outcome is Outcome.CRASHED
    assert [a.outcome for a in run.attempts] == ["lost", "crashed"]


def test_the_latest_launch_decides(tmp_path: Path) -> None:
    """The second launch works with another text, after the clock went back an hour."""
    with JournalWriter(tmp_path, "first", clock=Clock(10_000.0)) as journal:
        journal.append(launched("one", "old", total=2), planned("kept", "dropped"))
        journal.append(*attempt("kept", 1, "crashed", cause=RAISED))
        journal.append(LaunchEnded(launch="one", reason="done"))
    with JournalWriter(tmp_path, "second", clock=Clock(6_400.0)) as journal:
        journal.append(launched("two", "new", total=2), planned("kept", "added"))
        journal.append(*attempt("kept", 2, "diverged"))
        journal.append(*attempt("added", 1, "finished"))
        journal.append(LaunchEnded(launch="two", reason="done"))
    state = fold(read_events(tmp_path))
    assert [launch.id for launch in state.launches] == ["one", "two"]
    assert state.runs["kept"].outcome is Outcome.DIVERGED
    assert state.runs.keys() == {"kept", "added"}
    assert state.counts()["finished"] == 1


def test_times_shown_are_never_negative(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "group").make()
    clock = Clock(10_000.0)
    with JournalWriter(folder.journal_dir, "w", clock=clock) as journal:
        journal.append(launched("one"), planned("run"))
        clock.now = 4_000.0
        journal.append(Started(run="run", attempt=1))
        told = status(folder, now=4_001.0)
    assert told["wall_s"] >= 0
    assert all(run["since_s"] >= 0 for run in told["running"])
    assert told["eta_s"] is None or told["eta_s"] >= 0
