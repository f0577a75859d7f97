"""Numbers and values as people read them: right plurals, and values as YAML spells them."""

from __future__ import annotations

from typing import Any

import pytest

from sweeper.cli.text import diff_text, ending_text, evaluation_text, show_text
from sweeper.report.format import axis_words
from sweeper.suggest import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1000, "1000 runs")]
)
def test_counted(number: int, text: str) -> None:
    assert counted(number, "run") == text


def test_counted_with_an_odd_plural() -> None:
    assert counted(2, "process", "processes") == "2 processes"


def test_axis_values_are_spelled_as_in_yaml() -> None:
    values = {"a.on": True, "b": None, "c": [1, None], "d": 1e-5, "e": "tanh"}
    assert axis_words(values) == "on=true b=null c=[1, null] d=1e-05 e=tanh"


def test_differences_are_spelled_as_in_yaml() -> None:
    text = diff_text(["one", "two"], [("clip", {"one": None}), ("on", {"one": True, "two": False})])
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["clip", "null", "–"],
        ["on", "true", "false"],
    ]


def test_a_shown_config_is_spelled_as_in_yaml_and_what_is_missing_is_left_out() -> None:
    empty = dict.fromkeys(("outcome", "last_step", "wall_s", "started", "ended", "cause"))
    run: dict[str, Any] = {
        **empty, "id": "r", "group": "g", "attempts": [], "axis_values": {}, "metrics": {},
        "config": {"clip": None, "on": True}, "paths": {"log": None}, "files": [],
        "sources": [], "code": [],
    }  # fmt: skip
    lines = [line.split() for line in show_text(run).splitlines()]
    assert lines[-3:] == [["config:"], ["clip", "null"], ["on", "true"]]


def test_one_run_on_one_slot() -> None:
    plan = {"group": "g", "to_evaluate": 1, "datasets": ["d"], "slots": 1}
    assert evaluation_text(plan) == "g: 1 run to evaluate on d, on 1 slot\n"


def test_the_best_runs_are_shown_with_their_names() -> None:
    best = [{"id": "k3f", "name": "tanh-8", "axis_values": {"width": 8}, "loss": 0.5}]
    answer = {
        "group": "g", "headline": "loss", "maximise": False, "table": "", "total": 1, "earlier": 0,
        "counts": {"finished": 1}, "best": best, "files": [], "message": None, "reason": "done",
        "all_finished": True, "code": {"messages": []},
    }  # fmt: skip
    assert "  best 1: k3f (tanh-8)  loss 0.5 (smallest)  width=8" in ending_text(answer).split("\n")
