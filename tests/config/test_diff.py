"""What sets configs apart."""

from __future__ import annotations

from typing import Any

import pytest

from sweeper.config import differing


def test_only_what_differs_is_given_in_the_order_of_the_configs() -> None:
    one = {"data": {"name": "a", "n": 1}, "model": {"width": 64, "phases": [1, 2]}}
    two = {"data": {"name": "a", "n": 2}, "model": {"width": 64, "phases": [1, 3]}}
    assert differing({"one": one, "two": two}) == [
        ("data.n", {"one": 1, "two": 2}),
        ("model.phases", {"one": [1, 2], "two": [1, 3]}),
    ]


def test_a_key_that_one_lacks_differs() -> None:
    one = {"opt": {"name": "adam", "b1": 0.9}}
    two = {"opt": {"name": "sgd"}}
    three: dict[str, Any] = {"opt": {}}
    assert differing({"one": one, "two": two, "three": three}) == [
        ("opt.name", {"one": "adam", "two": "sgd"}),
        ("opt.b1", {"one": 0.9}),
        ("opt", {"three": {}}),
    ]


@pytest.mark.parametrize(
    ("one", "two", "different"),
    [
        (1, 1.0, False),
        (1, True, True),
        ([1, 0], [1, False], True),
        ([{"a": 1}], [{"a": 1.0}], False),
        (None, 0, True),
        ("1", 1, True),
    ],
)
def test_what_counts_as_different(one: Any, two: Any, different: bool) -> None:
    assert bool(differing({"one": {"x": one}, "two": {"x": two}})) is different


def test_one_config_or_none_differ_in_nothing() -> None:
    assert differing({}) == []
    assert differing({"one": {"x": 1}}) == []
