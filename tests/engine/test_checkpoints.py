"""Checkpoints within a run: whole or not at all, and which attempt goes on from which."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from support import Clock

from sweeper.engine.checkpoints import delete_settled, last_of, usable
from sweeper.engine.earlier_attempts import set_aside
from sweeper.engine.results import died_result
from sweeper.engine.run_context import RunContext
from sweeper.records import GroupFolder, RunFolder, read_rows
from sweeper.records.events import Ended
from sweeper.records.outcomes import Cause, CauseKind, Outcome


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def group(tmp_path: Path) -> GroupFolder:
    return GroupFolder(tmp_path, "g")


@pytest.fixture
def folder(group: GroupFolder) -> RunFolder:
    return group.run("abc").make()


def attempt(
    folder: RunFolder, number: int, clock: Clock, *, since: int = 0, sources: str = "1a"
) -> RunContext:
    """As a worker begins one."""
    checkpoint = usable(folder, since=since)
    set_aside(folder, number)
    run = RunContext(
        folder.id,
        folder,
        folder.path.parent / "stop",
        attempt=number,
        clock=clock,
        checkpoint=checkpoint,
        checkpoint_every_s=60.0,
        sources=sources,
    )
    run.begin()
    return run


def state(text: str) -> Any:
    return lambda place: (place / "state.txt").write_text(text)


def steps(folder: RunFolder) -> list[float]:
    return [row["step"] for row in read_rows(folder.metrics_file)]


def trained_to(run: RunContext, clock: Clock, last: int) -> None:
    """Log steps of ten seconds each, with a checkpoint wherever one is due."""
    first = 1 + (run.last_step or 0)
    for step in range(first, last + 1):
        clock.now += 10.0
        run.log(step, loss=1.0 / step)
        run.checkpoint(step, state(str(step)))
    run.flush()


def crashed(folder: RunFolder, run: RunContext, number: int) -> None:
    cause = {"kind": "exception", "message": "no"}
    result = {"attempt": number, "outcome": "crashed", "cause": cause}
    folder.result_file.write_text(json.dumps({**result, "restored_step": run.restored_step}))


def test_it_is_written_when_it_is_due_and_the_next_attempt_goes_on(
    folder: RunFolder, clock: Clock
) -> None:
    first = attempt(folder, 1, clock)
    assert first.restored is None
    trained_to(first, clock, 8)  # due at 60 s: after step 6
    second = attempt(folder, 2, clock)
    assert second.restored is not None
    assert (second.restored / "state.txt").read_text() == "6"
    assert (second.restored_step, second.last_step, second.metrics) == (6, 6, {"loss": 1 / 6})
    trained_to(second, clock, 9)
    assert steps(folder) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    times = [row["time"] for row in read_rows(folder.metrics_file)]
    assert times == [10.0 * step for step in range(1, 10)]
    assert steps(RunFolder(folder.attempts / "1")) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_run_that_is_asked_to_stop_writes_one_at_once(folder: RunFolder, clock: Clock) -> None:
    run = attempt(folder, 1, clock)
    run.log(1, loss=1.0)
    assert not run.checkpoint(1, state("1"))
    (folder.path.parent / "stop").touch()
    clock.now = 1.0
    assert run.checkpoint(1, state("1"))
    assert not run.checkpoint(1, state("1"))
    assert [place.name for place in folder.checkpoints.iterdir()] == ["1"]


def test_the_last_one_stays_until_the_next_is_complete(
    folder: RunFolder, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    run = attempt(folder, 1, clock)
    trained_to(run, clock, 6)
    clock.now += 60

    def fails(place: Path) -> None:
        (place / "state.txt").write_text("half")
        raise ValueError("a bug")

    def fills_the_disk(place: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ValueError, match="a bug"):
        run.checkpoint(7, fails)
    clock.now += 60
    assert not run.checkpoint(7, fills_the_disk)
    assert "[no checkpoint at step 7: [Errno 28] No space left" in capsys.readouterr().out
    assert [place.name for place in folder.checkpoints.iterdir()] == ["1"]
    found = last_of(folder)
    assert found is not None
    assert (found.step, (found.files / "state.txt").read_text()) == (6, "6")


def test_a_torn_one_is_passed_over(folder: RunFolder, clock: Clock) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    (folder.checkpoints / "2").mkdir()
    (folder.checkpoints / "2" / "about.json").write_text('{"version": 1, "ru')
    found = last_of(folder)
    assert found is not None
    assert found.step == 6


def test_an_attempt_that_can_not_use_it_begins_from_the_beginning(
    folder: RunFolder, clock: Clock
) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    second = attempt(folder, 2, clock)
    assert second.restored is not None
    second.log(1, loss=0.5)
    second.flush()
    assert steps(folder) == [1]
    assert (second.restored_step, second.metrics) == (None, {"loss": 0.5})


def test_an_attempt_that_does_not_ask_for_it_begins_from_the_beginning(
    folder: RunFolder, clock: Clock
) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    second = attempt(folder, 2, clock)
    second.log(7, loss=0.5)
    second.flush()
    assert steps(folder) == [7]
    assert second.restored_step is None


def test_training_again_never_goes_on_from_what_was_before(folder: RunFolder, clock: Clock) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    again = attempt(folder, 2, clock, since=2)
    assert again.restored is None
    trained_to(again, clock, 6)
    assert attempt(folder, 3, clock, since=2).restored is not None  # it was lost, say


def test_after_a_crash_it_goes_on_once(folder: RunFolder, clock: Clock) -> None:
    first = attempt(folder, 1, clock)
    trained_to(first, clock, 6)
    crashed(folder, first, 1)
    second = attempt(folder, 2, clock)
    assert second.restored is not None
    crashed(folder, second, 2)
    assert attempt(folder, 3, clock).restored is None
    assert not folder.checkpoints.exists()


def test_its_log_says_from_where_and_whether_the_code_has_changed(
    folder: RunFolder, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    assert attempt(folder, 2, clock).restored is not None
    said = "[goes on from the checkpoint of attempt 1 at step 6"
    assert capsys.readouterr().out == f"{said}]\n"
    changed = attempt(folder, 3, clock, sources="2b")
    assert changed.restored is not None
    assert "; the trainer's sources have changed since" in capsys.readouterr().out
    trained_to(changed, clock, 12)
    found = last_of(folder)
    assert found is not None
    assert found.sources == ("1a", "2b")


def test_what_died_without_a_word_still_went_on_from_there(folder: RunFolder, clock: Clock) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    assert attempt(folder, 2, clock).restored is not None
    cause = Cause(CauseKind.SIGNAL, "killed")
    result = died_result("abc", 2, Outcome.CRASHED, cause, folder, wall_s=1.0, ended=2.0)
    assert (result.restored_step, result.restored_sources, result.last_step) == (6, ("1a",), 6)


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(Outcome.FINISHED, False), (Outcome.DIVERGED, False), (Outcome.STOPPED, True)],
)
def test_it_goes_once_the_run_has_a_settled_outcome(
    group: GroupFolder, folder: RunFolder, clock: Clock, outcome: Outcome, kept: bool
) -> None:
    trained_to(attempt(folder, 1, clock), clock, 6)
    delete_settled(group, [Ended(run="abc", attempt=1, outcome=outcome)])
    assert folder.checkpoints.exists() is kept


def test_outside_of_a_launch_it_is_only_checked(tmp_path: Path) -> None:
    run = RunContext("abc", RunFolder(tmp_path), tmp_path / "stop")
    (tmp_path / "stop").touch()
    run.log(5, loss=1.0)
    assert run.restored is None
    assert not run.checkpoint(5, state("5"))
    with pytest.raises(ValueError, match="at step 4, but step 5 was logged before"):
        run.checkpoint(4, state("4"))
    with pytest.raises(TypeError, match="takes a function of a folder, but got None"):
        run.checkpoint(6, None)  # type: ignore[arg-type]
