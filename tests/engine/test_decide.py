"""The supervisor's decisions."""

from __future__ import annotations

import pytest

from sweeper.engine.decide import Policy, Running, next_wave_is_due, overstayed, try_again
from sweeper.records.outcomes import CauseKind, Outcome

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
    ("active", "due"),
    [
        ([], True),
        ([(100, 4)], False),
        ([(4, 4)], True),
        ([(0, 2)], True),
        ([(0, 2), (9, 2)], False),
    ],
)
def test_the_next_wave_starts_while_the_last_drains(
    active: list[tuple[int, int]], due: bool
) -> None:
    assert next_wave_is_due(active, slots=4) is due
