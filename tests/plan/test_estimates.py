"""Estimates: from the most similar finished runs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.keys import value_key
from sweeper.plan.estimates import Estimator, Finished


def test_nothing_finished_nothing_known() -> None:
    assert Estimator([]).estimate_s({"steps": 1}, "p") is None


def test_the_runs_that_agree_most_decide() -> None:
    estimator = Estimator(
        [
            Finished({"steps": 1000, "head": "a"}, 10.0),
            Finished({"steps": 1000, "head": "b"}, 14.0),
            Finished({"steps": 5000, "head": "a"}, 50.0),
        ]
    )
    assert estimator.estimate_s({"steps": 1000, "head": "a"}, None) == 10.0
    assert estimator.estimate_s({"steps": 1000, "head": "c"}, None) == 12.0
    assert estimator.estimate_s({"steps": 9, "head": "z"}, None) == pytest.approx(74 / 3)


def test_the_own_program_comes_first() -> None:
    estimator = Estimator(
        [
            Finished({"lr": 1, "width": 8}, 10.0, "small"),
            Finished({"lr": 2, "width": 64}, 90.0, "large"),
        ]
    )
    assert estimator.estimate_s({"lr": 1, "width": 64}, "large") == 90.0
    assert estimator.estimate_s({"lr": 1, "width": 8}, "unheard-of") == 10.0


def test_runs_from_before_a_fixed_value_was_edited_count_only_while_there_are_no_others() -> None:
    short, long = {"steps": 10, "tol": 1e-3}, {"steps": 10_000, "tol": 1e-3}
    before = [Finished({"lr": lr}, lr, fixed=short) for lr in (1, 2)]
    assert Estimator(before).estimate_s({"lr": 2}, None, long) == 2.0
    estimator = Estimator([*before, Finished({"lr": 1}, 500.0, fixed=long)])
    assert estimator.estimate_s({"lr": 2}, None, long) == 500.0
    assert estimator.estimate_s({"lr": 2}, None, short) == 2.0


def test_a_value_is_the_same_whether_it_is_fixed_or_of_an_axis() -> None:
    estimator = Estimator(
        [
            Finished({"lr": 1}, 5.0, fixed={"steps": 10}),
            Finished({"lr": 1}, 90.0, fixed={"steps": 99}),
        ]
    )
    assert estimator.estimate_s({"lr": 1, "steps": 99}, None, {}) == 90.0


def test_seeds_do_not_count() -> None:
    estimator = Estimator(
        [
            Finished({"steps": 100, "seed": 0}, 1.0),
            Finished({"steps": 100, "seed": 1}, 3.0),
            Finished({"steps": 900, "train.seed": 2, "seed": 2}, 90.0),
        ]
    )
    assert estimator.estimate_s({"steps": 100, "seed": 2, "train.seed": 2}, None) == 2.0


def test_values_are_compared_as_the_journal_writes_them() -> None:
    estimator = Estimator(
        [Finished({"phases": [[0, 0.5], [0, 1]]}, 7.0), Finished({"phases": [[0, 1]]}, 1.0)]
    )
    assert estimator.estimate_s({"phases": ((0, 0.5), (0, 1))}, None) == 7.0
    assert value_key((1, 2)) == value_key([1, 2])
    assert value_key(1.0) == value_key(1)
    assert value_key("1") != value_key(1)
    assert value_key(True) != value_key(1)


points = st.fixed_dictionaries({key: st.integers(0, 2) for key in "abcd"})


@given(st.lists(st.tuples(points, st.integers(1, 9)), min_size=1, max_size=12), points)
def test_it_equals_counting_agreements_one_by_one(
    finished: list[tuple[dict[str, int], int]], point: dict[str, int]
) -> None:
    estimator = Estimator(Finished(values, float(wall)) for values, wall in finished)
    agree = [sum(values[key] == point[key] for key in point) for values, _ in finished]
    best = [wall for (_, wall), n in zip(finished, agree, strict=True) if n == max(agree)]
    assert estimator.estimate_s(point, None) == pytest.approx(sum(best) / len(best))


def test_thousands_are_estimated_from_thousands_in_a_moment() -> None:
    values = [
        {"a": i % 7, "b": i % 11, "c": i % 5, "d": i % 3, "e": i % 2, "seed": i % 10}
        for i in range(6000)
    ]
    began = time.process_time()
    fixed = {f"k{i}": i for i in range(60)}
    edited = {**fixed, "k0": 1}
    estimator = Estimator(
        Finished(v, 1.0 + v["a"], f"p{v['b']}", (fixed, edited)[i % 2])
        for i, v in enumerate(values[::2])
    )
    estimates = [estimator.estimate_s(v, f"p{v['b']}", fixed) for v in values]
    spent = time.process_time() - began
    assert estimates == pytest.approx([1.0 + v["a"] for v in values])
    assert spent < 6  # 0.5 s on an idle core
