"""The fold: whatever order, repetition or damage, the same journal tells the same story."""

from __future__ import annotations

import json
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import folded

from sweeper.records import STANDINGS, CauseKind, GroupState, Outcome
from sweeper.records.jsonl import encode, parse

Line: TypeAlias = dict[str, Any]

OUTCOMES = [str(outcome) for outcome in Outcome]
RUNS = ["aaa", "bbb", "ccc", "ddd"]


def story(*events: Line, writer: str = "w", start: float = 100.0) -> list[Line]:
    """Events of one writer, a second apart."""
    return [
        {"v": 1, "writer": writer, "seq": seq, "time": start + seq, **event}
        for seq, event in enumerate(events)
    ]


def launched(total: int = 4, **more: Any) -> Line:
    return {"event": "launched", "launch": "L", "total": total, **more}


def planned(*runs: str) -> Line:
    return {"event": "planned", "runs": {run: {"seed": i} for i, run in enumerate(runs)}}


def started(run: str, attempt: int = 1) -> Line:
    return {"event": "started", "run": run, "attempt": attempt, "slot": 0, "wave": 1}


def ended(run: str, outcome: str, attempt: int = 1, **more: Any) -> Line:
    return {"event": "ended", "run": run, "attempt": attempt, "outcome": outcome, **more}


@st.composite
def histories(draw: st.DrawFn, *, again: bool = False) -> list[Line]:
    """The events of two writers that share four runs, with clocks that may disagree.

    With `again`, launches may train runs again that have finished, and their code may change.
    """
    events: list[Line] = []
    for writer in ("w1", "w2"):
        time = draw(st.integers(0, 30))
        for seq in range(draw(st.integers(0, 14))):
            time += draw(st.integers(-2, 5))
            run = draw(st.sampled_from(RUNS[: 1 if again else 4]))
            attempt = draw(st.integers(1, 3))
            first = [launched(again=True)] if again and not seq else []
            event = draw(
                st.sampled_from(
                    first
                    or [
                        launched(
                            draw(st.integers(0, 6)),
                            sweep_sha=draw(st.sampled_from("xy")),
                            again=again and draw(st.booleans()),
                            sources=draw(st.sampled_from("pq")),
                        ),
                        {
                            "event": "sources_changed",
                            "sources": draw(st.sampled_from("rs")),
                            "unchanged_until": draw(st.none() | st.integers(0, 60)),
                        },
                        planned(*draw(st.lists(st.sampled_from(RUNS), max_size=4))),
                        started(run, attempt),
                        started(run, attempt),
                        ended(run, draw(st.sampled_from(OUTCOMES)), attempt),
                        ended(run, draw(st.sampled_from(OUTCOMES)), attempt, of="w1"),
                        {"event": "wave_started", "wave": attempt, "runs": 3},
                        {"event": "wave_ended", "wave": attempt, "reason": "done"},
                        {"event": "launch_ended", "launch": "L", "reason": "done"},
                    ]
                )
            )
            events.append({"v": 1, "writer": writer, "seq": seq, "time": float(time), **event})
    return events


@settings(max_examples=150)
@given(st.booleans().flatmap(lambda again: histories(again=again)), st.data())
def test_order_and_repetition_change_nothing(events: list[Line], data: st.DataObject) -> None:
    expected = folded(events)
    again = data.draw(st.lists(st.sampled_from(events), max_size=6)) if events else []
    shuffled = data.draw(st.permutations(events + again))
    assert folded(shuffled) == expected
    assert list(folded(shuffled).runs) == list(expected.runs)


@settings(max_examples=150)
@given(histories())
def test_counts_add_up_and_a_finished_run_stays_finished(events: list[Line]) -> None:
    finished: set[str] = set()
    for upto in range(len(events) + 1):
        state = folded(events[:upto])
        counts = state.counts()
        assert tuple(counts) == STANDINGS
        assert sum(counts.values()) == state.total
        assert min(counts.values()) >= 0
        now = {run.id for run in state.runs.values() if run.standing == "finished"}
        assert finished <= now
        finished = now


@given(histories())
def test_the_outcome_is_finished_or_the_latest(events: list[Line]) -> None:
    state = folded(events)
    for run in RUNS:
        ends = [e for e in events if e["event"] == "ended" and e["run"] == run]
        if not ends:
            assert run not in state.runs or state.runs[run].outcome is None
            continue
        # Several ends of one attempt count as one: the last of them.
        outcome = str(state.runs[run].outcome)
        if any(e["outcome"] == "finished" for e in ends):
            assert outcome == "finished"
        else:
            latest = max(ends, key=lambda e: (e["time"], e["writer"], e["seq"]))
            assert outcome == latest["outcome"]


@settings(max_examples=150)
@given(histories(again=True))
def test_a_launch_that_trains_again_decides_over_all_that_began_before(events: list[Line]) -> None:
    for run in folded(events).runs.values():
        ended = [attempt for attempt in run.attempts if attempt.outcome is not None]
        again = [attempt.started for attempt in ended if attempt.again]
        if run.deciding is None or not again:
            continue
        since = max(moment for moment in again if moment is not None)
        later = [attempt for attempt in ended if (attempt.started or attempt.ended or 0) > since]
        assert (run.deciding.started or run.deciding.ended or 0) >= since
        if any(attempt.outcome is Outcome.FINISHED for attempt in later):
            assert run.outcome is Outcome.FINISHED


@settings(max_examples=150)
@given(histories(), st.data())
def test_bytes_lost_at_either_writers_end_never_raise(
    events: list[Line], data: st.DataObject
) -> None:
    lines = {
        writer: "".join(encode(e) + "\n" for e in events if e["writer"] == writer).encode()
        for writer in ("w1", "w2")
    }
    kept = []
    for text in lines.values():
        torn = text[: data.draw(st.integers(0, len(text)))]
        kept += parse(torn)[0]
    state = folded(kept)
    assert sum(state.counts().values()) == state.total
    for run in folded(kept).runs.values():
        if run.standing == "finished":
            assert folded(events).runs[run.id].standing == "finished"


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from([*OUTCOMES, "nan", "\ud800", 10**400, "exception"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "message", "aaa", "loss"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KINDS = ["launched", "planned", "started", "ended", "launch_ended", "wave_started", "wave_ended"]
FIELDS = ["v", "writer", "seq", "time", "launch", "total", "runs", "run", "attempt", "of"]
FIELDS += ["outcome", "cause", "wave", "metrics", "wall_s"]
strange_events = st.builds(
    lambda kind, more: {**more, "event": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=8),
)


@settings(max_examples=150)
@given(st.lists(strange_events, max_size=8), st.randoms())
def test_no_event_however_strange_makes_it_raise(events: list[Line], random: Random) -> None:
    state = folded(events)
    assert sum(state.counts().values()) == state.total
    for run in state.runs.values():
        run.id.encode()
        assert run.standing in STANDINGS
        (run.cause.message if run.cause else "").encode()
    random.shuffle(events)
    assert repr(folded(events)) == repr(state)  # by text, because NaN differs from itself


def test_a_plain_launch() -> None:
    events = story(
        launched(3, host="h", pid=7, slots=2, pid_start="boot-1"),
        {"event": "planned", "headline": "test/mean", "runs": {r: {"lr": 0.1} for r in RUNS[:3]}},
        {"event": "wave_started", "wave": 1, "runs": ["aaa", "bbb"], "slots": 2},
        started("aaa"),
        started("bbb"),
        ended("aaa", "finished", wall_s=2.5, last_step=10, metrics={"test/mean": 2}, cpu_s=2.0),
        ended("bbb", "crashed", cause={"kind": "signal", "message": "killed", "type": "SIGKILL"}),
    )
    state = folded(events)
    assert state.counts() == {
        **dict.fromkeys(STANDINGS, 0),
        "finished": 1,
        "crashed": 1,
        "waiting": 1,
    }
    assert state.headline == "test/mean"
    assert state.launches[0].slots == 2
    assert state.waves[0].runs == 2
    run = state.runs["aaa"]
    assert (run.wall_s, run.last_step, run.metrics, run.axis_values) == (
        2.5,
        10,
        {"test/mean": 2},
        {"lr": 0.1},
    )
    cause = state.runs["bbb"].cause
    assert cause is not None
    assert cause.kind is CauseKind.SIGNAL
    assert cause.headline() == "SIGKILL: killed"
    assert folded([]) == GroupState()


def test_runs_are_in_planned_order() -> None:
    events = story(planned("ddd", "aaa"), started("aaa"), planned("bbb"), started("ccc"))
    assert list(folded(events).runs) == ["ddd", "aaa", "bbb", "ccc"]


def test_a_retry_that_finishes_beats_the_crash_and_the_crash_stays_readable() -> None:
    events = story(
        started("aaa", 1),
        ended("aaa", "crashed", 1, last_step=3),
        started("aaa", 2),
        ended("aaa", "finished", 2, last_step=9, metrics={"loss": 1.0}),
    )
    running = folded(events[:3]).runs["aaa"]
    assert running.standing == "running"
    assert running.outcome is Outcome.CRASHED
    run = folded(events).runs["aaa"]
    assert (run.standing, run.last_step, run.metrics) == ("finished", 9, {"loss": 1.0})
    assert [str(attempt.outcome) for attempt in run.attempts] == ["crashed", "finished"]


def test_a_finished_run_is_not_taken_back_by_a_later_end() -> None:
    events = story(started("aaa"), ended("aaa", "finished", last_step=9), ended("aaa", "lost"))
    run = folded(events).runs["aaa"]
    assert run.outcome is Outcome.FINISHED
    assert run.last_step == 9
    assert len(run.attempts) == 1


def test_an_attempt_without_an_end_stops_running_when_its_launch_ends() -> None:
    events = story(launched(1), planned("aaa"), started("aaa"))
    assert folded(events).runs["aaa"].standing == "running"
    state = folded([*events, *story({}, {}, {}, {"event": "launch_ended", "launch": "L"})[3:]])
    assert state.runs["aaa"].standing == "interrupted"


def test_a_goodbye_of_another_writer_ends_nothing() -> None:
    events = story(launched(1), started("aaa"))
    other = story({"event": "launch_ended", "launch": "L"}, writer="other", start=500)
    assert folded([*events, *other]).runs["aaa"].standing == "running"


def test_a_continued_writer_has_a_goodbye_only_for_what_came_before() -> None:
    events = story(
        launched(2),
        started("aaa"),
        {"event": "launch_ended", "launch": "L"},
        launched(2),
        started("bbb"),
    )
    state = folded(events)
    assert state.runs["aaa"].standing == "interrupted"
    assert state.runs["bbb"].standing == "running"


@pytest.mark.parametrize("hint", [{}, {"of": "dead"}])
def test_a_later_launch_closes_the_attempt_of_a_dead_one(hint: dict[str, Any]) -> None:
    dead = story(launched(1), started("aaa"), writer="dead")
    later = story(launched(1), ended("aaa", "lost", **hint), writer="later", start=900)
    run = folded([*dead, *later]).runs["aaa"]
    assert run.standing == "lost"
    assert [(a.writer, str(a.outcome)) for a in run.attempts] == [("dead", "lost")]


def test_two_writers_with_the_same_attempt_number_are_two_attempts() -> None:
    first = story(started("aaa"), ended("aaa", "crashed"), writer="w1")
    second = story(started("aaa"), ended("aaa", "timed out"), writer="w2", start=50)
    run = folded([*first, *second]).runs["aaa"]
    assert [(a.writer, str(a.outcome)) for a in run.attempts] == [
        ("w2", "timed out"),
        ("w1", "crashed"),
    ]
    assert run.outcome is Outcome.CRASHED  # the later one, by time


def test_an_attempt_whose_end_is_torn_away_does_not_run_beside_its_successor() -> None:
    events = story(launched(1), started("aaa", 1), started("aaa", 2), ended("aaa", "crashed", 2))
    run = folded(events).runs["aaa"]
    assert not run.running
    assert run.standing == "crashed"


def test_a_clock_that_jumps_back_does_not_reorder_one_writer() -> None:
    events = story(started("aaa"), {"event": "launch_ended", "launch": "L"})
    events[1]["time"] = events[0]["time"] - 3600
    assert folded(events).runs["aaa"].standing == "interrupted"


def test_runs_of_an_older_text_that_never_started_are_left_out() -> None:
    old = story(
        launched(3, sweep_sha="old"),
        planned("aaa", "bbb", "ccc"),
        started("aaa"),
        ended("aaa", "finished"),
        writer="w1",
    )
    new = story(launched(1, sweep_sha="new"), planned("bbb"), writer="w2", start=900)
    state = folded([*old, *new])
    assert list(state.runs) == ["aaa", "bbb"]
    assert state.total == 2
    same = story(launched(3, sweep_sha="old"), planned("ddd"), writer="w2", start=900)
    assert list(folded([*old, *same]).runs) == [*RUNS]


def test_a_launch_that_only_evaluates_changes_neither_total_nor_text() -> None:
    trained = story(launched(5, sweep_sha="one"), planned("aaa", "bbb"), writer="w1")
    evaluation = {"event": "launched", "launch": "E", "purpose": "evaluate"}
    state = folded([*trained, *story(evaluation, writer="w2", start=900)])
    assert [launch.purpose for launch in state.launches] == ["train", "evaluate"]
    assert (state.total, list(state.runs)) == (5, ["aaa", "bbb"])
    assert state.last_training == state.launches[0]
    other = {**evaluation, "purpose": "retry", "sweep_sha": "two", "total": 1}
    assert folded([*trained, *story(other, writer="w2", start=900)]).runs == {}


def test_the_last_launch_says_which_parameters_were_renamed() -> None:
    before = story(
        launched(2, sweep_sha="x"),
        {
            "event": "planned",
            "runs": {"aaa": {"alpha": 1}, "bbb": {"alpha": 2}},
            "fixed": {"optim.lr": 0.1, "optim.name": "adam"},
        },
        ended("aaa", "finished"),
        ended("bbb", "finished"),
    )
    renamed = {"alpha": "penalty", "optim": "optimiser", "optim.lr": "optimiser.rate"}
    after = story(launched(2, renamed=renamed, purpose="retry"), writer="v", start=200.0)
    state = folded([*before, *after])
    assert [dict(run.axis_values) for run in state.runs.values()] == [
        {"penalty": 1},
        {"penalty": 2},
    ]
    fixed = [run.fixed for run in state.runs.values()]
    assert fixed[0] == {"optimiser.rate": 0.1, "optimiser.name": "adam"}
    assert fixed[0] is fixed[1]  # thousands of runs share it
    undone = story(launched(2), writer="u", start=300.0)
    assert folded([*before, *after, *undone]).runs["aaa"].axis_values == {"alpha": 1}


def test_an_outcome_or_cause_of_a_newer_version() -> None:
    events = story(
        started("aaa"),
        ended("aaa", "hibernated"),
        started("bbb"),
        ended("bbb", "crashed", cause={"kind": "cosmic ray", "message": "bit 3", "energy": 1}),
    )
    state = folded(events)
    assert state.runs["aaa"].outcome is None
    cause = state.runs["bbb"].cause
    assert cause is not None
    assert cause.message == "cosmic ray: bit 3"


def test_which_writers_are_dead_decides_who_is_interrupted() -> None:
    state = folded(
        [
            *story(launched(3), planned("aaa", "bbb"), started("aaa"), writer="w1"),
            *story(launched(3), started("bbb"), writer="w2"),
        ]
    )
    corrected = state.without_writers({"w1"})
    assert [run.standing for run in corrected.runs.values()] == ["interrupted", "running"]
    assert sum(corrected.counts().values()) == 3
    assert json.dumps(corrected.counts())


def test_a_run_that_was_invalid_is_interrupted_like_any_other_once_it_starts() -> None:
    events = story(
        ended("aaa", "invalid", 0), started("aaa"), {"event": "launch_ended", "launch": "L"}
    )
    assert folded(events).runs["aaa"].standing == "interrupted"
    events[0]["outcome"] = "diverged"
    assert folded(events).runs["aaa"].standing == "diverged"


def test_a_finished_run_that_is_trained_again_keeps_its_outcome_until_the_new_attempt_ends() -> (
    None
):
    first = story(
        launched(1), planned("aaa"), started("aaa"), ended("aaa", "finished", last_step=1)
    )
    again = story(launched(1, again=True), started("aaa", 2), writer="w2", start=900)
    run = folded([*first, *again]).runs["aaa"]
    assert (run.outcome, run.last_step, run.standing) == (Outcome.FINISHED, 1, "running")
    end = story({}, {}, ended("aaa", "finished", 2, last_step=9), writer="w2", start=900)[2:]
    assert folded([*first, *again, *end]).runs["aaa"].last_step == 9


@pytest.mark.parametrize("outcome", ["crashed", "diverged", "stopped", "lost"])
def test_an_attempt_again_that_ends_badly_is_the_runs_outcome(outcome: str) -> None:
    first = story(launched(1), planned("aaa"), started("aaa"), ended("aaa", "finished"))
    again = story(
        launched(1, again=True), started("aaa", 2), ended("aaa", outcome, 2), writer="w2", start=900
    )
    assert str(folded([*first, *again]).runs["aaa"].outcome) == outcome
    # What starts later follows the usual rules, among what came since.
    later = story(started("aaa", 3), ended("aaa", "finished", 3), writer="w3", start=2000)
    last = story(started("aaa", 4), ended("aaa", "crashed", 4), writer="w4", start=3000)
    run = folded([*first, *again, *later, *last]).runs["aaa"]
    assert run.deciding is not None
    assert (run.deciding.writer, run.outcome) == ("w3", Outcome.FINISHED)


def test_a_ghost_that_began_before_the_run_was_trained_again_decides_nothing() -> None:
    ghost = story(launched(1), started("aaa"), writer="w1")
    again = story(
        launched(1, again=True),
        started("aaa", 2),
        ended("aaa", "crashed", 2),
        writer="w2",
        start=900,
    )
    late = story({}, {}, ended("aaa", "finished"), writer="w1", start=5000)[2:]
    assert folded([*ghost, *again, *late]).runs["aaa"].outcome is Outcome.CRASHED


def test_a_dead_launch_leaves_a_run_that_it_trained_again_interrupted() -> None:
    first = story(launched(1), planned("aaa"), started("aaa"), ended("aaa", "finished"))
    again = story(launched(1, again=True), started("aaa", 2), writer="w2", start=900)
    state = folded([*first, *again]).without_writers({"w2"})
    assert state.runs["aaa"].standing == "interrupted"


def test_attempts_after_an_edit_may_be_of_the_old_code_or_of_the_new() -> None:
    events = story(
        launched(4, sources="old"),
        started("aaa"),
        ended("aaa", "finished"),
        started("bbb"),
        {"event": "sources_changed", "sources": "new", "files": ["a.py"], "unchanged_until": 102.5},
        ended("bbb", "finished"),
        started("ccc"),
        ended("ccc", "finished"),
    )
    later = story(launched(4, sources="new"), started("ddd"), writer="w2", start=900)
    state = folded([*events, *later])
    assert {run.id: run.attempts[0].sources for run in state.runs.values()} == {
        "aaa": ("old",),
        "bbb": ("old", "new"),
        "ccc": ("old", "new"),
        "ddd": ("new",),
    }
    assert [change.files for change in state.launches[0].code_changes] == [("a.py",)]


def test_what_has_trained_for_long_is_of_the_code_that_its_worker_has_loaded() -> None:
    events = story(launched(1, sources="old"), started("aaa"))
    change = {"event": "sources_changed", "sources": "new", "unchanged_until": 300.0}
    late = story({}, {}, change, ended("aaa", "finished"), start=1000.0)[2:]
    assert folded([*events, *late]).runs["aaa"].attempts[0].sources == ("old",)
