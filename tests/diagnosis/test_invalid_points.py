"""Which axis values make points of a sweep invalid."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from sweeper.config import RunSpec
from sweeper.diagnosis.invalid_points import InvalidGroup, invalid_groups
from sweeper.plan import plan_runs
from sweeper.records import GroupState

TRAINER: Any = SimpleNamespace(
    name="some", pack_size=1, check=lambda config: config, program_key=lambda _config: 0
)


def point(index: int, *reasons: str, **values: Any) -> RunSpec:
    """A run that is invalid for these reasons."""
    return RunSpec(f"run{index}", list(reasons), values)


def groups_of(points: Iterable[RunSpec]) -> list[InvalidGroup]:
    return invalid_groups(plan_runs(points, GroupState(), TRAINER))


def test_only_the_values_that_cause_it_are_named() -> None:
    points = [
        point(
            10 * width + depth,
            *(["too large"] if (width, depth) == (3, 2) else []),
            width=width,
            depth=depth,
            constant=1,
        )
        for width in range(4)
        for depth in range(3)
    ]
    (group,) = groups_of(points)
    assert group.plain() == {
        "reason": "too large",
        "count": 1,
        "axis_values": {"width": 3, "depth": 2},
        "condition": "width = 3 and depth = 2",
    }


def test_a_thousand_invalid_points_read_as_one_line() -> None:
    points = [point(i, "no data", width=i % 10, depth=i // 10) for i in range(1000)]
    (group,) = groups_of(points)
    assert (group.reason, len(group.runs)) == ("no data", 1000)
    assert (group.axis_values, group.condition) == ({}, None)


def test_two_reasons_two_groups_most_runs_first() -> None:
    bad = [point(i, "first", a=1, b=i) for i in range(3)]
    both = point(9, "first", "second", a=2, b=0)
    groups = groups_of([*bad, both, point(10, a=3, b=0)])
    assert [(g.reason, g.runs, g.axis_values, g.condition) for g in groups] == [
        ("first", ("run0", "run1", "run2", "run9"), {}, "a <= 2"),
        ("second", ("run9",), {"a": 2}, "a = 2"),
    ]


def test_several_values_of_an_axis_are_found() -> None:
    """No value is shared by all of these runs, and yet one parameter explains them."""
    points = [
        point(i, *(["no such head"] if i % 5 in {1, 3} else []), head="abcde"[i % 5], seed=i // 5)
        for i in range(20)
    ]
    (group,) = groups_of(points)
    assert (group.axis_values, group.condition) == ({}, "head in {b, d}")


def test_values_that_explain_nothing_are_named_all_the_same() -> None:
    points = [point(0, "chance", a=1, b=1), point(1, a=1, b=1), point(2, a=2, b=2)]
    (group,) = groups_of(points)
    assert (group.axis_values, group.condition) == ({"a": 1, "b": 1}, None)
