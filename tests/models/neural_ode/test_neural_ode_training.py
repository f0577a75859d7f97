"""Whole trainings of a tiny config: metrics, phases, validation, stops, divergence, equality."""

import contextlib
import dataclasses
import io
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import pytest
from tiny_trainings import Done, Tiny, Trains

from models import two_body
from models.neural_ode import evaluate, load
from models.neural_ode.compiled_phases import Stage, make_stages, validate
from models.neural_ode.config import Config
from models.neural_ode.model import NeuralODE
from models.neural_ode.step import fresh_state
from models.training.checkpoints import ModelFileError
from models.training.config import Adam, AdamW, Optimiser, Sgd
from models.training.device import choose
from models.training.optimisers import build
from models.two_body import Units
from sweeper.trainer import Diverged

Counting: TypeAlias = Callable[[], AbstractContextManager[Callable[[], int]]]


def test_the_loss_falls_and_every_step_is_logged(tiny_run: Done) -> None:
    rows = tiny_run.training_rows
    assert [row["step"] for row in rows] == list(range(1, 41))
    losses = [row["loss"] for row in rows]
    assert losses[-1] < 0.3 * losses[0]
    for row in rows:
        assert row["loss"] == row["percent"]
        assert 0 < row["rms"] < 1
        assert row["lr"] == pytest.approx(1e-2)
        assert row["gradient_norm"] > 0
        assert 1 <= row["solver_steps_mean"] <= row["solver_steps_max"] <= 64
        assert 0 <= row["solver_rejected"] < row["solver_steps_mean"]


def test_validation_has_the_global_step(tiny_run: Done) -> None:
    rows = tiny_run.validation_rows
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    assert all(row["val_loss"] == row["val_percent"] for row in rows)
    assert tiny_run.result["best_loss"] == min(row["val_loss"] for row in rows)


def test_the_result_says_what_a_table_needs(tiny_run: Done) -> None:
    result = tiny_run.result
    assert result["loss"] == tiny_run.training_rows[-1]["loss"]
    assert result["segment_ratio"] == pytest.approx(12 / 360)
    assert result["num_total_orbits"] == result["num_train_orbits"] == 2
    assert result["num_segments"] == 60
    assert result["num_parameters"] == 7 * 8 + 8 + 8 * 4 + 4
    assert result["wall_s"] > result["compile_s"] >= 0
    assert result["steps_per_s"] > 0
    for name in ("simple_TBP_planar_1_test", "simple_TBP_planar_2_test"):
        for measure in ("", "in_time/", "pointwise/"):
            assert 0 < result[f"{measure}{name}/mean"] < 1000
        assert result[f"{name}/failed_pct"] == 0
        assert result[f"{name}/samples"] == 360 * result[f"{name}/orbits"]
    assert all(isinstance(value, (int, float)) for value in result.values())


def test_equal_seeds_are_equal_bit_for_bit_and_others_are_not(
    tiny_run: Done, trained: Trains, tiny_config: Tiny
) -> None:
    again = trained(tiny_config())
    assert again.training_rows == tiny_run.training_rows
    timing = ("wall_s", "compile_s", "steps_per_s")
    first, second = (
        {k: v for k, v in run.result.items() if k not in timing and not math.isnan(v)}
        for run in (tiny_run, again)
    )
    assert first == second
    other = trained(tiny_config(seed=1, steps_strategy=(3,)))
    assert other.training_rows[0]["loss"] != tiny_run.training_rows[0]["loss"]
    # The weights are drawn by the seed too: three steps of 0.01 bring no two draws so far apart.
    short = trained(tiny_config(steps_strategy=(3,)))
    ours, theirs = (load(run.folder, "final").model.weights[0] for run in (short, other))
    assert np.abs(ours - theirs).max() > 0.1


def test_a_second_run_of_a_program_compiles_nothing(
    tiny_run: Done, trained: Trains, tiny_config: Tiny, compiles: Counting
) -> None:
    with compiles() as count:
        changed = trained(
            tiny_config(
                seed=7,
                lr_strategy=(3e-3, 1e-3),
                steps_strategy=(5, 3),
                length_strategy=((0.0, 0.5), (0.0, 1.0)),
                rtol=1e-5,
                mse_weight=4.0,
                optimiser=AdamW(weight_decay=0.1),
                lr_schedule="cosine",
                gradient_clip=0.1,
            )
        )
    assert count() == 0
    assert changed.result["compile_s"] < 0.5
    assert [row["step"] for row in changed.training_rows] == list(range(1, 9))
    # Each phase has its own cosine, from its rate to a hundredth of it.
    rates = [row["lr"] for row in changed.training_rows]
    assert [rates[k] for k in (0, 2, 4, 5, 7)] == pytest.approx(
        [3e-3, 3e-3 * 0.505, 3e-5, 1e-3, 1e-5], rel=1e-4
    )


@pytest.fixture
def compiles() -> Counting:
    """Counts what XLA compiles inside a block."""

    @contextlib.contextmanager
    def counting() -> Iterator[Callable[[], int]]:
        events = []

        def listener(event: str, duration_secs: float, **_: str | int) -> None:
            if event == "/jax/core/compile/backend_compile_duration":
                events.append(duration_secs)

        jax.monitoring.register_event_duration_secs_listener(listener)
        try:
            yield lambda: len(events)
        finally:
            jax.monitoring.unregister_event_duration_listener(listener)

    return counting


def test_phases_follow_each_other_on_one_model(trained: Trains, tiny_config: Tiny) -> None:
    run = trained(
        tiny_config(
            steps_strategy=(20, 10),
            lr_strategy=(1e-2, 1e-3),
            length_strategy=((0.0, 0.5), (0.0, 1.0)),
        )
    )
    rows = run.training_rows
    assert [row["lr"] for row in rows] == pytest.approx([1e-2] * 20 + [1e-3] * 10)
    assert rows[20]["loss"] < 0.7 * rows[0]["loss"]
    assert [row["step"] for row in run.validation_rows] == [10, 20, 30]


def test_the_best_model_of_each_phase_and_of_all_is_kept(
    trained: Trains, tiny_config: Tiny
) -> None:
    """With such rates the validation loss goes up and down, and the second phase does harm."""
    config = tiny_config(
        length_strategy=((0.0, 0.5), (0.0, 1.0)),
        lr_strategy=(0.05, 0.3),
        steps_strategy=(24, 12),
        validation_every=2,
    )
    run = trained(config)
    losses = [row["val_loss"] for row in run.validation_rows]
    data = two_body.load(config.data.dataset_name)
    stages = make_stages(config, data, data, Units.of(data), choose("cpu"))

    def validated(stage: Stage, which: str) -> float:
        model = load(run.folder, which).model
        return validate(stage, model, stage.chunk.workspace())[0].loss

    assert validated(stages[0], "phase_1") == pytest.approx(min(losses[:12]), rel=1e-5)
    assert validated(stages[1], "phase_2") == pytest.approx(min(losses[12:]), rel=1e-5)
    assert min(losses[:12]) < losses[11] or min(losses[12:]) < losses[-1]
    assert validated(stages[1], "final") == pytest.approx(losses[-1], rel=1e-5)
    # The two are compared on what the last phase asks for.
    first, second = (validated(stages[1], name) for name in ("phase_1", "phase_2"))
    assert first < second
    assert run.result["best_loss"] == pytest.approx(first, rel=1e-5)
    assert validated(stages[1], "best") == first


@pytest.mark.usefixtures("quickly_compiled")
def test_orbits_in_space_are_learned(trained: Trains, tiny_config: Tiny) -> None:
    run = trained(
        tiny_config(
            data={
                "dataset_name": "complex_TBP_2_train",
                "test_datasets": ("complex_TBP_2_test",),
            },
            lr_strategy=(3e-2,),
            planar_constraint=False,
            feature_layer="sph_4D_rinv_vrvt",
            output_layer="mlp_rtn",
            loss_fcn="mean_squared_error",
            optimiser=AdamW(),
            lr_schedule="exponential",
            gradient_clip=1.0,
        )
    )
    losses = [row["loss"] for row in run.training_rows]
    assert losses[-1] < 0.3 * losses[0]
    for row in run.training_rows:
        assert row["loss"] == pytest.approx(row["rms"] ** 2, rel=1e-4)
        assert row["loss"] != row["percent"]
    assert run.result["complex_TBP_2_test/failed_pct"] == 0
    assert run.result["complex_TBP_2_test/theta_deg"] < 45


def test_orbits_that_validate_do_not_train(trained: Trains, tiny_config: Tiny) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        half = trained(
            tiny_config(
                data={"dataset_name": "simple_TBP_planar_4_train"},
                num_trajs=3,
                train_val_split=0.4,
                steps_strategy=(10,),
            )
        )
    whole = two_body.load("simple_TBP_planar_4_train")
    assert half.result["num_total_orbits"] == 4
    assert half.result["num_train_orbits"] == 1
    assert half.result["num_segments"] == 30
    assert "1 train, 2 validate" in printed.getvalue()
    # The length unit is the largest radius of what trains, not of what validates.
    assert load(half.folder).units == Units.of(whole.first(1)) != Units.of(whole.first(3))
    [row] = half.validation_rows
    # Other orbits: another loss than that of the same model on what it trained on.
    assert row["val_loss"] != pytest.approx(half.training_rows[-1]["loss"], rel=0.02)


def test_the_log_says_when_there_is_no_split(trained: Trains, tiny_config: Tiny) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        trained(tiny_config(steps_strategy=(1,)))
        trained(tiny_config(steps_strategy=(1,), num_trajs=1, train_val_split=0.5))
    assert "validation uses the same, because `train_val_split` is 1" in printed.getvalue()
    assert "validation uses the same, because there is one orbit" in printed.getvalue()


def test_a_huge_learning_rate_is_diverged_with_its_step(
    trained: Trains, tiny_config: Tiny, tmp_path: Path
) -> None:
    config = tiny_config(lr_strategy=(1e25,))
    with pytest.raises(Diverged, match=r"at step \d+, phase 1") as caught:
        trained(config)
    step = caught.value.step
    assert step is not None
    assert 2 <= step <= 40
    rows = (tmp_path / "run0" / "metrics.jsonl").read_text().splitlines()
    assert f'"step": {step},' in rows[-1].replace('"step":', '"step": ').replace("  ", " ")


def test_more_unsolved_segments_than_allowed_are_diverged_with_their_number(
    trained: Trains, tiny_config: Tiny
) -> None:
    with pytest.raises(Diverged) as caught:
        trained(tiny_config(max_unsolved=0.5, rtol=1e-12, atol=1e-12))
    assert str(caught.value) == (
        "the solver failed on 16 of 16 segments (within 64 steps, or not finite), more than "
        "`max_unsolved: 0.5` at step 1, phase 1"
    )


def test_unsolved_segments_are_logged_and_counted(trained: Trains, tiny_config: Tiny) -> None:
    # Near what float32 can resolve, some segments need more attempts than they may have.
    run = trained(tiny_config(max_unsolved=0.95, rtol=4e-11, atol=4e-11, steps_strategy=(3,)))
    unsolved = [row["unsolved"] for row in run.training_rows]
    assert sum(unsolved) == run.result["unsolved_total"] > 0


def test_asked_to_stop_it_saves_and_returns_what_it_has(
    trained: Trains, tiny_config: Tiny, tmp_path: Path
) -> None:
    flag = tmp_path / "stop"
    flag.touch()
    run = trained(tiny_config(steps_strategy=(100_000,)), stop=flag)
    assert 1 <= len(run.training_rows) <= 64
    assert (run.folder / "model.eqx").exists()
    assert "simple_TBP_planar_1_test/mean" not in run.result
    assert run.result["loss"] == run.training_rows[-1]["loss"]


def test_evaluating_again_gives_the_same_figures(tiny_run: Done) -> None:
    found = evaluate(tiny_run.config, tiny_run.folder, tiny_run.config.data.test_datasets)
    assert found.keys() <= tiny_run.result.keys()
    for name, value in found.items():
        assert value == pytest.approx(tiny_run.result[name], rel=1e-6, nan_ok=True)


def test_evaluating_refuses_another_architecture(tiny_run: Done, tiny_config: Tiny) -> None:
    with pytest.raises(ModelFileError, match=r"trained with width 8 \(config: 9\)"):
        evaluate(tiny_config(width=9), tiny_run.folder, ["simple_TBP_planar_1_test"])


@pytest.mark.parametrize("optimiser", [Adam(), AdamW(), Sgd(), Sgd(nesterov=True)])
def test_a_fresh_optimiser_is_the_one_of_optax(optimiser: Optimiser) -> None:
    model = NeuralODE(Config().parameters.architecture(), rng=np.random.default_rng(0))
    ours, theirs = fresh_state(model, optimiser).optimiser, build(optimiser).init(model)
    structure: Any = jax.tree.structure(theirs)
    assert jax.tree.structure(ours) == structure
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_a_gpu_that_is_not_there_is_told_with_what_is(trained: Trains, tiny_config: Tiny) -> None:
    if any(device.platform != "cpu" for device in jax.devices()):
        pytest.skip("there is a GPU here")
    with pytest.raises(RuntimeError, match="JAX sees only"):
        trained(dataclasses.replace(tiny_config(), device="gpu"))
