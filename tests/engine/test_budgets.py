"""Room on the host, and what a launch does with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.engine.budgets import DiskBudget, cap_log, disk_budget, runs_that_fit
from sweeper.engine.job_queue import Job, JobQueue
from sweeper.engine.policy import Policy
from sweeper.errors import HostError
from sweeper.records.outcomes import Cause, CauseKind, Outcome

GB = 1024**3


def test_a_log_past_its_limit_keeps_head_and_tail_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with log.open("a") as writer:
        writer.write("".join(f"line {n}\n" for n in range(10_000)))
        writer.flush()
        assert cap_log(log, limit=10_000, kept=500)
        writer.write("after the cut\n")
    text = log.read_text()
    assert text.startswith("line 0\n")
    assert "bytes left out" in text
    assert text.endswith("line 9999\nafter the cut\n")
    assert len(text) < 1_200
    assert not cap_log(log, limit=10_000, kept=500)
    assert not cap_log(tmp_path / "missing.txt")


def test_a_nearly_full_disk_refuses_a_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disk_budget(tmp_path, tmp_path).shortage() is None
    monkeypatch.setattr("sweeper.engine.budgets.FLOOR_BYTES", 10**18)
    with pytest.raises(HostError, match=r"nearly full: .* free, at least 909495 TiB are needed"):
        disk_budget(tmp_path, tmp_path)


def test_a_wave_is_recycled_before_the_budget_is_reached(tmp_path: Path) -> None:
    budget = DiskBudget(tmp_path, tmp_path, 1000)
    assert not budget.recycle(400)
    assert budget.recycle(500)  # of two waves that overlap, each may have grown so far


@pytest.mark.parametrize(
    ("peaks", "available", "fit"),
    [({}, GB, 8), ({"a": GB}, 4 * GB, 3), ({"a": GB, "b": 2 * GB}, 4 * GB, 1), ({"a": GB}, 0, 1)],
)
def test_no_more_runs_at_once_than_their_measured_memory_allows(
    peaks: dict[str, int], available: int, fit: int
) -> None:
    assert runs_that_fit(peaks, available, slots=8) == fit


def test_starved_runs_are_tried_again_at_half_then_alone() -> None:
    jobs = [("p", (Job(f"r{n}", 1, {}),)) for n in range(4)]
    ledger = JobQueue([jobs], Policy(), slots=8)
    starved = Cause(CauseKind.OUT_OF_MEMORY, "killed by the kernel", "SIGKILL")
    assert ledger.next_wave() == (jobs, 8)
    ledger.settle("r0", 1, Outcome.CRASHED, starved)
    ledger.settle("r1", 1, Outcome.LOST, Cause(CauseKind.HOST, "gone"))
    assert not ledger.has_planned_work()
    assert ledger.next_wave() == ([("p", (Job("r1", 2, {}),))], 8)
    assert ledger.next_wave() == ([("p", (Job("r0", 2, {}),))], 4)
    ledger.settle("r0", 2, Outcome.CRASHED, starved)
    assert ledger.next_wave() == ([("p", (Job("r0", 3, {}),))], 1)
    ledger.settle("r0", 3, Outcome.CRASHED, starved)
    assert not ledger.has_work()


@pytest.mark.parametrize(("finished_meanwhile", "sick"), [(False, True), (True, False)])
def test_a_run_that_is_lost_again_and_again_while_none_finishes_tells_of_a_sick_host(
    finished_meanwhile: bool, sick: bool
) -> None:
    jobs = [("p", (Job(run, 1, {}),)) for run in ("a", "b")]
    ledger = JobQueue([jobs], Policy(), slots=2)
    ledger.next_wave()
    cause = Cause(CauseKind.HOST, "its worker died before the run began")
    for attempt in (1, 2):
        ledger.settle("a", attempt, Outcome.LOST, cause)
        assert ledger.sick_reason() is None
        ledger.next_wave()
    if finished_meanwhile:
        ledger.settle("b", 1, Outcome.FINISHED, None)
    ledger.settle("a", 3, Outcome.LOST, cause)
    assert not ledger.has_work()
    reason = ledger.sick_reason()
    assert bool(reason) is sick
    assert not sick or "run a was lost 3 times while none finished: its worker" in str(reason)


def test_the_brake_needs_failures_alike_and_nothing_finished() -> None:
    jobs = [("p", (Job(f"r{n}", 1, {}),)) for n in range(20)]
    cause = Cause(CauseKind.EXCEPTION, "no", "ValueError", "train.py:3")
    ledger = JobQueue([jobs], Policy(), slots=2)
    for n in range(7):
        ledger.settle(f"r{n}", 1, Outcome.CRASHED, cause)
        assert ledger.brake_reason() is None
    ledger.settle("r7", 1, Outcome.CRASHED, cause)
    assert "ValueError: no at train.py:3" in str(ledger.brake_reason())
    ledger.settle("r8", 1, Outcome.FINISHED, None)
    assert ledger.brake_reason() is None
    assert JobQueue([jobs], Policy(brake_after=0), slots=2).brake_reason() is None
