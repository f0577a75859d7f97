"""Conditions that tell bad runs from others: planted ones, noise, and every one by brute force."""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sweeper.diagnosis.beam_search import CHANCE, LEAST_PRECISION, LEAST_RECALL
from sweeper.diagnosis.bitmasks import Points, mask_of
from sweeper.diagnosis.exact import LONG_LIST, separate
from sweeper.diagnosis.rules import Choice, Condition, Contrast, log_tail
from sweeper.records.parameters import ABSENT

Row: TypeAlias = Mapping[str, Any]
Test: TypeAlias = Callable[[Row], bool]


def product(**axes: Sequence[Any]) -> list[Row]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def grid() -> list[Row]:
    """1,620 runs on six axes, of which three have numbers in no order."""
    axes: dict[str, list[Any]] = {
        "data.dataset": [f"complex_TBP_planar_{n}_train" for n in (1, 10, 100)],
        "segments": [[4], [18], [200]],
        "width": [64, 16, 128, 32],
        "activation": ["tanh", "relu", "elu"],
        "lr": [1e-3, 0.1, 1e-2],
        "seed": [0, 1, 2, 3, 4],
    }
    return product(**axes)


def found(rows: Sequence[Row], bad: Test, among: Test | None = None) -> Condition | None:
    """What is found for the rows for which `bad` holds against the other ones."""
    chosen = [place for place, row in enumerate(rows) if among is None or among(row)]
    wrong = [place for place in chosen if bad(rows[place])]
    right = [place for place in chosen if not bad(rows[place])]
    return separate(Points(rows), mask_of(wrong, len(rows)), mask_of(right, len(rows)))


def words(condition: Condition | None) -> list[tuple[str, str, list[Any]]]:
    assert condition is not None
    return [(atom.axis, atom.relation, list(atom.values)) for atom in condition.atoms]


def admits(condition: Condition, row: Row) -> bool:
    """Whether a row is under a condition: written anew, to check the bits."""
    holds: dict[str, Callable[[Any, Sequence[Any]], bool]] = {
        "=": lambda value, values: value == values[0],
        "in": lambda value, values: value in values,
        ">=": lambda value, values: value >= values[0],
        "<=": lambda value, values: value <= values[0],
    }
    return all(holds[a.relation](row.get(a.axis), a.values) for a in condition.atoms)


axis_values: st.SearchStrategy[list[Any]] = st.sampled_from(
    [["x", "y"], ["x", "y", "z"], [0.1, 1, 10], [1, 2, 3, 4], [[1], [2], [3]]]
)


@st.composite
def groups(draw: st.DrawFn) -> list[Row]:
    """A grid, perhaps with holes, of two to four axes."""
    names = draw(st.sampled_from([["a", "b"], ["a", "b", "seed"], ["seed", "a", "b", "c"]]))
    rows = product(**{name: draw(axis_values) for name in names})
    if draw(st.booleans()):
        kept = draw(
            st.lists(st.sampled_from(range(len(rows))), min_size=2, max_size=30, unique=True)
        )
        rows = [rows[place] for place in sorted(kept)]
    return rows


@st.composite
def planted(draw: st.DrawFn) -> tuple[list[Row], list[int], int]:
    """A group, and the part of it that a conjunction of one to three atoms admits."""
    rows = draw(groups())
    axes = draw(st.lists(st.sampled_from(sorted(rows[0])), min_size=1, max_size=3, unique=True))
    admitted = {}
    for axis in axes:
        values = [row[axis] for row in rows]
        chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
        admitted[axis] = chosen
    bad = [i for i, row in enumerate(rows) if all(row[a] in v for a, v in admitted.items())]
    return rows, bad, len(axes)


PLANTED: dict[str, tuple[Test, list[tuple[str, str, list[Any]]]]] = {
    "one axis": (
        lambda row: row["activation"] == "elu",
        [("activation", "=", ["elu"])],
    ),
    "one axis, several values": (
        lambda row: row["activation"] != "relu",
        [("activation", "in", ["tanh", "elu"])],
    ),
    "a lower bound": (lambda row: row["width"] > 16, [("width", ">=", [32])]),
    "an upper bound": (lambda row: row["lr"] < 0.1, [("lr", "<=", [0.01])]),
    "inner values": (lambda row: row["width"] in (32, 64), [("width", "in", [32, 64])]),
    "two axes": (
        lambda row: (
            row["segments"] == [200] and row["data.dataset"] == "complex_TBP_planar_1_train"
        ),
        [
            ("data.dataset", "=", ["complex_TBP_planar_1_train"]),
            ("segments", "=", [[200]]),
        ],
    ),
    "three axes": (
        lambda row: row["lr"] >= 1e-2 and row["width"] == 32 and row["activation"] != "tanh",
        [("width", "=", [32]), ("activation", "in", ["relu", "elu"]), ("lr", ">=", [0.01])],
    ),
    "a seed": (lambda row: row["seed"] == 3, [("seed", "=", [3])]),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_condition_is_found(name: str) -> None:
    bad, expected = PLANTED[name]
    condition = found(grid(), bad)
    assert words(condition) == expected
    assert condition is not None
    assert condition.exact
    number = sum(map(bad, grid()))
    assert (condition.bad_in, condition.total_in) == (number, number)
    assert (condition.bad_out, condition.total_out) == (0, len(grid()) - number)
    assert condition.chance < 1e-9


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("draw", range(5))
def test_a_planted_condition_is_found_under_noise(name: str, draw: int) -> None:
    planted, expected = PLANTED[name]
    chance = random.Random(draw)
    flipped = [chance.random() < 0.05 for _ in grid()]
    rows = [{**row, "flipped": flip} for row, flip in zip(grid(), flipped, strict=True)]
    points = Points([{key: row[key] for key in row if key != "flipped"} for row in rows])
    bad = mask_of([i for i, row in enumerate(rows) if planted(row) != row["flipped"]], len(rows))
    condition = separate(points, bad, mask_of(range(len(rows)), len(rows)) & ~bad)
    assert words(condition) == expected
    assert condition is not None
    assert not condition.exact
    assert condition.chance < CHANCE
    under = [row for row in rows if planted(row)]
    assert condition.total_in == len(under)
    assert condition.bad_in == sum(not row["flipped"] for row in under)
    assert condition.bad_in + condition.bad_out == bad.bit_count()
    assert (
        separate(points, bad, mask_of(range(len(rows)), len(rows)) & ~bad, approximate=False)
        is None
    )


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_noise_is_not_explained(share: float) -> None:
    rows = product(a=list("xyz"), b=[1, 2, 3, 4], c=[[1], [2]], d=[0.1, 1.0], seed=[0, 1, 2])
    points, everything = Points(rows), mask_of(range(len(rows)), len(rows))
    chance = random.Random(7)
    explained = 0
    for _ in range(50):
        bad = mask_of([i for i in range(len(rows)) if chance.random() < share], len(rows))
        condition = separate(points, bad, everything & ~bad) if bad else None
        # Three runs can be told apart by accident; but then it says that this may be chance.
        explained += condition is not None and (not condition.exact or condition.chance < CHANCE)
    assert explained <= 1  # expected are at most 0.05


def test_a_weak_tendency_is_none() -> None:
    """More bad runs than elsewhere, no accident either, but of no use to anybody."""
    chance = random.Random(3)
    rows = product(a=list("xy"), b=list(range(10)), c=list(range(10)), d=list(range(10)))
    rows = [{**row, "n": chance.random()} for row in rows]
    tests = {row["n"]: row["n"] < (0.3 if row["a"] == "x" else 0.1) for row in rows}
    bare = [{key: row[key] for key in "abcd"} for row in rows]
    bad = mask_of([i for i, row in enumerate(rows) if tests[row["n"]]], len(rows))
    assert separate(Points(bare), bad, mask_of(range(len(rows)), len(rows)) & ~bad) is None


def test_part_of_the_bad_runs_can_have_their_own_condition() -> None:
    """Two regions: no conjunction is both, but the greater one is worth telling."""
    condition = found(
        grid(),
        lambda row: row["width"] == 128 or (row["activation"] == "tanh" and row["lr"] == 0.1),
    )
    assert words(condition) == [("width", "=", [128])]
    assert condition is not None
    assert condition.bad_in == condition.total_in
    assert condition.bad_out > 0
    assert not condition.exact


def test_a_condition_for_few_of_the_bad_runs_is_none() -> None:
    """A value under which all crash, while the same cause strikes anywhere else too."""
    chance = random.Random(4)
    rows = product(a=[f"a{i}" for i in range(12)], b=list(range(10)), c=list(range(10)))
    for elsewhere, expected in ((0.1, [("a", "=", ["a0"])]), (0.25, None)):
        struck = {id(row) for row in rows if row["a"] == "a0" or chance.random() < elsewhere}

        def is_struck(row: Row, struck: set[int] = struck) -> bool:
            return id(row) in struck

        condition = found(rows, is_struck)
        assert (condition and words(condition)) == expected


def test_a_longer_condition_must_pay_for_its_length() -> None:
    """One run under the condition finished: to shut its value out too would fit, and mislead."""
    names = [f"b{i}" for i in range(40)]
    without = [name for name in names if name != "b7"]
    for times, expected in (
        (1, [("a", "=", [1])]),
        # Where all ten runs with a value finished, the value is part of the truth.
        (10, [("a", "=", [1]), ("b", "in", without)]),
    ):
        rows = product(a=[0, 1], b=names, c=list(range(times)))
        chosen = [
            # The last one is there so that nothing is exact.
            (row["a"] == 1 and row["b"] != "b7") or list(row.values()) == [0, "b3", 0]
            for row in rows
        ]
        bad = mask_of([i for i, is_bad in enumerate(chosen) if is_bad], len(rows))
        condition = separate(Points(rows), bad, mask_of(range(len(rows)), len(rows)) & ~bad)
        assert words(condition) == expected


def test_a_tendency_in_few_runs_is_none() -> None:
    """8 of 10 under it and 2 of 20 others are an accident, ten times as many are not."""
    bad = {("x", i) for i in (0, 1, 3, 4, 5, 7, 8, 9)} | {("y", 3), ("z", 8)}

    def of(times: int) -> Condition | None:
        rows = product(a=list("xyz"), b=list(range(10)), c=list(range(times)))
        return found(rows, lambda row: (row["a"], row["b"]) in bad)

    assert of(1) is None
    assert words(of(10))[0] == ("a", "=", ["x"])


def test_seeds_come_last_under_noise_too() -> None:
    rows = [{"seed": i % 4, "head": "abcd"[i % 4], "n": i} for i in range(200)]
    bare = [{key: row[key] for key in ("seed", "head")} for row in rows]
    bad = mask_of([i for i in range(200) if (i % 4 == 2) != (i in {2, 31})], 200)
    condition = separate(Points(bare), bad, mask_of(range(200), 200) & ~bad)
    assert words(condition) == [("head", "=", ["c"])]


def test_seeds_come_last() -> None:
    rows = product(seed=[0, 1], head=["a", "b"])
    chosen = [rows[0], rows[3]]  # seed and head move together
    assert words(found(chosen, lambda row: row["seed"] == 1)) == [("head", "=", ["b"])]
    both = [{"my.seed": row["seed"], "zed": row["head"]} for row in chosen]
    assert words(found(both, lambda row: row["zed"] == "b")) == [("zed", "=", ["b"])]
    # More values, but no seed.
    rows = [{"seed": 0, "head": "a"}, {"seed": 0, "head": "b"}, {"seed": 1, "head": "c"}]
    assert words(found(rows, lambda row: row["seed"] == 0)) == [("head", "in", ["a", "b"])]


def test_of_axes_that_move_together_the_first_is_named() -> None:
    rows = [{"one": i, "two": f"w{i}", "three": -i} for i in range(4)]
    assert words(found(rows, lambda row: row["one"] == 2)) == [("one", "=", [2])]


def test_constant_axes_and_unknown_values_do_no_harm() -> None:
    rows: list[Row] = [
        {"a": 1, "b": None},
        {"a": 1, "b": True},
        {"a": 1},
        {"a": 1, "b": 1},
        {"a": 1.0, "b": "1"},
    ]
    assert words(found(rows, lambda row: row.get("b") is True)) == [("b", "=", [True])]
    condition = found(rows, lambda row: "b" in row and row["b"] is None)
    assert words(condition) == [("b", "=", [None])]
    condition = found(rows, lambda row: "b" not in row)
    assert words(condition) == [("b", "=", [ABSENT])]
    assert condition is not None
    assert condition.total_in == 1


def test_nothing_tells_equal_runs_apart() -> None:
    rows = [{"a": 1}, {"a": 1}]
    assert separate(Points(rows), 1, 2) is None
    assert separate(Points([{}, {}]), 1, 2) is None


def test_without_others_the_condition_is_every_run() -> None:
    condition = separate(Points(product(a=[1, 2], b=[3, 4])), 15, 0)
    assert condition is not None
    assert condition.atoms == ()
    assert (condition.bad_in, condition.total_in, condition.total_out) == (4, 4, 0)
    assert condition.exact


def test_runs_on_neither_side_count_for_nothing() -> None:
    rows = grid()
    condition = found(
        rows,
        lambda row: row["activation"] == "elu" and row["seed"] == 0,
        among=lambda row: row["seed"] == 0 or row["activation"] == "tanh",
    )
    assert condition is not None
    assert words(condition) == [("activation", "=", ["elu"])]
    assert condition.total_in + condition.total_out == sum(
        row["seed"] == 0 or row["activation"] == "tanh" for row in rows
    )


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_what_is_found_depends_on_the_two_sides_alone(data: st.DataObject) -> None:
    rows = data.draw(groups())
    bad = data.draw(st.sets(st.sampled_from(range(len(rows))), min_size=1))
    bits = mask_of(bad, len(rows))
    others = mask_of(range(len(rows)), len(rows)) & ~bits
    more = [*rows, *(dict.fromkeys(rows[0], -1) for _ in range(3)), {"new": 1}, {"new": 2}]
    assert separate(Points(rows), bits, others) == separate(Points(more), bits, others)


def test_a_long_list_of_runs_one_by_one_is_no_condition() -> None:
    chance = random.Random(1)
    rows: list[Row] = [{"seed": i, "head": "ab"[i % 2]} for i in range(500)]
    few = set(chance.sample(range(500), LONG_LIST))
    many = set(chance.sample(range(500), LONG_LIST + 1))
    condition = found(rows, lambda row: row["seed"] in few)
    assert condition is not None
    assert condition.exact
    assert condition.chance == 1.0  # and it says that this may be chance
    assert found(rows, lambda row: row["seed"] in many) is None
    # A range says more than its values.
    between = found(rows, lambda row: 100 <= row["seed"] < 200)
    assert words(between) == [("seed", ">=", [100]), ("seed", "<=", [199])]
    # Many values are fine where each stands for many runs.
    rows = product(name=[f"n{i}" for i in range(20)], b=list(range(10)), c=[1, 2])
    listed = found(rows, lambda row: int(row["name"][1:]) % 2 == 1)
    assert words(listed) == [("name", "in", [f"n{i}" for i in range(1, 20, 2)])]


def test_wrong_questions_are_refused() -> None:
    points = Points([{"a": 1}, {"a": 2}])
    for bad, others in ((0, 3), (1, 3)):
        with pytest.raises(ValueError, match="bad runs"):
            separate(points, bad, others)


@given(planted())
@settings(max_examples=300, deadline=None)
def test_a_planted_conjunction_is_always_found_and_nothing_longer(
    case: tuple[list[Row], list[int], int],
) -> None:
    rows, bad, atoms = case
    if not bad:
        return
    bits = mask_of(bad, len(rows))
    condition = separate(Points(rows), bits, mask_of(range(len(rows)), len(rows)) & ~bits)
    assert condition is not None
    assert condition.exact
    assert len(condition.atoms) <= atoms
    assert [i for i, row in enumerate(rows) if admits(condition, row)] == bad
    assert condition.runs == bits


def every_atom(rows: Sequence[Row], axis: str) -> Iterator[tuple[set[int], int]]:
    """Every choice of values of an axis: (rows that it admits, how many values it takes)."""
    values = sorted(
        {str(row[axis]): row[axis] for row in rows}.values(), key=lambda v: (str(type(v)), v)
    )
    numeric = not isinstance(values[0], str | list)
    for size in range(1, len(values)):
        for places in itertools.combinations(range(len(values)), size):
            chosen = [values[place] for place in places]
            bound = numeric and (places[-1] == len(values) - 1 or places[0] == 0)
            together = places[-1] - places[0] == size - 1
            rows_in = {i for i, row in enumerate(rows) if row[axis] in chosen}
            yield rows_in, 1 if bound and together else size


@given(groups(), st.data())
@settings(max_examples=60, deadline=None)
def test_no_exact_condition_is_missed_and_none_is_shorter(
    rows: list[Row], data: st.DataObject
) -> None:
    """Any bad runs at all, compared with every conjunction there is."""
    bad = data.draw(st.sets(st.sampled_from(range(len(rows))), min_size=1, max_size=6))
    bits = mask_of(bad, len(rows))
    others = mask_of(range(len(rows)), len(rows)) & ~bits
    condition = separate(Points(rows), bits, others, approximate=False)
    if not others:
        assert condition is not None
        assert condition.atoms == ()
        return
    shortest = None
    for atoms in (1, 2, 3):
        for axes in itertools.combinations(rows[0], atoms):
            seeds = sum(axis == "seed" for axis in axes)
            fitting = [[item for item in every_atom(rows, axis) if bad <= item[0]] for axis in axes]
            for items in itertools.product(*fitting):
                if set.intersection(*(item[0] for item in items)) == bad:
                    burden = (atoms, seeds, sum(item[1] for item in items))
                    shortest = min(shortest or burden, burden)
        if shortest:
            break
    if shortest is None:
        assert condition is None
    else:
        assert condition is not None
        seeds = sum(atom.axis == "seed" for atom in condition.atoms)
        listed = sum(len(atom.values) for atom in condition.atoms)
        assert (len(condition.atoms), seeds, listed) == shortest


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_told_is_true(data: st.DataObject) -> None:
    """The counts of any condition, exact or not, and the rule for what is worth telling."""
    rows = data.draw(groups())
    flags = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    bad = {i for i, flag in enumerate(flags) if flag}
    if not bad:
        return
    bits = mask_of(bad, len(rows))
    condition = separate(Points(rows), bits, mask_of(range(len(rows)), len(rows)) & ~bits)
    if condition is None:
        return
    under = {i for i, row in enumerate(rows) if admits(condition, row)}
    assert condition.runs == mask_of(under, len(rows))
    assert (condition.bad_in, condition.total_in) == (len(under & bad), len(under))
    assert condition.bad_out == len(bad - under)
    assert condition.total_out == len(rows) - len(under)
    if not condition.exact:
        assert condition.chance < CHANCE
        assert condition.bad_in >= LEAST_PRECISION * condition.total_in
        assert condition.bad_in >= LEAST_RECALL * len(bad)


@given(st.data())
def test_the_tail_is_that_of_fishers_exact_test(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 3000))
    bads, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    hit = data.draw(st.integers(0, min(bads, drawn)))
    expected = stats.hypergeom(total, bads, drawn).sf(hit - 1)
    assert math.exp(log_tail(hit, drawn, bads, total)) == pytest.approx(
        expected, rel=1e-8, abs=1e-300
    )


@pytest.mark.parametrize("values", [2, 3, 5])
def test_the_shares_of_all_conditions_add_up_to_one_at_most(values: int) -> None:
    """What makes `chance` a bound: the weighted Bonferroni correction spends at most all."""
    rows = product(a=list(range(values)), b=list(range(values)), c=list(range(values)), d=[0, 1])
    contrast = Contrast(Points(rows), 1, mask_of(range(1, len(rows)), len(rows)))
    spent = 0.0
    for size in (1, 2, 3):
        for axes in itertools.combinations_with_replacement(contrast.axes, size):
            shares = 1.0
            for axis in axes:
                places = range(len(axis.values))
                lists = [
                    chosen
                    for length in range(2, len(places))
                    for chosen in itertools.combinations(places, length)
                ]
                choices = [
                    *(Choice(axis, "=", (place,)) for place in places),
                    *(Choice(axis, ">=", tuple(places[i:])) for i in places),
                    *(Choice(axis, "<=", tuple(places[: i + 1])) for i in places),
                    *(Choice(axis, "in", chosen) for chosen in lists),
                ]
                shares *= sum(math.exp(-choice.price) for choice in choices)
            spent += shares * math.exp(-contrast.price_of_length(size))
    assert 0.1 < spent <= 1.0


def counted(points: Points, bad: int, others: int) -> tuple[int, Condition | None]:
    """How many sets of runs are counted for one question; no clock is asked."""
    number = 0

    def look(frame: FrameType, event: str, function: Any) -> None:
        nonlocal number
        number += event == "c_call" and function.__name__ == "bit_count"

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        condition = separate(points, bad, others)
    finally:
        sys.setprofile(before)
    return number, condition


def test_the_work_for_6000_runs_on_twelve_axes_of_ten_values_is_bounded() -> None:
    chance = random.Random(5)
    rows = [{f"axis{k}": chance.randrange(10) for k in range(12)} for _ in range(6000)]
    points, everything = Points(rows), mask_of(range(6000), 6000)

    def work(bad: Test) -> tuple[int, Condition | None]:
        bits = mask_of([i for i, row in enumerate(rows) if bad(row)], len(rows))
        return counted(points, bits, everything & ~bits)

    exact, condition = work(lambda row: row["axis2"] == 3 and row["axis7"] >= 8)
    assert condition is not None
    assert condition.exact
    assert 0 < exact < 50
    # A set is 750 bytes: 60,000 counts are some 0.1 s.
    for bad, most in (
        (lambda row: chance.random() < (0.95 if row["axis2"] >= 5 else 0.05), 12_000),
        (lambda row: chance.random() < (0.95 if row["axis2"] >= 5 > row["axis7"] else 0), 30_000),
        (lambda row: chance.random() < 0.05, 60_000),
        (lambda row: chance.random() < 0.5, 60_000),
    ):
        rough, _ = work(bad)
        assert rough < most


def test_the_work_for_many_values_and_many_axes_is_bounded() -> None:
    chance = random.Random(5)
    rows = [{"id": f"r{i}", "x": chance.random(), "y": chance.random()} for i in range(2000)]
    bad = mask_of([i for i in range(2000) if chance.random() < 0.05], 2000)
    others = mask_of(range(2000), 2000) & ~bad
    assert counted(Points(rows), bad, others)[0] < 250_000
    rows = [{f"axis{k}": chance.randrange(3) for k in range(150)} for _ in range(500)]
    bad = mask_of([i for i in range(500) if chance.random() < 0.05], 500)
    number, _ = counted(Points(rows), bad, mask_of(range(500), 500) & ~bad)
    assert number < 250_000
