"""Results gathered by parameters: nothing hidden, nothing counted twice."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import folded

from sweeper.errors import RecordError
from sweeper.records import GroupFolder, GroupState
from sweeper.report.aggregate import Statistic, group_table, results_table

Run: TypeAlias = tuple[dict[str, Any], str, dict[str, float]]

MEANS = [f"complex_TBP_planar_{n}_test/mean" for n in (1, 10, 100)]


def state_of(runs: Sequence[Run], headline: str | None = "loss") -> GroupState:
    """A state of (axis values, standing, metrics) per run."""
    events: list[Mapping[str, object]] = [
        {
            "event": "planned",
            "headline": headline,
            "runs": {f"run{i}": values for i, (values, _, _) in enumerate(runs)},
        }
    ]
    events += [
        {"event": "ended", "run": f"run{i}", "outcome": standing, "metrics": metrics}
        for i, (_, standing, metrics) in enumerate(runs)
        if standing != "waiting"
    ]
    return folded(events)


def test_seeds_become_the_spread(quickstart: GroupFolder) -> None:
    table = group_table(quickstart)
    assert [axis.label for axis in table.axes] == ["activation", "output_layer"]
    assert len(table.rows) == 6
    row = table.rows[0]
    assert list(row.axis_values.values()) == ["tanh", "mlp_4D_signed"]
    assert row.finished == 2
    statistic = row.metrics[MEANS[0]]
    assert statistic.values == pytest.approx((12.0, 13.2))
    assert statistic.mean == pytest.approx(12.6)
    assert statistic.sd == pytest.approx(statistics.stdev([12.0, 13.2]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6))
def test_mean_and_deviation_are_those_of_the_standard_library(values: list[float]) -> None:
    statistic = Statistic(tuple(values), len(values))
    assert statistic.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert statistic.sd == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_bad_outcomes_are_counted_and_their_metrics_left_out(troubled: GroupFolder) -> None:
    table = group_table(troubled)
    assert dict(table.rows[0].others) == {"crashed": 1, "diverged": 1}
    assert table.rows[0].finished == 0
    assert table.rows[0].metrics[MEANS[0]].mean is None
    assert dict(table.rows[2].others) == {"waiting": 1}
    assert table.rows[2].metrics[MEANS[0]].sd is None


outcomes = st.sampled_from(["finished", "diverged", "crashed", "lost", "invalid", "waiting"])
runs_of_three_axes = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {
                "m.a": st.sampled_from(["x", "y"]),
                "m.b": st.sampled_from([1, 2.5, [1, 2], None]),
                "m.seed": st.integers(0, 2),
            }
        ),
        outcomes,
        st.dictionaries(st.sampled_from(["loss", "t/mean"]), st.floats(), max_size=2),
    ),
    max_size=12,
)


@given(runs_of_three_axes, st.sampled_from([None, [], ["a"], ["b", "a"], ["seed"]]), st.booleans())
def test_every_run_is_in_exactly_one_row(
    runs: list[Run], by: list[str] | None, group_seeds: bool
) -> None:
    if not runs and by:
        return
    table = results_table({"g": state_of(runs)}, by=by, group_seeds=group_seeds)
    ids = [run for row in table.rows for run in row.runs]
    assert sorted(ids) == sorted(f"run{i}" for i in range(len(runs)))
    for row in table.rows:
        assert row.finished + sum(row.others.values()) == len(row.runs)
        for statistic in row.metrics.values():
            assert len(statistic.values) <= statistic.runs == row.finished
    if by is None and not group_seeds:
        assert all(len(row.runs) == 1 for row in table.rows)


def test_by_takes_labels_keys_and_endings_and_its_order_is_that_of_the_rows() -> None:
    runs = [
        ({"m.phase.lr": lr, "m.head": head}, "finished", {"loss": 1.0})
        for head in ("signed", "unit")
        for lr in (0.1, 0.01)
    ]
    state = state_of(runs)
    for words in (["lr", "head"], ["m.phase.lr", "m.head"], ["phase.lr", "head"]):
        table = results_table({"g": state}, by=words)
        assert [tuple(row.axis_values.values()) for row in table.rows] == [
            (0.1, "signed"),
            (0.1, "unit"),
            (0.01, "signed"),
            (0.01, "unit"),
        ]
    (row,) = results_table({"g": state}, by=[]).rows
    assert row.finished == 4


def test_unknown_words_name_the_nearest(quickstart: GroupFolder) -> None:
    with pytest.raises(
        RecordError, match=r"`activaton` is no parameter.*did you mean `activation`"
    ):
        group_table(quickstart, by=["activaton"])
    with pytest.raises(RecordError, match=r"`theta_dgr` is no metric.*did you mean `theta_deg`"):
        group_table(quickstart, metrics=["theta_dgr"])


def test_a_parameter_that_could_be_two() -> None:
    runs = [({"a.x.lr": 1, "b.x.lr": 2, "c": 3}, "finished", {"loss": 1.0})]
    with pytest.raises(RecordError, match=r"could be several.*`a\.x\.lr`, `b\.x\.lr`"):
        results_table({"g": state_of(runs)}, by=["lr"])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["loss"], ["loss"]),
        (["mean"], MEANS),
        (["complex_TBP_planar_10_test"], [
            f"complex_TBP_planar_10_test/{s}" for s in ("mean", "median", "theta_deg", "radial_pct")
        ]),
        (["*_1_test/m*"], ["complex_TBP_planar_1_test/mean", "complex_TBP_planar_1_test/median"]),
        (["percent", "loss", "percent"], ["percent", "loss"]),
    ],
)  # fmt: skip
def test_metrics_are_named_whole_by_their_ends_or_by_patterns(
    quickstart: GroupFolder, words: list[str], names: list[str]
) -> None:
    assert list(group_table(quickstart, metrics=words).metrics) == names


@pytest.mark.parametrize(
    ("headline", "names", "shown"),
    [
        ("b/mean", ["loss", "a/mean", "a/sd", "b/mean", "b/sd"], ["a/mean", "b/mean"]),
        ("a/mean", ["loss", "a/sd", "a/mean", "a/theta"], ["a/mean", "a/sd", "a/theta"]),
        ("loss", ["loss", "percent", "a/mean"], ["loss"]),
        ("gone", ["x", "y"], ["x", "y"]),
        (None, list("abcdefgh"), list("abcdef")),
    ],
)
def test_without_a_wish_the_headline_and_its_siblings_are_shown(
    headline: str | None, names: list[str], shown: list[str]
) -> None:
    runs = [({"a": 1}, "finished", dict.fromkeys(names, 1.0))]
    table = results_table({"g": state_of(runs, headline)})
    assert list(table.metrics) == shown


def test_a_finished_run_whose_metric_is_not_finite_is_missing_not_averaged() -> None:
    runs = [
        ({"seed": 0}, "finished", {"loss": 1.0}),
        ({"seed": 1}, "finished", {"loss": float("nan")}),
        ({"seed": 2}, "finished", {}),
    ]
    (row,) = results_table({"g": state_of(runs)}).rows
    assert row.metrics["loss"] == Statistic((1.0,), 3)


def test_two_groups_stay_apart_and_a_parameter_of_one_is_absent_in_the_other() -> None:
    first = state_of([({"a": 1}, "finished", {"loss": 1.0})])
    second = state_of([({"a": 1, "b": 2}, "finished", {"loss": 3.0})])
    table = results_table({"one": first, "two": second})
    assert [(row.group, dict(row.axis_values)) for row in table.rows] == [
        ("one", {}),
        ("two", {"b": 2}),
    ]


def test_rows_keep_the_order_of_the_sweep_file(troubled: GroupFolder) -> None:
    heads = [row.axis_values["parameters.output_layer"] for row in group_table(troubled).rows]
    assert heads == ["mlp_4D_signed", "mlp_4D", "mlp_4D_unit_softplus"] * 2


def test_runs_of_one_seed_are_no_replicates_of_each_other() -> None:
    """1 and 1.0 are two values where a parameter takes integers and floats."""
    state = state_of(
        [
            ({"a": value, "seed": seed}, "finished", {"loss": float(seed)})
            for value in (1, 1.0, 2)
            for seed in (0, 1)
        ]
    )
    table = results_table({"g": state})
    assert [(repr(row.axis_values["a"]), row.finished) for row in table.rows] == [
        ("1", 2),
        ("1.0", 2),
        ("2", 2),
    ]
