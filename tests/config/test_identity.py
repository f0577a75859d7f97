"""Fields that a trainer got later: its older runs keep their ids."""

from __future__ import annotations

from collections.abc import Callable

from sweeper.config import Sweep, identity, plain, run_id

Read = Callable[..., Sweep]
# What a config was before `share` and `drop` existed.
BEFORE = {"model": {"width": 64}, "others": [{"width": 64}], "seed": 0}


def test_a_field_counts_only_where_its_value_is_new(sweep: Read) -> None:
    old = run_id("grown_study", BEFORE)
    (run,) = sweep("trainer: grown_study")
    assert run.id == old
    assert plain(run.config)["share"] == 0.0
    for text in ("share: 0.1", "model: {drop: 0.1}", "others: [[{drop: 0.1}]]"):
        (other,) = sweep(f"trainer: grown_study\n{text}")
        assert other.id == run_id("grown_study", identity(other.config)) != old


def test_an_axis_over_the_field_keeps_the_old_run(sweep: Read) -> None:
    found = sweep(
        "trainer: grown_study\nseeds: 2\nshare: [0, 0.1]\n"
        "model: {drop: [null, 0.5], width: [64, 16]}"
    )
    runs = list(found)
    assert len({run.id for run in runs}) == 16
    assert [run.id for run in runs] == [run_id("grown_study", identity(r.config)) for r in runs]
    assert [r.axis_values for r in runs if r.id == run_id("grown_study", BEFORE)] == [
        {"share": 0.0, "model.drop": None, "model.width": 64, "seed": 0}
    ]


def test_older_and_newer_runs_have_equal_parameters(sweep: Read) -> None:
    fixed = {"model.width": 64, "others": [{"width": 64}], "seed": 0}
    assert sweep("trainer: grown_study").fixed == fixed
