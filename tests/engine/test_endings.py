"""What a training returned or raised, judged: the same for launches and for `sweep rerun`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeper.engine.endings import ends_of
from sweeper.engine.run_context import RunContext
from sweeper.errors import Diverged
from sweeper.records import RunFolder
from sweeper.records.outcomes import Cause, CauseKind, Outcome

NewRun = Callable[[], RunContext]


@pytest.fixture
def new_run(tmp_path: Path) -> NewRun:
    def make() -> RunContext:
        folder = RunFolder(tmp_path / str(len(list(tmp_path.iterdir()))))
        folder.path.mkdir()
        return RunContext("r1", folder, tmp_path / "stop")

    return make


def test_metrics_that_are_returned_join_those_that_were_logged(new_run: NewRun) -> None:
    run = new_run()
    run.log(1, accuracy=0.5)
    assert ends_of(lambda: [{"loss": 0.25}], [run]) == [(Outcome.FINISHED, None)]
    assert run.metrics == {"accuracy": 0.5, "loss": 0.25}


def test_one_mapping_for_one_run_needs_no_list(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run()
    assert ends_of(lambda: {"loss": 0.25}, [run]) == [(Outcome.FINISHED, None)]
    assert run.metrics == {"loss": 0.25}
    assert "`train` must return one mapping per run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([{}, {}], "`train` must return None or one mapping per run (1), but got list of 2"),
        (
            [{"loss": None}],
            "`train` must return numbers, but its metric 'loss' is None",
        ),
        (0.5, "`train` must return None or one mapping per run (1), but got float"),
        (iter(()), "`train` must return None or one mapping per run (1), but got tuple_iterator"),
        ([0.5], "`train` must return None or one mapping per run (1), but got list with float"),
    ],
)
def test_what_no_trainer_may_return(new_run: NewRun, returned: Any, message: str) -> None:
    [(outcome, cause)] = ends_of(lambda: returned, [new_run()])
    assert outcome is Outcome.CRASHED
    assert cause is not None
    assert (cause.kind, cause.type, cause.message) == (CauseKind.EXCEPTION, "TypeError", message)


def test_one_mapping_for_two_runs_is_an_error(new_run: NewRun) -> None:
    ends = ends_of(lambda: {"loss": 1.0}, [new_run(), new_run()])
    assert [outcome for outcome, _ in ends] == [Outcome.CRASHED] * 2


def test_a_loss_that_is_returned_and_not_finite_is_a_divergence(new_run: NewRun) -> None:
    [(outcome, cause)] = ends_of(lambda: [{"loss": float("nan")}], [new_run()])
    assert outcome is Outcome.DIVERGED
    assert cause == Cause(CauseKind.NOT_FINITE, "the training returned loss nan")


@pytest.mark.parametrize("way", ["raised", "swallowed", "as another error"])
def test_a_loss_that_was_logged_and_not_finite_is_a_divergence_however_it_came_out(
    new_run: NewRun, way: str
) -> None:
    run = new_run()

    def train() -> None:
        if way == "raised":
            run.log(2, loss=float("inf"))
        with contextlib.suppress(Diverged):
            run.log(2, loss=float("inf"))
        if way == "as another error":
            raise RuntimeError("INTERNAL: CpuCallback error: Diverged")

    [(outcome, cause)] = ends_of(train, [run])
    assert (outcome, run.last_step) == (Outcome.DIVERGED, 2)
    assert cause is not None
    assert cause.message == "loss is inf at step 2"


def test_a_divergence_that_was_wrapped_is_one(new_run: NewRun) -> None:
    run = new_run()

    def train() -> None:
        try:
            raise Diverged("the solver gave up", step=7)
        except Diverged as error:
            raise RuntimeError("training failed") from error

    [(outcome, cause)] = ends_of(train, [run])
    assert outcome is Outcome.DIVERGED
    assert cause is not None
    assert cause.message == "training failed; from sweeper.errors.Diverged: the solver gave up"


def test_of_a_pack_only_the_run_that_diverged_has_diverged(new_run: NewRun) -> None:
    good, bad = new_run(), new_run()
    ends = ends_of(lambda: bad.log(1, loss=float("nan")), [good, bad])
    assert [outcome for outcome, _ in ends] == [Outcome.LOST, Outcome.DIVERGED]


def test_a_run_that_saw_the_stop_flag_is_stopped(new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    (tmp_path / "stop").touch()

    def train() -> None:
        assert run.should_stop()

    [(outcome, cause)] = ends_of(train, [run])
    assert outcome is Outcome.STOPPED
    assert cause is not None
    assert cause.kind is CauseKind.ASKED_TO_STOP
