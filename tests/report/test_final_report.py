"""The report of a launch never decides how the launch ended."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from support import folded

from sweeper.cli.text import ending_text
from sweeper.records import GroupFolder, append_rows, fold, read_events
from sweeper.report.aggregate import Statistic
from sweeper.report.figures import save_curves_figure, save_errors_figure
from sweeper.report.final_report import ending
from sweeper.report.tables import render, results_table

NAMES = {"table.md", "table.csv", "errors.png", "errors.svg"}


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    return GroupFolder(tmp_path / "runs", "quickstart")


def state_of(losses: Any) -> Any:
    """A finished run for every loss."""
    runs = {f"run{seed}": {"seed": seed} for seed in range(len(losses))}
    return folded(
        [
            {"event": "planned", "headline": "loss", "runs": runs},
            *(
                {"event": "ended", "run": run, "outcome": "finished", "metrics": {"loss": loss}}
                for run, loss in zip(runs, losses, strict=True)
            ),
        ]
    )


def names(answer: Any) -> Any:
    return {os.path.basename(file) for file in answer["files"]}  # noqa: PTH119


def test_losses_above_1e154_have_a_spread() -> None:
    assert Statistic((3e300, 1e300), 2).mean == 2e300
    assert Statistic((3e300, 1e300), 2).sd == pytest.approx(math.sqrt(2) * 1e300, rel=1e-15)
    assert Statistic((1.5e308, 1.7e308), 2).mean == 1.6e308
    assert Statistic((-1.7e308, 1.7e308), 2).mean == 0.0
    assert Statistic((-1.7e308, 1.7e308), 2).sd == math.inf


def test_a_launch_with_huge_finite_losses_ends_with_its_table(folder: GroupFolder) -> None:
    answer = ending(folder, state_of([1e300, 2e300]), reason="done")
    assert (answer["all_finished"], answer["problems"]) == (True, [])
    assert "1.50e300 ± 7.1e299" in answer["table"]
    assert names(answer) == NAMES


def test_what_cannot_be_drawn_is_one_line(folder: GroupFolder) -> None:
    state = state_of([-1.7e308, 1.7e308])
    answer = ending(folder, state, reason="done")
    assert answer["all_finished"]
    (problem,) = answer["problems"]
    assert problem.startswith(f"{folder.results_dir / 'errors.png'} can't be made: ")
    assert "\n" not in problem
    assert names(answer) == {name for name in NAMES if "errors" not in name}
    for kind in ("table", "markdown", "csv", "json"):
        assert render(results_table({"g": state}), kind)


def test_results_that_cannot_be_written_are_one_line_each(quickstart: GroupFolder) -> None:
    folder, state = quickstart, fold(read_events(quickstart.journal_dir))
    folder.results_dir.write_text("in the way")
    answer = ending(folder, state, reason="done")
    assert (answer["counts"], answer["all_finished"], answer["files"]) == (
        {"finished": 12},
        True,
        [],
    )
    assert "mlp_4D_signed" in answer["table"]
    assert [line.partition(" ")[0].rpartition("/")[2] for line in answer["problems"]] == [
        "table.md",
        "table.csv",
        "errors.png",
        "curves.png",
        "timeline.png",
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"text.usetex": True},
        {"font.size": 30, "axes.grid": True, "savefig.dpi": 11, "svg.fonttype": "none"},
    ],
)
def test_figures_do_not_depend_on_the_users_settings(quickstart: GroupFolder, settings: Any) -> Any:
    folder, state = quickstart, fold(read_events(quickstart.journal_dir))
    for run in state.runs:
        rows = [{"step": step, "loss": 1 / step} for step in range(1, 5)]
        append_rows(folder.run(run).make().metrics_file, rows)

    def drawn() -> Any:
        errors = save_errors_figure(results_table({"g": state}), folder.results_dir)
        return [file.read_bytes() for file in [*errors, *save_curves_figure(folder, state)]]

    plain = drawn()
    assert len(plain) == 4
    with mpl.rc_context(settings):
        assert drawn() == plain
        assert mpl.rcParams["text.usetex"] is settings.get("text.usetex", False)


def test_the_backend_of_a_notebook_is_no_matter(quickstart: GroupFolder) -> None:
    script = """if True:
        import os, sys
        from pathlib import Path
        from sweeper.records import GroupFolder
        from sweeper.report.aggregate import group_table
        from sweeper.report.figures import save_errors_figure
        folder = GroupFolder(Path(sys.argv[1]), "quickstart")
        save_errors_figure(group_table(folder), folder.results_dir)
        print(os.environ["MPLBACKEND"])
    """
    backend = "module://not_installed_here.backend_inline"
    result = subprocess.run(
        [sys.executable, "-c", script, str(quickstart.runs_dir)],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (result.returncode, result.stdout.strip()) == (0, backend), result.stderr
    assert {file.name for file in quickstart.results_dir.iterdir()} == {"errors.png", "errors.svg"}


@pytest.mark.parametrize("maximise", [False, True])
def test_the_best_are_the_smallest_or_the_largest_and_it_says_which(
    folder: GroupFolder, maximise: Any
) -> None:
    runs = {f"run{seed}": {"seed": seed} for seed in range(5)}
    events = [
        {"event": "planned", "headline": "acc", "maximise": maximise, "runs": runs},
        *(
            {"event": "ended", "run": run, "outcome": "finished", "metrics": {"acc": acc}}
            for acc, run in enumerate(runs)
        ),
    ]
    answer = ending(folder, folded(events), reason="done")
    assert [run["acc"] for run in answer["best"]] == ([4, 3, 2] if maximise else [0, 1, 2])
    line = next(line for line in ending_text(answer).splitlines() if "best 1" in line)
    assert line == (
        "  best 1: run4  acc 4 (largest)  seed=4"
        if maximise
        else "  best 1: run0  acc 0 (smallest)  seed=0"
    )


def test_every_metric_is_in_the_saved_table_and_named_below_the_shown_one(
    quickstart: GroupFolder,
) -> None:
    answer = ending(quickstart, fold(read_events(quickstart.journal_dir)), reason="done")
    with (quickstart.results_dir / "table.csv").open() as file:
        row = next(csv.DictReader(file))
    assert float(row["loss"]) == pytest.approx((12.0 + 13.2) / 2 / 4)
    assert "complex_TBP_planar_10_test/theta_deg sd" in row
    assert "other metrics: loss, percent, " in answer["table"]
