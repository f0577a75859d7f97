"""Dispatch: each pack exactly once, and to the slot that has its program."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.plan import Queue, choose

programs = st.sampled_from("abcde")
lines = st.lists(programs, max_size=30)


def test_a_slot_goes_on_with_its_program_then_opens_a_free_one_then_joins() -> None:
    waiting = ["a", "b", "a", "c"]
    assert choose(waiting, "c", frozenset("ab")) == 3
    assert choose(waiting, None, frozenset("a")) == 1
    assert choose(waiting, "x", frozenset("abc")) == 0
    assert choose(waiting, None, frozenset()) == 0
    with pytest.raises(ValueError, match="nothing waits"):
        choose([], None, frozenset())


@given(lines, st.lists(st.tuples(st.none() | programs, st.frozensets(programs)), max_size=40))
def test_the_queue_decides_as_the_plain_rule_does(
    line: list[str], asks: list[tuple[str | None, frozenset[str]]]
) -> None:
    queue = Queue((program, index) for index, program in enumerate(line))
    left = list(enumerate(line))
    for last, elsewhere in asks:
        assert len(queue) == len(left)
        assert list(queue) == [(program, index) for index, program in left]
        if not left:
            assert queue.take(last, elsewhere) is None
            continue
        place = choose([program for _, program in left], last, elsewhere)
        index, program = left.pop(place)
        assert queue.take(last, elsewhere) == (program, index)


@given(lines, st.integers(1, 5), st.data())
def test_every_pack_is_dispatched_exactly_once_whatever_the_order_of_completions(
    line: list[str], slots: int, data: st.DataObject
) -> None:
    queue = Queue((program, index) for index, program in enumerate(line))
    lost = data.draw(st.sets(st.integers(0, 29), max_size=3))
    running: dict[int, tuple[str, int]] = {}
    last: dict[int, str] = {}
    done: list[int] = []
    free = list(range(slots))
    while queue or running:
        while free and queue:
            slot = free.pop(data.draw(st.integers(0, len(free) - 1)))
            held = frozenset(program for program, _ in running.values())
            taken = queue.take(last.get(slot), held)
            assert taken is not None
            program, index = taken
            assert program == line[index]
            running[slot], last[slot] = (program, index), program
        slot = data.draw(st.sampled_from(sorted(running)))
        program, index = running.pop(slot)
        free.append(slot)
        if index in lost:  # its process died: back in line, once
            lost.discard(index)
            queue.add(program, index)
        else:
            done.append(index)
    assert sorted(done) == list(range(len(line)))


def test_few_programs_change_slots_seldom() -> None:
    """Two slots, two programs in turn: each slot compiles one of them."""
    queue = Queue((program, index) for index, program in enumerate("ab" * 20))
    last: dict[int, str | None] = {0: None, 1: None}
    compiled = []
    for turn in range(40):
        slot = turn % 2
        other = last[1 - slot]
        taken = queue.take(last[slot], frozenset() if other is None else frozenset({other}))
        assert taken is not None
        program, _ = taken
        if program != last[slot]:
            compiled.append((slot, program))
        last[slot] = program
    assert sorted(compiled) == [(0, "a"), (1, "b")]


def test_ten_thousand_waiting_packs_are_handed_out_quickly() -> None:
    queue = Queue((f"p{index % 2000}", index) for index in range(10_000))
    elsewhere = frozenset(f"p{index}" for index in range(192))
    began = time.process_time()
    taken = [queue.take(None, elsewhere) for _ in range(10_000)]
    spent = time.process_time() - began
    assert sorted(pack[1] for pack in taken if pack) == list(range(10_000))
    assert spent < 5  # 0.5 s on an idle core; walking the line would take minutes


def test_clear() -> None:
    queue = Queue([("a", 1), ("b", 2)])
    queue.clear()
    assert not queue
    assert queue.take(None, frozenset()) is None
    queue.add("a", 3)
    assert queue.take(None, frozenset()) == ("a", 3)
