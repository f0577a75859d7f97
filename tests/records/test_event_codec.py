"""Journal events as lines: whole events come back equal, and damaged ones never raise."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.records import Cause, CauseKind, Outcome, journal
from sweeper.records.event_codec import VERSION, decode, encode
from sweeper.records.events import (
    KINDS,
    Ended,
    Evaluated,
    Event,
    Launched,
    LaunchEnded,
    Planned,
    Recorded,
    Started,
    WaveEnded,
    WaveStarted,
)

texts = st.text(min_size=1, max_size=6).filter(lambda text: text.isprintable())
integers = st.integers(-(2**63) + 1, 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False)
FIELD_VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "str": texts,
    "str | None": st.none() | texts,
    "bool": st.booleans(),
    "int": integers,
    "int | None": st.none() | integers,
    "float | None": st.none() | reals,
    "Outcome": st.sampled_from(Outcome),
    "Cause | None": st.none()
    | st.builds(Cause, st.sampled_from(CauseKind), texts, st.none() | texts, code=integers),
    "tuple[str, ...]": st.lists(texts, max_size=3).map(tuple),
    "Mapping[str, float]": st.dictionaries(texts, st.floats(allow_nan=False), max_size=3),
    "Mapping[str, str]": st.dictionaries(texts, texts, max_size=3),
    "Mapping[str, Any]": st.dictionaries(texts, st.none() | reals | texts, max_size=3),
    "Mapping[str, Mapping[str, Any]]": st.dictionaries(
        texts, st.dictionaries(texts, reals, max_size=2), max_size=3
    ),
}
whole_events = st.one_of(
    [
        st.builds(kind, **{item.name: FIELD_VALUES[str(item.type)] for item in fields(kind)})
        for kind in KINDS.values()
    ]
)


@given(whole_events, texts, st.integers(0, 2**62), reals)
def test_an_event_comes_back_equal(event: Event, writer: str, seq: int, time: float) -> None:
    recorded = Recorded(event, writer, seq, time)
    line = encode(recorded)
    assert "\n" not in line
    assert decode(json.loads(line)) == recorded


def test_a_line_is_readable_and_leaves_out_what_is_empty() -> None:
    event = Ended(run="a", attempt=2, outcome=Outcome.DIVERGED, metrics={"loss": math.nan})
    assert encode(Recorded(event, "host-1", 7, 12.5)) == (
        '{"v":2,"event":"ended","writer":"host-1","seq":7,"time":12.5,'
        '"run":"a","attempt":2,"outcome":"diverged","metrics":{"loss":"nan"}}'
    )
    assert VERSION == 2


def test_every_kind_is_in_the_union_and_in_the_journals_docstring() -> None:
    assert set(KINDS.values()) == set(get_args(Event))
    described = {
        name: tuple(" ".join(words.split()).split(", "))
        for name, words in re.findall(
            r"^- ``(\w+)``: (.*?)(?=\n- |\Z)", inspect.getdoc(journal) or "", re.M | re.S
        )
    }
    assert described == {
        name: tuple(item.name for item in fields(kind)) for name, kind in KINDS.items()
    }


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ({"event": "started", "run": "a"}, Started(run="a", attempt=1)),
        ({"event": "started", "run": "a", "attempt": "x"}, Started(run="a", attempt=1)),
        ({"event": "started", "attempt": 1}, None),
        ({"event": "ended", "run": "a", "attempt": 1}, None),
        ({"event": "ended", "run": "a", "outcome": "hibernated"}, None),
        ({"event": "evaluated", "run": "a", "metrics": {"loss": 1}}, None),
        ({"event": "wave_started", "wave": True}, None),
        ({"event": "wave_started", "wave": 1, "runs": ["a", "b"]}, WaveStarted(wave=1, runs=2)),
        ({"event": "wave_ended", "wave": 1, "reason": 7}, WaveEnded(wave=1, reason="")),
        ({"event": "launched", "cpus": 2**63, "new": 1}, Launched(launch="")),
        ({"event": "launched", "launch": "L", "purpose": 3}, Launched(launch="L")),
        ({"event": "launch_ended"}, LaunchEnded(launch="", reason="")),
        ({"event": "planned", "runs": {"a": 1}, "units": {"b": 2}}, Planned(runs={"a": {}})),
        (
            {"event": "evaluated", "run": "a\ud800", "outcome": "finished", "wall_s": "inf"},
            Evaluated(run="a?", attempt=1, outcome=Outcome.FINISHED),
        ),
        ({"event": "teleported", "run": "a"}, None),
        ({"event": ["started"], "run": "a"}, None),
        ({}, None),
    ],
)
def test_what_is_missing_or_of_the_wrong_type(line: dict[str, Any], event: Event | None) -> None:
    stamped = {"v": 1, "writer": "w", "seq": 3, "time": 1, **line}
    assert decode(stamped) == (None if event is None else Recorded(event, "w", 3, 1.0))


def test_a_stamp_that_is_missing_or_of_the_wrong_type() -> None:
    started = Started(run="a", attempt=1)
    line = {"event": "started", "run": "a", "attempt": 1}
    assert decode(line) == Recorded(started, "", -1, 0.0)
    assert decode({**line, "writer": 1, "seq": 0.5, "time": "nan"}) == Recorded(started, "", -1, 0)
