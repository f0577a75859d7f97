"""The messages between supervisor and wave survive their pipe, and the docstring lists them."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from sweeper.engine import protocol
from sweeper.engine.protocol import (
    AnyMessage,
    Drained,
    Grant,
    Limit,
    LineReader,
    PackEnded,
    Ready,
    RunsLeft,
    RunStarted,
    SlotReleased,
    Task,
    TrainPack,
    WaveFailed,
    WorkerDied,
    WorkerExited,
    WorkerSetup,
    send,
)
from sweeper.engine.results import Result
from sweeper.records.outcomes import Cause, CauseKind, Outcome

CRASHED = Result(
    id="r1",
    attempt=2,
    outcome=Outcome.CRASHED,
    cause=Cause(CauseKind.EXCEPTION, "no\nluck «ü»", "ValueError", "a.py:3"),
    metrics={"loss": float("inf")},
    last_step=7,
    wall_s=1.5,
    started=10.0,
    ended=11.5,
    cpu_s=1.25,
    rss_peak_bytes=1 << 30,
    spoilt=True,
)
EXAMPLES: list[AnyMessage] = [
    Grant(1, (2, 3)),
    Limit(4),
    Ready(5.5),
    RunStarted("r1", 2, 0),
    PackEnded((CRASHED, Result("r2", 1, Outcome.FINISHED))),
    WorkerDied(("r1", "r2"), "it vanished"),
    SlotReleased(3),
    RunsLeft(("r3",)),
    Drained(0.5),
    WaveFailed("no Ray"),
    WorkerSetup((0, 1), "models.neural_ode", ("/a b",), "/scratch", None),
    TrainPack((Task("r1", 1, {"lr": 0.1}, "/runs/r1", 0, ("far",)),)),
    WorkerExited(-9),
]


def read_all(data: bytes) -> list[AnyMessage]:
    theirs, ours = os.pipe()
    reader = LineReader(theirs)
    os.write(ours, data)
    os.close(ours)
    try:
        return list(reader.read())
    finally:
        os.close(theirs)


def test_there_is_an_example_of_every_kind() -> None:
    assert [type(example) for example in EXAMPLES] == list(dict.fromkeys(get_args(AnyMessage)))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message: AnyMessage) -> None:
    theirs, ours = os.pipe()
    reader = LineReader(theirs)
    try:
        send(ours, message)
        assert reader.read() == [message]
        assert not reader.closed
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_docstring_lists_every_kind() -> None:
    assert protocol.__doc__ is not None
    names = [kind.__name__ for kind in get_args(AnyMessage)]
    assert [name for name in names if f"`{name}`" not in protocol.__doc__] == []


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b"[]",
        b"7",
        b'{"kind": "Grant"}',
        b'{"kind": "Unheard", "slot": 1}',
        b'{"kind": "Limit", "slots": 1, "more": 2}',
        b'{"kind": "PackEnded", "results": [{"id": "r1"}]}',
        b'{"kind": "PackEnded", "results": 7}',
    ],
)
def test_what_nobody_of_ours_has_sent_is_left_out(line: bytes) -> None:
    assert read_all(line + b'\n{"kind": "Limit", "slots": 3}\n') == [Limit(3)]


def test_an_unfinished_line_waits_for_its_end() -> None:
    theirs, ours = os.pipe()
    reader = LineReader(theirs)
    try:
        os.write(ours, b'{"kind": "Limit", ')
        assert reader.read() == []
        os.write(ours, b'"slots": 3}\n')
        assert reader.read() == [Limit(3)]
    finally:
        os.close(ours)
        os.close(theirs)
