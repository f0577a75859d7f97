"""The supervisor's decisions."""

from __future__ import annotations

import pytest

from sweeper.engine.policy import (
    Drain,
    Policy,
    Running,
    failing_alike,
    next_wave_is_due,
    overstayed,
    start_limit_s,
    try_again,
)
from sweeper.records.outcomes import Cause, CauseKind, Outcome

LOST, CRASHED, FINISHED = Outcome.LOST, Outcome.CRASHED, Outcome.FINISHED


@pytest.mark.parametrize(
    ("ends", "policy", "again"),
    [
        ([LOST], Policy(), True),
        ([LOST, LOST], Policy(), True),
        ([LOST, LOST, LOST], Policy(), False),
        ([LOST, CRASHED], Policy(), False),
        ([CRASHED], Policy(), False),
        ([CRASHED], Policy(retries=1), True),
        ([CRASHED, CRASHED], Policy(retries=1), False),
        ([LOST, CRASHED], Policy(retries=1), True),
        ([Outcome.TIMED_OUT], Policy(retries=1), True),
        ([FINISHED], Policy(retries=5), False),
        ([Outcome.DIVERGED], Policy(retries=5), False),
        ([Outcome.STOPPED], Policy(retries=5), False),
    ],
)
def test_retries(ends: list[Outcome], policy: Policy, again: bool) -> None:
    assert try_again([(outcome, None) for outcome in ends], policy) is again


def test_only_runs_past_their_timeout_overstay() -> None:
    running = {
        "old": Running("old", 1, 0, dispatched=0.0, began=1.0),
        "young": Running("young", 1, 1, dispatched=0.0, began=8.0),
        "not begun": Running("not begun", 1, 2, dispatched=0.0),
    }
    found = overstayed(running, 10.0, Policy(timeout_s=5.0))
    assert {run: cause.kind for run, cause in found.items()} == {"old": CauseKind.TIME_LIMIT}
    assert overstayed(running, 1e9, Policy()) == {}


@pytest.mark.parametrize(
    ("slots", "limit_s"), [(1, 121.0), (2, 122.0), (64, 184.0), (192, 300.0), (1000, 300.0)]
)
def test_more_slots_get_more_time_to_start(slots: int, limit_s: float) -> None:
    assert start_limit_s(slots) == limit_s


@pytest.mark.parametrize(
    ("active", "due"),
    [
        ([], True),
        ([Drain(100)], False),
        ([Drain(4)], True),
        ([Drain(100, run_s=60.0, startup_s=6.0)], False),
        ([Drain(100, run_s=0.2, startup_s=6.0)], True),  # gone before the next Ray has started
        ([Drain(100, run_s=0.0, startup_s=6.0)], False),
        ([Drain(0), Drain(9)], False),
    ],
)
def test_the_next_wave_starts_while_the_last_drains(active: list[Drain], due: bool) -> None:
    assert next_wave_is_due(active, slots=4) is due


def crash(place: str = "train.py:3", message: str = "no") -> tuple[Outcome, Cause]:
    return CRASHED, Cause(CauseKind.EXCEPTION, message, "ValueError", place)


def test_failures_alike_are_told_and_others_are_not() -> None:
    alike = [crash(message=f"bad value {n}") for n in range(8)]
    assert "the last 8 runs all ended as crashed" in str(failing_alike(alike, 8))
    assert failing_alike(alike[:7], 8) is None
    assert failing_alike([*alike[:7], crash("other.py:9")], 8) is None
    diverged = (Outcome.DIVERGED, Cause(CauseKind.NOT_FINITE, "nan"))
    assert failing_alike([diverged] * 8, 8) is None  # data, no fault


def test_what_strikes_anywhere_is_one_failure_wherever_it_struck() -> None:
    """As in the report: eight MemoryErrors on eight lines are one cause."""
    memory = [
        (CRASHED, Cause(CauseKind.OUT_OF_MEMORY, f"{n} GB", "MemoryError", f"train.py:{n}"))
        for n in range(8)
    ]
    assert str(failing_alike(memory, 8)).startswith("the last 8 runs all ended as crashed")
    values = [crash(place=f"train.py:{n}") for n in range(8)]
    assert failing_alike(values, 8) is None


def test_failures_without_a_place_are_alike_by_the_shape_of_their_message() -> None:
    """What was killed or ran out of time has no place; its message holds numbers of its own."""
    lost = [(LOST, Cause(CauseKind.HOST, f"its wave died at step {n}")) for n in range(8)]
    assert failing_alike(lost, 8) is not None
    other = (LOST, Cause(CauseKind.HOST, "no worker came up"))
    assert failing_alike([*lost[:7], other], 8) is None


def test_what_the_hosts_memory_was_too_small_for_is_tried_twice_more() -> None:
    starved = (CRASHED, Cause(CauseKind.OUT_OF_MEMORY, "killed by the kernel", "SIGKILL"))
    own_limit = (CRASHED, Cause(CauseKind.OUT_OF_MEMORY, "limit", "MemoryError"))
    assert try_again([starved], Policy())
    assert try_again([starved] * 2, Policy())
    assert not try_again([starved] * 3, Policy())
    assert not try_again([own_limit], Policy())
