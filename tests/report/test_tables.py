"""Tables as text, compared with golden files: `RENEW_GOLDEN=1 pytest tests/report` renews them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from support import folded

from sweeper.errors import SweeperError
from sweeper.records import GroupFolder, GroupState
from sweeper.report.tables import Format, group_table, render, results_table


@pytest.mark.parametrize("kind", ["table", "markdown", "csv"])
def test_the_quickstart(
    quickstart: GroupFolder, golden: Callable[[str, str], None], kind: Format
) -> None:
    golden(f"quickstart-{kind}.txt", render(group_table(quickstart), kind))


@pytest.mark.parametrize("kind", ["table", "markdown", "csv"])
def test_bad_outcomes_are_seen(
    troubled: GroupFolder, golden: Callable[[str, str], None], kind: Format
) -> None:
    golden(f"troubled-{kind}.txt", render(group_table(troubled), kind))


def test_a_row_for_every_run(troubled: GroupFolder, golden: Callable[[str, str], None]) -> None:
    table = group_table(troubled, group_seeds=False, metrics=["loss"])
    golden("runs-table.txt", render(table))
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert len(rows) == 12
    assert rows[0]["id"] == "run000aaaa"
    assert (rows[0]["crashed"], rows[0]["loss"]) == ("1", "")


def test_one_test_set_by_head(troubled: GroupFolder, golden: Callable[[str, str], None]) -> None:
    table = group_table(troubled, by=["output_layer"], metrics=["complex_TBP_planar_10_test"])
    golden("by-head-table.txt", render(table))


def test_csv_and_json_have_every_digit(quickstart: GroupFolder) -> None:
    table = group_table(quickstart)
    exact = table.rows[3].metrics["complex_TBP_planar_10_test/mean"]
    row = list(csv.DictReader(io.StringIO(render(table, "csv"))))[3]
    assert float(row["complex_TBP_planar_10_test/mean"]) == exact.mean
    assert float(row["complex_TBP_planar_10_test/mean sd"]) == exact.sd
    data = json.loads(render(table, "json"))
    assert data["rows"][3]["metrics"]["complex_TBP_planar_10_test/mean"] == {
        "mean": exact.mean,
        "sd": exact.sd,
        "n": 2,
        "values": list(exact.values),
    }


def nasty() -> GroupState:
    values = {"pa|th": "a|b\nc", "x": [1, [2]], "markup": "[bold]no[/bold]", "wide": "変数"}
    other = {**values, "pa|th": "=cmd", "x": None, "markup": "", "wide": "ü"}
    return folded(
        [
            {"event": "planned", "headline": "loss", "runs": {"a": values, "b": other}},
            {"event": "ended", "run": "a", "outcome": "finished", "metrics": {"loss": 1e-7}},
            {"event": "ended", "run": "b", "outcome": "finished", "metrics": {"loss": "nan"}},
        ]
    )


def test_strange_values_break_no_format() -> None:
    table = results_table({"g": nasty()})
    markdown = render(table, "markdown").splitlines()
    assert {line.replace("\\|", "").count("|") for line in markdown if line.startswith("|")} == {7}
    assert "[bold]no[/bold]" in render(table)
    text = render(table)
    assert "変数" in text
    assert "a|b c" in text
    assert "…" not in text
    assert len(list(csv.reader(io.StringIO(render(table, "csv"))))) == 3
    json.loads(render(table, "json"), parse_constant=pytest.fail)


def test_nothing_has_finished_yet(golden: Callable[[str, str], None]) -> None:
    state = folded(
        [{"event": "planned", "headline": "loss", "runs": {"a": {"x": 1}, "b": {"x": 2}}}]
    )
    golden("nothing-table.txt", render(results_table({"g": state}, metrics=["loss"])))
    assert render(results_table({"g": folded([])}))


def test_a_narrow_terminal_folds_columns(quickstart: GroupFolder) -> None:
    lines = render(group_table(quickstart), width=60).splitlines()
    assert max(map(len, lines[:-1])) <= 60
    wide = render(group_table(quickstart)).splitlines()
    assert len(wide) == 2 + 6 + 1


def test_an_unknown_format_is_an_error(quickstart: GroupFolder) -> None:
    unknown: Any = "html"
    with pytest.raises(SweeperError, match="'markdown'"):
        render(group_table(quickstart), unknown)


@pytest.mark.parametrize(
    ("values", "shown", "in_csv"),
    [
        ([1, "2", "x"], ["1", "2", "x"], ["1", "2", "x"]),
        ([1, "1", None, "null"], ["1", '"1"', "null", '"null"'], ["1", '"1"', "null", '"null"']),
        ([1, 1.0, True], ["1", "1.0", "true"], ["1", "1.0", "true"]),
        (
            [0.3, 0.1 + 0.2],
            ["0.3", "0.30000000000000004"],
            ["0.3", "0.30000000000000004"],
        ),
        ([0.1, 1 / 3], ["0.1", "0.333333333333"], ["0.1", "0.3333333333333333"]),
    ],
)
def test_no_two_values_look_the_same(
    values: list[Any], shown: list[str], in_csv: list[str]
) -> None:
    runs = {f"r{number}": {"a": value} for number, value in enumerate(values)}
    events: list[dict[str, object]] = [{"event": "planned", "headline": "loss", "runs": runs}]
    events += [
        {"event": "ended", "run": run, "outcome": "finished", "metrics": {"loss": 1.0}}
        for run in runs
    ]
    table = results_table({"g": folded(events)})
    lines = render(table).splitlines()[2 : 2 + len(values)]
    assert [line.split()[0] for line in lines] == shown
    assert [row["a"] for row in csv.DictReader(io.StringIO(render(table, "csv")))] == in_csv
