"""Figures: the data behind them, and that what is drawn can be read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from support import folded

from sweeper.errors import RecordError
from sweeper.records import GroupFolder, GroupState, append_rows, fold, read_events
from sweeper.report.aggregate import Statistic, group_table, results_table
from sweeper.report.figures import (
    curves_figure,
    curves_info,
    errors_figure,
    errors_info,
    save_curves_figure,
    save_errors_figure,
)
from sweeper.report.figures.curves import MOST_LINES, POINTS
from sweeper.report.figures.errors import MOST_ROWS
from sweeper.report.figures.style import COLOURS, DASHES, MARKERS, row_label, unit_of


def state_of(combinations: Iterable[Mapping[str, Any]], seeds: int = 2) -> GroupState:
    """A finished state with one run per combination of axis values and seed."""
    runs = {
        f"run{index}x{seed}": ({**values, "seed": seed}, 10.0 ** (index % 3) * (1 + 0.2 * seed))
        for index, values in enumerate(combinations)
        for seed in range(seeds)
    }
    return folded(
        [
            {
                "event": "planned",
                "headline": "set_10_test/mean",
                "runs": {run: values for run, (values, _) in runs.items()},
            },
            *(
                {
                    "event": "ended",
                    "run": run,
                    "outcome": "finished",
                    "metrics": {f"set_{n}_test/mean": value * n**0.1 for n in (1, 10, 100)},
                }
                for run, (_, value) in runs.items()
            ),
        ]
    )


def combinations(rows: int) -> list[dict[str, Any]]:
    heads = [f"mlp_4D_logmag_unit_tanh_softplus_{index}" for index in range(rows)]
    strategies = [[[0.0, 0.1], [0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0]]]
    return [
        {"activation": activation, "head": head, "length_strategy": strategies[index % 2]}
        for activation in ("tanh", "leaky_relu", "gelu")
        for index, head in enumerate(heads)
    ]


def test_colours_show_the_first_parameter_with_few_values_and_rows_the_others(
    quickstart: GroupFolder,
) -> None:
    info = errors_info(group_table(quickstart), units={"*/mean": "%"})
    assert (info.hue, info.hues) == ("activation", ("tanh", "leaky_relu"))
    assert info.heading == "output_layer"
    assert info.rows == ("mlp_4D_signed", "mlp_4D", "mlp_4D_unit_softplus")
    assert [panel.title for panel in info.panels] == [
        "complex_TBP_planar_1_test",
        "complex_TBP_planar_10_test",
        "complex_TBP_planar_100_test",
    ]
    assert {panel.label for panel in info.panels} == {"mean (%)"}
    assert all(panel.log for panel in info.panels)
    assert len({panel.span for panel in info.panels}) == 1
    point = info.panels[0].points[3]
    assert (point.row, point.hue) == (0, 1)
    assert point.statistic.mean == pytest.approx(2.205)
    assert "n = 2" in info.note


def test_bad_outcomes_are_told_in_the_figure(troubled: GroupFolder) -> None:
    info = errors_info(group_table(troubled))
    assert info.panels[0].points[0].statistic.mean is None
    assert "not finished: 1 crashed, 1 diverged, 1 waiting" in info.note
    texts = [text.get_text() for text in errors_figure(info).legends[0].get_texts()]
    assert texts == ["tanh", "leaky_relu", "no run finished"]


def test_a_single_parameter_needs_no_colours() -> None:
    table = results_table({"g": state_of([{"segment": n} for n in (4, 10, 18)])})
    info = errors_info(table)
    assert (info.hue, info.rows, info.heading) == (None, ("4", "10", "18"), "segment")


def test_without_parameters_the_group_is_the_row() -> None:
    info = errors_info(results_table({"only": state_of([{}])}))
    assert info.rows == ("only",)
    errors_figure(info)


def test_a_scale_is_linear_within_a_decade_or_with_values_below_zero() -> None:
    events = [
        {"event": "planned", "headline": "loss", "runs": {"a": {"x": 1}, "b": {"x": 2}}},
        {"event": "ended", "run": "a", "outcome": "finished", "metrics": {"loss": -100.0}},
        {"event": "ended", "run": "b", "outcome": "finished", "metrics": {"loss": 3.0}},
    ]
    info = errors_info(results_table({"g": folded(events)}))
    assert not info.panels[0].log
    (axes,) = errors_figure(info).axes
    low, high = axes.get_xlim()
    assert low < -100 < 3 < high


def test_of_too_many_rows_the_best_are_kept() -> None:
    table = results_table({"g": state_of([{"x": n} for n in range(100)], seeds=1)})
    info = errors_info(table)
    assert len(info.rows) == MOST_ROWS
    assert f"the best {MOST_ROWS} of 100" in info.note
    worst = max(mean_of(point.statistic) for point in info.panels[0].points)
    means = [mean_of(row.metrics["set_1_test/mean"]) for row in table.rows]
    assert sum(mean <= worst for mean in means) >= MOST_ROWS


def mean_of(statistic: Statistic) -> float:
    assert statistic.mean is not None
    return statistic.mean


def boxes(figure: Figure, texts: Iterable[Text]) -> list[Bbox]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    return [text.get_window_extent(canvas.get_renderer()) for text in shown]


@pytest.mark.parametrize("rows", [12, 50])
def test_labels_overlap_nowhere_and_stay_on_the_page(rows: int) -> None:
    info = errors_info(results_table({"g": state_of(combinations(rows))}), {"*/mean": "%"})
    assert len(info.rows) == rows
    figure = errors_figure(info)
    for axes in figure.axes:
        rows_top_down = sorted(boxes(figure, axes.get_yticklabels()), key=lambda box: -box.y1)
        assert all(above.y0 >= below.y1 for above, below in pairwise(rows_top_down))
        ticks = sorted(boxes(figure, axes.get_xticklabels()), key=lambda box: box.x0)
        assert len(ticks) >= 2
        assert all(left.x1 <= right.x0 for left, right in pairwise(ticks))
    texts = [
        *(label for axes in figure.axes for label in axes.get_yticklabels()),
        *(axes.title for axes in figure.axes),
        *figure.axes[0].texts,
    ]
    page = figure.bbox
    for box in boxes(figure, texts):
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    titles = sorted(boxes(figure, [axes.title for axes in figure.axes]), key=lambda box: box.x0)
    assert all(left.x1 <= right.x0 for left, right in pairwise(titles))


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_looks_differ_in_grey_too() -> None:
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(DASHES))
    # The pair that nearly every figure has differs in brightness, not only in hue.
    assert abs(luminance(COLOURS[0]) - luminance(COLOURS[1])) > 0.25


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("a/theta_deg", "°"),
        ("a/radial_pct", "%"),
        ("percent", "%"),
        ("a/mean", "km"),
        ("a/sd", None),
    ],
)
def test_units(metric: str, unit: str | None) -> None:
    assert unit_of(metric, {"*/mean": "km"}) == unit


def test_long_labels_take_two_lines_and_keep_their_ends() -> None:
    assert row_label(["a", "b"]) == "a · b"
    first, second = row_label(["x" * 60 + "1", "y" * 30]).split("\n")
    assert first.endswith("1 ·")
    assert "…" in first
    assert second == "y" * 30


def test_strange_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    values = [{"a": "$x_1$", "b": "_hidden"}, {"a": "$y", "b": "変数"}, {"a": "", "b": "%"}]
    files = save_errors_figure(results_table({"g": state_of(values)}), tmp_path / "results")
    assert [file.name for file in files] == ["errors.png", "errors.svg"]


def test_figures_are_saved_as_png_and_svg_the_same_each_time(
    quickstart: GroupFolder, tmp_path: Path
) -> None:
    table = group_table(quickstart)
    first = [file.read_bytes() for file in save_errors_figure(table, tmp_path)]
    second = [file.read_bytes() for file in save_errors_figure(table, tmp_path)]
    assert first == second
    assert first[0].startswith(b"\x89PNG")
    assert b"<svg" in first[1]


def test_nothing_finished_nothing_drawn(tmp_path: Path) -> None:
    state = folded([{"event": "planned", "runs": {"a": {"x": 1}}}])
    assert save_errors_figure(results_table({"g": state}), tmp_path / "results") == []
    assert not (tmp_path / "results").exists()
    with pytest.raises(ValueError, match="no metric"):
        errors_figure(errors_info(results_table({"g": state})))


def curves_of(folder: GroupFolder, values: Mapping[str, Sequence[float]]) -> None:
    """Log `values[run]` of each run, one per step."""
    for run, losses in values.items():
        rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses)]
        append_rows(folder.run(run).make().metrics_file, rows)


def state_in(folder: GroupFolder) -> GroupState:
    return fold(read_events(folder.journal_dir))


def test_curves_by_colour_and_panel(quickstart: GroupFolder) -> None:
    state = state_in(quickstart)
    curves_of(quickstart, {run: [100.0, 10.0, 1.0 + i] for i, run in enumerate(state.runs)})
    info = curves_info(quickstart, state)
    assert (info.hue, info.hues) == ("activation", ("tanh", "leaky_relu"))
    assert info.panels == (
        "output_layer mlp_4D_signed",
        "output_layer mlp_4D",
        "output_layer mlp_4D_unit_softplus",
    )
    assert info.log
    assert len(info.curves) == 12
    first = next(curve for curve in info.curves if curve.runs == ("run000aaaa",))
    assert (first.panel, first.hue, first.values) == (0, 0, (100.0, 10.0, 1.0))
    figure = curves_figure(info)
    assert [axes.get_yscale() for axes in figure.axes] == ["log"] * 3
    assert all(tick.is_integer() for tick in figure.axes[0].get_xticks().tolist())


def test_long_curves_are_thinned_by_medians_so_that_no_spike_makes_a_hill(
    quickstart: GroupFolder,
) -> None:
    state = state_in(quickstart)
    run = next(iter(state.runs))
    losses = [math.exp(-step / 300) for step in range(2000)]
    losses[1000] = 1e6
    curves_of(quickstart, {run: losses})
    (curve,) = curves_info(quickstart, state).curves
    assert len(curve.steps) == POINTS
    assert max(curve.values) <= 1
    assert all(b < a for a, b in pairwise(curve.values))
    assert curve.values[-1] == pytest.approx(math.exp(-curve.steps[-1] / 300), rel=1e-3)


def test_many_runs_of_one_look_become_median_and_range(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "g").make()
    runs = {f"run{seed}": {"seed": seed} for seed in range(MOST_LINES + 2)}
    state = folded([{"event": "planned", "runs": runs}])
    curves_of(folder, {run: [10.0 + i, 5.0 + i, 1.0 + i] for i, run in enumerate(runs)})
    (curve,) = curves_info(folder, state).curves
    assert curve.runs == tuple(runs)
    assert (curve.low[0], curve.values[0], curve.high[0]) == (10.0, 12.0, 14.0)
    assert (curve.low[-1], curve.values[-1], curve.high[-1]) == (1.0, 3.0, 5.0)
    curves_figure(curves_info(folder, state))


def test_runs_of_different_lengths_are_not_pooled(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "g").make()
    runs = {f"run{seed}": {"seed": seed} for seed in range(2 * MOST_LINES + 3)}
    short, long = list(runs)[: MOST_LINES + 1], list(runs)[MOST_LINES + 1 :]
    # A look at all of them would jump from 51 to 101 where the short ones end.
    losses = {run: [1.0] * 5 for run in short} | {run: [101.0] * 10 for run in long}
    curves_of(folder, losses)
    info = curves_info(folder, folded([{"event": "planned", "runs": runs}]))
    assert [(curve.runs, set(curve.values), curve.until) for curve in info.curves] == [
        (tuple(short), {1.0}, 4),
        (tuple(long), {101.0}, 9),
    ]
    assert "median and range of several runs of one length" in info.note


def test_a_run_that_left_the_finite_numbers_is_marked(quickstart: GroupFolder) -> None:
    state = state_in(quickstart)
    first, second = list(state.runs)[:2]
    curves_of(quickstart, {first: [3.0, 2.0, math.nan], second: [math.inf]})
    info = curves_info(quickstart, state)
    assert [(curve.values, curve.lost) for curve in info.curves] == [((3.0, 2.0), 1), ((), 1)]
    assert "left the finite numbers: 2 runs" in info.note
    assert [file.name for file in save_curves_figure(quickstart, state)] == [
        "curves.png",
        "curves.svg",
    ]


def test_a_metric_that_nobody_logged(quickstart: GroupFolder) -> None:
    with pytest.raises(RecordError, match="no run of group `quickstart` has logged `los`"):
        curves_info(quickstart, state_in(quickstart), metric="los")


def test_of_too_many_rows_those_with_the_best_headline_are_kept() -> None:
    table = results_table({"g": state_of([{"x": n} for n in range(100)], seeds=1)})
    best = replace(table, maximise=True, headline=table.metrics[0])
    for kept, means in ((table, {1.0, 10.0}), (best, {10.0, 100.0})):
        points = errors_info(kept).panels[0].points
        assert {point.statistic.mean for point in points} == means
