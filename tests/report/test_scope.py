"""What is a replicate, and of which runs tables and counts speak, once a sweep has changed."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from support import folded

from sweeper.records.parameters import varying_values
from sweeper.report.aggregate import results_table
from sweeper.report.tables import render

FIXED = {"trainer": "hill", "steps": 3, "noise": 0.1}


def launch(number: Any, runs: Any, *, losses: Any = (), **fixed: Any) -> Any:
    """A launch of a sweep that has `runs` (axis values by id), all finished."""
    lines = [
        {"event": "launched", "launch": f"L{number}", "total": len(runs), "sweep_sha": str(number)},
        {
            "event": "planned",
            "headline": "loss",
            "runs": runs,
            "fixed": {key: value for key, value in {**FIXED, **fixed}.items() if value != "gone"},
        },
    ]
    for place, run in enumerate(runs):
        loss = losses[place] if losses else float(number)
        lines += [
            {"event": "started", "run": run, "attempt": 1},
            {
                "event": "ended",
                "run": run,
                "attempt": 1,
                "outcome": "finished",
                "metrics": {"loss": loss},
            },
        ]
    return [
        {**line, "v": 2, "writer": f"w{number}", "seq": seq, "time": 1000.0 * number + seq}
        for seq, line in enumerate(lines)
    ]


def seeds(prefix: Any, values: Any = (0, 1, 2), **axes: Any) -> Any:
    return {f"{prefix}{seed}": {**axes, "seed": seed} for seed in values}


def cells(table: Any) -> Any:
    """Per row the values of its parameters and how many runs it has."""
    return [(dict(row.axis_values), row.finished) for row in table.rows]


def test_a_fixed_value_that_was_edited_makes_no_replicates() -> None:
    state = folded([*launch(1, seeds("a"), steps=3), *launch(2, seeds("b"), steps=200)])
    table = results_table({"g": state})
    assert cells(table) == [({}, 3)]
    assert set(table.rows[0].runs) == {"b0", "b1", "b2"}
    assert table.earlier == 3
    assert "3 more runs from earlier files (`--all`)" in render(table)
    everything = results_table({"g": state}, everything=True)
    assert cells(everything) == [({"steps": 3}, 3), ({"steps": 200}, 3)]
    assert "earlier files" not in render(everything)


def test_a_default_that_has_changed_makes_no_replicates() -> None:
    # The file is the same; the trainer's default isn't.
    state = folded([*launch(1, seeds("a")), *launch(2, seeds("b"), noise=0.2)])
    assert cells(results_table({"g": state})) == [({}, 3)]
    table = results_table({"g": state}, everything=True)
    assert [(axis.key, axis.label) for axis in table.axes] == [("noise", "noise")]
    assert cells(table) == [({"noise": 0.1}, 3), ({"noise": 0.2}, 3)]
    assert cells(results_table({"g": state}, by=["noise"], everything=True)) == cells(table)


@pytest.mark.parametrize("other", [{"trainer": "valley"}, {"penalty": None}, {"noise": "gone"}])
def test_another_trainer_and_fields_that_came_or_went_make_no_replicates(other: Any) -> None:
    state = folded([*launch(1, seeds("a")), *launch(2, seeds("b"), **other)])
    assert [row.finished for row in results_table({"g": state}, everything=True).rows] == [3, 3]


def test_a_parameter_that_a_config_lacks_is_a_dash_and_not_null() -> None:
    state = folded([*launch(1, seeds("a")), *launch(2, seeds("b"), penalty=None)])
    lines = render(results_table({"g": state}, everything=True)).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["–", "null"]


def test_runs_from_before_a_rename_are_replicates_of_those_since() -> None:
    before = launch(1, seeds("a", [0, 1], alpha=1))
    since = launch(2, seeds("b", [2], penalty=1))
    since[0]["renamed"] = {"alpha": "penalty"}
    table = results_table({"g": folded([*before, *since])}, by=["penalty"], everything=True)
    assert cells(table) == [({"penalty": 1}, 3)]
    again = results_table({"g": folded([*before, *since])}, by=["alpha"], everything=True)
    assert cells(again) == cells(table)


def test_seeds_of_several_launches_are_replicates() -> None:
    state = folded([*launch(1, seeds("a", [0]), seed=0), *launch(2, seeds("b", [1, 2]))])
    assert cells(results_table({"g": state}, everything=True)) == [({}, 3)]


def test_a_parameter_is_an_axis_in_one_file_and_fixed_in_another() -> None:
    fixed = {f"a{seed}": {"seed": seed} for seed in range(2)}
    state = folded(
        [*launch(1, fixed, steps=3), *launch(2, seeds("b", [0, 1], steps=200), steps="gone")]
    )
    table = results_table({"g": state}, everything=True)
    assert cells(table) == [({"steps": 3}, 2), ({"steps": 200}, 2)]
    values = varying_values(list(state.runs.values()))
    assert [row["steps"] for row in values] == [3, 3, 200, 200]


def test_a_section_is_one_value_in_one_file_and_has_an_axis_inside_in_another() -> None:
    whole = {"a": {"head": {"type": "mlp", "width": 3}}, "b": {"head": {"type": "linear"}}}
    inside = {"c": {"head.width": 3}, "d": {"head.width": 4}}
    state = folded([*launch(1, whole), *launch(2, inside, **{"head.type": "mlp"})])
    table = results_table({"g": state}, everything=True)
    same = next(row for row in table.rows if "a" in row.runs)
    assert same.runs == ("a", "c")  # they are the same config, however it was written
    assert same.axis_values["head"] == {"type": "mlp", "width": 3}
    assert len(table.rows) == 3


def test_values_that_an_axis_lost_are_out_of_counts_and_tables() -> None:
    wide = {**seeds("a", alpha=0.1), **seeds("b", alpha=0.2)}
    state = folded([*launch(1, wide), *launch(2, seeds("a", alpha=0.1))])
    now = state.as_planned()
    assert (now.total, now.counts()["finished"]) == (3, 3)
    assert (state.total, state.earlier) == (6, frozenset({"b0", "b1", "b2"}))
    assert cells(results_table({"g": state})) == [({}, 3)]
    # Back again, they count again.
    again = folded(
        [*launch(1, wide), *launch(2, seeds("a", alpha=0.1)), *launch(3, wide)]
    ).as_planned()
    assert (again.total, list(again.runs)) == (6, list(wide))


def test_values_stand_in_the_order_of_the_last_file() -> None:
    first = {"a": {"x": 1}, "c": {"x": 3}}
    second = {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}
    table = results_table({"g": folded([*launch(1, first), *launch(2, second)])})
    assert [row.axis_values["x"] for row in table.rows] == [1, 2, 3]


def test_any_parameter_can_be_asked_for_even_if_it_does_not_vary() -> None:
    state = folded(launch(1, seeds("a", rate=1)))
    assert cells(results_table({"g": state}, by=["steps"])) == [({"steps": 3}, 3)]


def test_a_table_by_one_parameter_says_over_what_it_averages() -> None:
    runs = {**seeds("a", x=1, y=1), **seeds("b", x=1, y=2), **seeds("c", x=2, y=1)}
    table = results_table({"g": folded(launch(1, runs))}, by=["x"])
    assert [axis.label for axis in table.averaged] == ["y", "seed"]
    assert "over the n finished runs, which differ in y, seed" in render(table)
    assert json.loads(render(table, "json"))["averaged_over"] == ["y", "seed"]


def test_columns_have_names_of_their_own() -> None:
    runs = {
        f"r{number}{loss}": {"loss": loss, "n": number, "model.group": number}
        for loss in ("mse", "mae")
        for number in (1, 2)
    }
    table = results_table({"g": folded(launch(1, runs))})
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [row["loss"] for row in rows] == ["mse", "mse", "mae", "mae"]
    assert [row["n"] for row in rows] == ["1", "2", "1", "2"]
    assert [row["loss (metric)"] for row in rows] == ["1.0"] * 4
    for kind in ("csv", "markdown", "table"):
        text = render(table, kind).splitlines()[0]
        heads = text.split({"csv": ",", "markdown": "|", "table": "   "}[kind])
        heads = [head.strip() for head in heads if head.strip()]
        assert len(set(heads)) == len(heads), heads
