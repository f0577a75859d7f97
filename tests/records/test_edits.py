"""Runs that were removed, names and notes, in the fold: whatever order the events come in."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import folded

from sweeper.records.outcomes import Outcome
from sweeper.records.state import STANDINGS

Line: TypeAlias = dict[str, Any]

RUNS = ["aaa", "bbb"]


def story(*events: Line, writer: str = "w", start: float = 100.0) -> list[Line]:
    """Events of one writer, a second apart."""
    return [
        {"v": 2, "writer": writer, "seq": seq, "time": start + seq, **event}
        for seq, event in enumerate(events)
    ]


def planned(*runs: str, **more: Any) -> Line:
    return {"event": "planned", "runs": {run: {"seed": i} for i, run in enumerate(runs)}, **more}


def started(run: str, attempt: int = 1) -> Line:
    return {"event": "started", "run": run, "attempt": attempt}


def ended(run: str, outcome: str = "finished", attempt: int = 1, **more: Any) -> Line:
    return {"event": "ended", "run": run, "attempt": attempt, "outcome": outcome, **more}


def removed(run: str) -> Line:
    return {"event": "removed", "run": run}


def noted(text: str, run: str | None = None) -> Line:
    return {"event": "noted", "run": run, "text": text}


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:
    """Launches and edits of three writers, with clocks that may disagree."""
    lines: list[Line] = []
    for writer in ("w1", "w2", "w3"):
        time = draw(st.integers(0, 20))
        for seq in range(draw(st.integers(0, 10))):
            time += draw(st.integers(0, 3))
            run, attempt = draw(st.sampled_from(RUNS)), draw(st.integers(1, 2))
            outcome = draw(st.sampled_from([str(outcome) for outcome in Outcome]))
            names = {run: draw(st.sampled_from("xy"))}
            event = draw(
                st.sampled_from(
                    [
                        planned(*RUNS, names=names),
                        started(run, attempt),
                        ended(run, outcome, attempt),
                        ended(run, outcome, attempt, of="w1"),
                        removed(run),
                        noted(draw(st.sampled_from(["", "a"])), draw(st.sampled_from([None, run]))),
                        {"event": "launch_ended", "launch": "L", "reason": "done"},
                    ]
                )
            )
            lines.append({"v": 2, "writer": writer, "seq": seq, "time": float(time), **event})
    return lines


@settings(max_examples=200)
@given(histories(), st.data())
def test_order_and_repetition_change_nothing(events: list[Line], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    assert folded(data.draw(st.permutations(events + again))) == folded(events)


@settings(max_examples=200)
@given(histories())
def test_after_the_last_removal_nothing_is_left_of_a_run(events: list[Line]) -> None:
    end = max((line["time"] for line in events), default=0.0) + 1
    state = folded([*events, *story(*map(removed, RUNS), writer="z", start=end)])
    assert [run.standing for run in state.runs.values() if run.standing != "waiting"] == []
    assert sum(state.counts()[word] for word in STANDINGS) == state.total


def test_a_removed_run_waits_and_is_trained_again() -> None:
    first = story(planned("aaa", "bbb"), started("aaa"), ended("aaa"), started("bbb"), ended("bbb"))
    gone = [*first, *story(removed("aaa"), writer="e", start=200.0)]
    assert {key: run.standing for key, run in folded(gone).runs.items()} == {
        "aaa": "waiting",
        "bbb": "finished",
    }
    again = [*gone, *story(started("aaa"), ended("aaa", "crashed"), writer="x", start=300.0)]
    assert folded(again).runs["aaa"].outcome is Outcome.CRASHED
    assert len(folded(again).runs["aaa"].attempts) == 1


def test_what_a_ghost_writes_of_a_removed_attempt_counts_no_more() -> None:
    ghost = story(planned("aaa"), started("aaa"), *[noted("")] * 200, ended("aaa"))
    assert ghost[-1]["time"] > 200.0
    state = folded([*ghost, *story(removed("aaa"), writer="e", start=200.0)])
    assert state.runs["aaa"].standing == "waiting"


def test_a_removed_run_that_the_sweep_no_longer_has_is_gone() -> None:
    old = {"event": "launched", "launch": "L1", "sweep_sha": "old"}
    new = {"event": "launched", "launch": "L2", "sweep_sha": "new"}
    events = story(
        old, planned("aaa"), started("aaa"), ended("aaa"), new, planned("bbb"), removed("aaa")
    )
    assert list(folded(events).runs) == ["bbb"]


def test_a_run_has_the_name_of_its_last_plan() -> None:
    events = story(planned("aaa", names={"aaa": "old"}), planned("aaa", names={"aaa": "new"}))
    assert folded(events).runs["aaa"].name == "new"
    assert folded([*events, *story(planned("aaa"), start=200.0)]).runs["aaa"].name is None


@pytest.mark.parametrize(("texts", "note"), [(["a"], "a"), (["a", "b"], "b"), (["a", ""], None)])
def test_the_last_note_counts(texts: list[str], note: str | None) -> None:
    notes = [event for text in texts for event in (noted(text, "aaa"), noted(text))]
    state = folded(story(planned("aaa", "bbb"), *notes))
    assert (state.note, state.runs["aaa"].note, state.runs["bbb"].note) == (note, note, None)


def test_a_note_outlives_the_removal_of_its_run() -> None:
    state = folded(story(planned("aaa"), noted("why", "aaa"), removed("aaa")))
    assert state.runs["aaa"].note == "why"
