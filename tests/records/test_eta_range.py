"""How uncertain the time left is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support import folded

from sweeper.records.eta import eta_range_s
from sweeper.records.state import GroupState


def after(walls: Sequence[float]) -> GroupState:
    """A launch on two slots, of which runs have finished after so many seconds each."""
    ends = [
        {"event": "ended", "run": f"r{i}", "attempt": 1, "outcome": "finished", "wall_s": wall}
        for i, wall in enumerate(walls)
    ]
    launched = {"event": "launched", "launch": "L", "slots": 2}
    return folded(
        {"v": 2, "writer": "w", "seq": seq, "time": 1.0 + seq, **event}
        for seq, event in enumerate([launched, *ends])
    )


def test_equal_runs_leave_no_doubt() -> None:
    state = after([10.0, 10.0])
    assert eta_range_s(state, state.launches, 50.0) == (50.0, 50.0)


def test_it_grows_with_the_spread_of_what_has_finished() -> None:
    # Ten runs of 10 s are left; the standard deviation of one is 2√2 s.
    state = after([8.0, 12.0])
    error = 8**0.5 * (10 + 10**2 / 2) ** 0.5 / 2
    assert eta_range_s(state, state.launches, 50.0) == pytest.approx((50 - error, 50 + error))


def test_one_finished_run_says_nothing_of_the_spread() -> None:
    state = after([8.0])
    assert eta_range_s(state, state.launches, 50.0) is None
