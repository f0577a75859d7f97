"""A latent ODE trained on a few small orbits: it learns, extrapolates, is saved and loaded."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import pytest

from models import latent_ode, two_body
from models.latent_ode import Config, Data, Parameters, training
from models.latent_ode.evaluation import evaluate_series, predict
from models.latent_ode.series import Scales, observe
from models.latent_ode.training import rates_of, split_series
from models.training.checkpoints import ModelFileError
from sweeper.trainer import Diverged

TEST_SET = "circular_TBP_planar_6_test"
CONFIG = Config(
    data=Data(dataset_name="circular_TBP_planar_40_train", stride=12, test_datasets=(TEST_SET,)),
    parameters=Parameters(
        latent_size=4,
        hidden_size=16,
        width=16,
        depth=1,
        steps=300,
        batch_size=16,
        lr=1e-2,
        validation_every=120,
    ),
)


class RunContext:
    """Keeps what a training tells it, in memory and in one folder."""

    id = "tiny"
    restored = None

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.folder = folder
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.told: list[float] = []
        self._stop_after = stop_after

    def log(self, step: int, **metrics: float) -> None:
        self.rows.append((step, metrics))
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise Diverged("loss", step=step)

    def save(self, name: str, writer: Callable[[Path], object]) -> Path:
        writer(self.folder / f".{name}")
        return (self.folder / f".{name}").replace(self.folder / name)

    def should_stop(self) -> bool:
        return self._stop_after is not None and len(self.rows) >= self._stop_after

    def checkpoint(self, step: int, writer: Callable[[Path], object]) -> bool:
        return False

    def progress(self, fraction: float) -> None:
        self.told.append(fraction)

    def column(self, name: str) -> list[float]:
        return [row[name] for _, row in self.rows if name in row]


def changed(**parameters: Any) -> Config:
    return dataclasses.replace(
        CONFIG, parameters=dataclasses.replace(CONFIG.parameters, **parameters)
    )


Trained: TypeAlias = tuple[RunContext, Mapping[str, Any]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    run = RunContext(tmp_path_factory.mktemp("run"))
    (metrics,) = latent_ode.train([CONFIG], [run])
    return run, metrics


def test_the_bound_rises(trained: Trained) -> None:
    run, _ = trained
    elbo = run.column("elbo")
    assert len(elbo) == 300
    assert np.mean(elbo[-30:]) > np.mean(elbo[:30]) + 5
    assert run.column("loss")[-1] == pytest.approx(-elbo[-1], rel=1e-5)  # full weight by now
    assert all(kl >= 0 for kl in run.column("kl"))


def test_steps_rates_and_progress_are_told(trained: Trained) -> None:
    run, _ = trained
    steps = [step for step, row in run.rows if "loss" in row]
    assert steps == list(range(1, 301))
    assert [step for step, row in run.rows if "val_elbo" in row] == [120, 240, 300]
    assert [step for step, _ in run.rows] == sorted(step for step, _ in run.rows)
    assert np.allclose(run.column("lr"), rates_of(CONFIG).lr)
    assert run.told == sorted(run.told)
    assert run.told[-1] == 1


def test_held_out_orbits_are_reconstructed_better_than_by_the_mean(trained: Trained) -> None:
    run, metrics = trained
    model = latent_ode.load(run.folder)
    data = two_body.load(TEST_SET)
    mean = np.nanmean(two_body.load(CONFIG.data.dataset_name).y, axis=(0, 1)) / model.scales.state
    y = data.y[:, ::12][:, :15] / model.scales.state
    by_the_mean = 100 * np.linalg.norm(mean - y, axis=-1) / np.linalg.norm(y, axis=-1)
    reconstruction = metrics[f"{TEST_SET}/reconstruction_pct"]
    assert reconstruction < 0.4 * by_the_mean.mean()
    # and the reported figure is the error of the states that `predict` gives
    prediction = predict(model, data)
    assert prediction.seen == 15
    own = prediction.y[:, :15] / model.scales.state
    errors = 100 * np.linalg.norm(own - y, axis=-1) / np.linalg.norm(y, axis=-1)
    assert errors.mean() == pytest.approx(reconstruction, rel=1e-3)


def test_extrapolation_is_reported_and_is_the_harder_part(trained: Trained) -> None:
    _, metrics = trained
    for name in ("validation", TEST_SET):
        extrapolation = metrics[f"{name}/extrapolation_pct"]
        assert metrics[f"{name}/reconstruction_pct"] < extrapolation < 1000
        assert metrics[f"{name}/failed_pct"] == 0
    assert latent_ode.headline in metrics
    assert (metrics["num_total_orbits"], metrics["num_train_orbits"]) == (40, 32)


def test_orbits_whose_solve_fails_are_counted_and_left_out(trained: Trained) -> None:
    run, _ = trained
    model = latent_ode.load(run.folder)
    series = observe(two_body.load(TEST_SET), CONFIG.data, model.scales)
    y = np.array(series.y)
    y[2] = np.nan  # no posterior, so nothing to solve
    found = evaluate_series(model, dataclasses.replace(series, y=y))
    assert found["failed_pct"] == pytest.approx(100 / 6)
    rest = [evaluate_series(model, series.take(np.array([k]))) for k in (0, 1, 3, 4, 5)]
    for name in ("reconstruction_pct", "extrapolation_pct"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in rest]), rel=1e-4)
    nothing = evaluate_series(model, dataclasses.replace(series, y=np.full_like(y, np.nan)))
    assert nothing.pop("failed_pct") == 100
    assert np.isnan(list(nothing.values())).all()


def test_a_saved_model_is_the_same_model(trained: Trained) -> None:
    run, metrics = trained
    model = latent_ode.load(run.folder)
    assert model.config == CONFIG
    again = latent_ode.evaluate(CONFIG, run.folder, [TEST_SET])
    assert again == {name: metrics[name] for name in metrics if name.startswith(TEST_SET)}
    assert len(again) == 4


def test_a_model_file_that_does_not_fit_is_refused(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained
    line, arrays = (run.folder / "model.eqx").read_bytes().split(b"\n", 1)
    for old, new, told in (
        (b'"hidden_size": 16', b'"hidden_size": 17', "is damaged: an array has shape"),
        (b'"hidden_size"', b'"hidden_sizes"', "has no entry `hidden_sizes`"),
        (b'"softplus"', b'"softminus"', "'softminus', which this version does not know"),
        (b'"length_km"', b'"length_miles"', "length_km"),
        (b'"final"', b'"last"', "no model 'final'"),
    ):
        assert line.count(old) == 1
        (tmp_path / "model.eqx").write_bytes(line.replace(old, new) + b"\n" + arrays)
        with pytest.raises(ModelFileError, match=told):
            latent_ode.load(tmp_path)


def test_other_rates_seeds_and_observations_share_the_program(
    trained: Trained, tmp_path: Path
) -> None:
    compiled: list[float] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        config = dataclasses.replace(
            changed(
                lr=3e-3,
                noise=0.2,
                kl_weight=0.5,
                gradient_clip=0.1,
                atol=1e-3,
                steps=60,
                num_trajs=36,
                train_val_split=0.89,
            ),
            seed=5,
        )
        config = dataclasses.replace(
            config,
            data=dataclasses.replace(config.data, observed_fraction=0.5, irregular=True),
        )
        run = RunContext(tmp_path)
        (metrics,) = latent_ode.train([config], [run])
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(run.column("loss")) == 60
    assert compiled == []
    # Of the 40 orbits the first 36 are taken, and 32 of these train.
    assert (metrics["num_total_orbits"], metrics["num_train_orbits"]) == (40, 32)


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    runs = [RunContext(tmp_path / str(k)) for k in range(3)]
    configs = [changed(steps=20), changed(steps=20), dataclasses.replace(changed(steps=20), seed=1)]
    for run in runs:
        run.folder.mkdir()
    first, second, other = latent_ode.train(configs, runs)
    assert first == second
    assert runs[0].rows == runs[1].rows
    assert runs[0].rows != runs[2].rows
    assert first["validation/elbo"] != other["validation/elbo"]


def test_what_is_not_observed_cannot_matter(tmp_path: Path) -> None:
    data = dataclasses.replace(
        CONFIG.data,
        observed_components=("x", "y", "z"),
        observed_fraction=0.5,
        irregular=True,
    )
    run = RunContext(tmp_path)
    config = dataclasses.replace(changed(steps=150), data=data)
    (metrics,) = latent_ode.train([config], [run])
    elbo = run.column("elbo")
    assert np.mean(elbo[-20:]) > np.mean(elbo[:20]) + 2
    assert math.isfinite(metrics["validation/reconstruction_pct"])
    # Positions alone are shown: other velocities change no prediction, other positions do.
    model = latent_ode.load(tmp_path)
    orbits = two_body.load(TEST_SET)
    reference = predict(model, orbits)
    # The figures are those of the positions: nobody told the decoder what a velocity is.
    true, own = orbits.y[:, ::12, :3], reference.y[..., :3]
    errors = 100 * np.linalg.norm(own - true, axis=-1) / np.linalg.norm(true, axis=-1)
    reconstruction = metrics[f"{TEST_SET}/reconstruction_pct"]
    assert reconstruction == pytest.approx(errors[:, :15].mean(), rel=1e-3)
    assert reconstruction < 60
    extrapolation = metrics[f"{TEST_SET}/extrapolation_pct"]
    assert extrapolation == pytest.approx(errors[:, 15:].mean(), rel=1e-3)
    assert not reference.observed[..., 3:].any()
    assert not reference.observed[:, 15:].any()
    faster = two_body.Dataset(orbits.name, orbits.t, orbits.y * [1, 1, 1, 2, 2, 2], orbits.elements)
    assert np.array_equal(predict(model, faster).y, reference.y)
    wider = two_body.Dataset(orbits.name, orbits.t, orbits.y * [2, 2, 2, 1, 1, 1], orbits.elements)
    assert not np.allclose(predict(model, wider).y, reference.y)


@pytest.mark.parametrize(
    ("parameters", "step", "told"),
    [
        ({"rtol": 1e-12, "atol": 1e-12}, 1, r"the solver failed on \d+ of 16 orbits at step 1"),
        ({"lr": 1e9}, 2, "the loss is (inf|nan) at step 2"),
    ],
)
def test_leaving_the_finite_numbers_is_a_divergence(
    parameters: dict[str, Any], step: int, told: str, tmp_path: Path
) -> None:
    run = RunContext(tmp_path)
    with pytest.raises(Diverged, match=told) as caught:
        latent_ode.train([changed(**parameters)], [run])
    assert caught.value.step == step
    assert [logged for logged, _ in run.rows] == list(range(1, step + 1))
    assert not (tmp_path / "model.eqx").exists()


def test_no_step_follows_one_that_left_the_finite_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Failing solves take longest, and nothing that comes of them is kept."""
    reported = []
    run_chunk = training._run_chunk

    def listen(*arguments: Any, **named: Any) -> Any:
        state, figures = run_chunk(*arguments, **named)
        reported.append(np.asarray(figures.gradient_norm))
        return state, figures

    monkeypatch.setattr(training, "_run_chunk", listen)
    with pytest.raises(Diverged):
        latent_ode.train([changed(lr=1e9)], [RunContext(tmp_path)])
    [norms] = reported
    assert norms[0] > 0
    assert not np.isfinite(norms[1])
    assert (norms[2:] == 0).all()


def test_a_stopped_run_keeps_its_model(tmp_path: Path) -> None:
    run = RunContext(tmp_path, stop_after=40)
    assert latent_ode.train([CONFIG], [run]) == [{}]
    assert len(run.column("loss")) == 50
    assert latent_ode.load(tmp_path).config == CONFIG


def test_without_a_held_out_orbit_validation_uses_the_training_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = two_body.load("circular_TBP_planar_10_train")
    series = observe(data, Data(), Scales.of(data))
    training, validation = split_series(series, 0.8)
    assert (len(training), len(validation)) == (8, 2)
    assert np.array_equal(np.concatenate([training.y, validation.y]), series.y)
    assert not caplog.text
    for few, share in ((series, 1.0), (series.take(slice(0, 1)), 0.5)):
        training, validation = split_series(few, share)
        assert len(training) == len(validation) == len(few)
        assert "validation uses the same orbits" in caplog.text
        caplog.clear()


def test_a_gpu_that_is_not_there_is_told_with_what_is(trained: Trained, tmp_path: Path) -> None:
    if any(device.platform != "cpu" for device in jax.devices()):
        pytest.skip("there is a GPU here")
    run, _ = trained
    config = dataclasses.replace(CONFIG, device="gpu")
    for attempt in (
        lambda: latent_ode.train([config], [RunContext(tmp_path)]),
        lambda: latent_ode.evaluate(config, run.folder, [TEST_SET]),
    ):
        with pytest.raises(RuntimeError, match=r"`device: gpu`.*JAX sees only.*[Cc]pu"):
            attempt()


def test_rates() -> None:
    rates = rates_of(changed(steps=100, lr=0.1, kl_weight=2.0, kl_warmup=0.5))
    assert rates.lr[0] == pytest.approx(0.1)
    assert rates.lr[50] == pytest.approx(0.05)
    assert np.all(np.diff(rates.lr) < 0)
    assert rates.kl_weight[0] == pytest.approx(0.04)
    assert np.all(rates.kl_weight[49:] == 2)
    constant = rates_of(changed(steps=3, lr=0.1, lr_schedule="constant", kl_warmup=0.0))
    assert np.allclose(constant.lr, 0.1)
    assert np.all(constant.kl_weight == 1)
