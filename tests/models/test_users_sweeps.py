"""The sweeps that are shipped: each plans to the grid that was written down by hand."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from models import latent_ode
from models.neural_ode.config import OutputLayer
from sweeper.config import Sweep, read_sweep

CONFIGS = Path(__file__).parents[2] / "configs"
COUNTS = {
    "sweep-2BP-12-10": 576,
    "heatmap-baseline": 32,
    "heatmap-fixnu0": 32,
    "heatmap-circular": 32,
    "activation-head-lofi": 4,
    "heads-10-orbits": 17,
    "short-segments": 3,
    "hifi-conference": 2,
    "lofi": 4,
    "segment-slope": 7,
    "curriculum-segments": 32,
}


def sweep_named(name: str) -> Sweep:
    return read_sweep(CONFIGS / "sweeps" / f"{name}.yaml")


def points(sweep: Sweep) -> list[Any]:
    """Every run's config, after the trainer has found nothing wrong with it."""
    runs = list(sweep)
    assert len({run.id for run in runs}) == len(runs)
    for run in runs:
        assert run.invalid == ()
        assert sweep.trainer.check(run.config) == []
    return [run.config for run in runs]


def test_every_sweep_is_counted_here() -> None:
    shipped = {file.stem for file in (CONFIGS / "sweeps").glob("*.yaml")}
    assert shipped == {*COUNTS, "quickstart"}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_that_every_point_can_work(name: str) -> None:
    sweep = sweep_named(name)
    assert sweep.group == name
    assert sweep.warnings == ()
    assert sweep.count() == len(points(sweep)) == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_three_lines_say_what_is_asked(name: str) -> None:
    lines = (CONFIGS / "sweeps" / f"{name}.yaml").read_text().splitlines()
    assert [line[:1] for line in lines[:4]] == ["#", "#", "#", "w"]
    assert "?" in "".join(lines[:3])
    assert f"{COUNTS[name]} runs" in "".join(lines[:3])


def test_the_users_grid() -> None:
    configs = points(sweep_named("sweep-2BP-12-10"))
    short_first = ((0.0, 0.1), (0.0, 1.0), (0.0, 1.0))
    grid = itertools.product(
        [f"complex_TBP_planar_{orbits}_train" for orbits in (1, 10, 100)],
        [short_first, ((0.0, 1.0),)],
        [(4,), (10,), (18,)],
        [2, 4],
        ["tanh", "leaky_relu"],
        ["sph_4D_rinv_vel", "sph_4D_rinv_vel_harmonics"],
        ["mlp_4D_signed", "mlp_4D_unit", "mlp_4D_unit_softplus", "mlp_4D_logmag_unit_exp"],
    )
    found = []
    for config in configs:
        p = config.parameters
        found.append(
            (
                config.data.dataset_name,
                p.length_strategy,
                p.segment_length_strategy,
                p.depth,
                p.activation,
                p.feature_layer,
                p.output_layer,
            )
        )
        assert p.lr_strategy == (1e-3, 1e-3, 1e-4)
        assert p.steps_strategy == (1000, 1000, 1000)
        assert (p.width, p.train_val_split, p.batch_size) == (64, 1.0, 256)
        assert p.loss_fcn == "percent_error_plus_nmse"
    assert Counter(found) == Counter(grid)


@pytest.mark.parametrize(
    ("name", "training_set"),
    [
        ("heatmap-baseline", "complex_TBP_planar_{}_train"),
        ("heatmap-fixnu0", "complex_TBP_planar_fixnu0_{}_train"),
        ("heatmap-circular", "circular_TBP_planar_{}_train"),
    ],
)
def test_heat_maps(name: str, training_set: str) -> None:
    found = {
        (config.data.dataset_name, *config.parameters.segment_length_strategy)
        for config in points(sweep_named(name))
    }
    assert found == {
        (training_set.format(orbits), segment)
        for orbits in (1, 4, 16, 100)
        for segment in (4, 10, 18, 24, 36, 72, 180, 360)
    }


def test_every_head_once() -> None:
    heads = [config.parameters.output_layer for config in points(sweep_named("heads-10-orbits"))]
    another_name = {"mlp_4D_accsoftplus"}
    assert Counter(heads) == Counter(set(get_args(OutputLayer)) - another_name)


def test_the_conference_curriculum() -> None:
    for config in points(sweep_named("hifi-conference")):
        p = config.parameters
        assert p.length_strategy == tuple((0.0, k / 10) for k in range(1, 11))
        assert (p.steps_strategy, p.batch_size, p.activation) == ((500,), 64, "tanh")
    for config in points(sweep_named("lofi")):
        assert config.parameters.steps_strategy == (2000, 10)


def test_the_rows_of_the_users_table() -> None:
    """Loss, steps, segments, activation and head of each, on 10 or 100 orbits."""
    percent, nmse = "percent_error", "percent_error_plus_nmse"
    lofi = ("signed", "unit_softplus", "logmag_unit_exp", "logmag_unit_softplus")
    lengths = (4, 10, 18, 24, 36, 72, 180)
    expected: dict[str, list[tuple[object, ...]]] = {
        "activation-head-lofi": [
            (100, (1000,), percent, 18, activation, head)
            for activation in ("tanh", "leaky_relu")
            for head in ("mlp_4D_signed", "mlp_4D")
        ],
        "short-segments": [
            (10, (1000,), percent, 4, "leaky_relu", head)
            for head in ("mlp_4D_signed", "mlp_4D", "mlp_4D_softplus")
        ],
        "lofi": [(100, (2000, 10), nmse, 18, "leaky_relu", f"mlp_4D_{head}") for head in lofi],
        "hifi-conference": [
            (100, (500,), percent, 18, "tanh", head) for head in ("mlp_4D_signed", "mlp_4D")
        ],
        "segment-slope": [
            (100, (1000,), percent, length, "leaky_relu", "mlp_4D_signed") for length in lengths
        ],
    }
    for name, rows in expected.items():
        found = []
        for config in points(sweep_named(name)):
            p = config.parameters
            orbits = int(config.data.dataset_name.split("_")[-2])
            assert config.data.dataset_name == f"complex_TBP_planar_{orbits}_train"
            assert (p.width, p.depth, p.lr_strategy, p.train_val_split) == (64, 2, (1e-3,), 1)
            assert (p.feature_layer, p.planar_constraint) == ("sph_4D_rinv_vel", True)
            [segment] = p.segment_length_strategy
            found.append(
                (orbits, p.steps_strategy, p.loss_fcn, segment, p.activation, p.output_layer)
            )
        assert Counter(found) == Counter(rows), name
    for config in points(sweep_named("heads-10-orbits")):
        p = config.parameters
        assert config.data.dataset_name == "complex_TBP_planar_10_train"
        assert (p.steps_strategy, p.loss_fcn, p.mse_weight) == ((2000,), nmse, 1.0)


def test_segments_of_the_curriculum() -> None:
    losses = [("percent_error", 1.0)]
    losses += [("percent_error_plus_nmse", weight) for weight in (1.0, 10.0, 50.0)]
    grid = itertools.product(
        [(4, 18, 24), (4, 18, 20)],
        [(200,), (1000,)],
        [(1e-3, 1e-3, 1e-3), (1e-3, 1e-3, 1e-4)],
        losses,
    )
    found = []
    for config in points(sweep_named("curriculum-segments")):
        p = config.parameters
        assert (config.data.dataset_name, p.width) == ("complex_TBP_planar_16_train", 16)
        loss = (p.loss_fcn, p.mse_weight)
        found.append((p.segment_length_strategy, p.steps_strategy, p.lr_strategy, loss))
    assert Counter(found) == Counter(grid)


@pytest.mark.parametrize(
    ("name", "old", "new", "misfits"),
    [
        # Longer than an orbit: each training set has one such point.
        ("heatmap-baseline", "[360]", "[361]", 4),
        # Longer than the first tenth of an orbit: only where the curriculum begins there.
        ("sweep-2BP-12-10", "[18]", "[37]", 576 // 2 // 3),
        ("hifi-conference", "[18]", "[36]", 0),
        ("hifi-conference", "[18]", "[37]", 2),
        # Two rates cannot serve three phases.
        ("curriculum-segments", "[1e-3, 1e-3, 1e-4]", "[1e-3, 1e-4]", 16),
    ],
)
def test_points_that_cannot_work_are_found_before_anything_trains(
    name: str, old: str, new: str, misfits: int, tmp_path: Path
) -> None:
    text = (CONFIGS / "sweeps" / f"{name}.yaml").read_text()
    assert text.count(old) == 1
    (tmp_path / "changed.yaml").write_text(text.replace(old, new))
    sweep = read_sweep(tmp_path / "changed.yaml")
    wrong = [run for run in sweep if run.invalid or sweep.trainer.check(run.config)]
    assert sweep.count() == COUNTS[name]
    assert len(wrong) == misfits


def test_first_look_at_latent_odes() -> None:
    sweep = read_sweep(CONFIGS / "latent_ode" / "sweeps" / "first-look.yaml")
    assert sweep.trainer.name == "models.latent_ode"
    assert sweep.warnings == ()
    assert sweep.count() == len(points(sweep)) == 16
    lines = sweep.text.splitlines()
    assert [line[:1] for line in lines[:4]] == ["#", "#", "#", "t"]
    # One compiled program for each target window.
    assert len({sweep.trainer.program_key(config) for config in points(sweep)}) == 2


def test_the_latent_odes_default_file_says_what_the_code_says(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text((CONFIGS / "latent_ode" / "default.yaml").read_text())
    (tmp_path / "plain.yaml").write_text("trainer: models.latent_ode\n")
    sweep = read_sweep(tmp_path / "plain.yaml")
    assert sweep.defaults_file is not None
    (run,) = sweep
    assert run.config == latent_ode.Config()
