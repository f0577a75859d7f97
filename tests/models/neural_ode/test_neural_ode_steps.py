"""One optimiser step by hand: clipping, decay, penalties, the energy and attraction terms."""

import dataclasses
from typing import Any, Protocol

import jax
import numpy as np
import numpy.typing as npt
import pytest
from tiny_trainings import Tiny

from models.neural_ode.compiled_phases import make_stages, validate
from models.neural_ode.curriculum import Batches, blocks, cut, draw
from models.neural_ode.model import NeuralODE
from models.neural_ode.solve import Workspace
from models.neural_ode.step import Orders, Rows, State, fresh_state
from models.training.config import Adam, AdamW, Sgd
from models.training.device import choose
from models.two_body import Units, load


class Takes(Protocol):
    """Takes one step; the models before and after, and the row."""

    def __call__(
        self,
        lr: float = 0.1,
        learn: bool = True,
        start: NeuralODE | None = None,
        **parameters: Any,
    ) -> tuple[NeuralODE, NeuralODE, Rows]: ...


@pytest.fixture(scope="module")
def step(tiny_config: Tiny) -> Takes:
    """Takes one step of plain gradient descent; the models before and after, and the row."""
    data = load("simple_TBP_planar_2_train")
    units = Units.of(data)
    segments = cut(data, units, (0.0, 1.0), 12)

    def take(
        lr: float = 0.1, learn: bool = True, start: NeuralODE | None = None, **parameters: Any
    ) -> tuple[NeuralODE, NeuralODE, Rows]:
        # Both extra terms stay in the program, so that all steps share it.
        defaults = {
            "optimiser": Sgd(momentum=0.0),
            "loss_fcn": "percent_error_with_attraction",
            "energy_weight": 1e-12,
            "attraction_weight": 0.0,
        }
        config = tiny_config(**{**defaults, **parameters})
        [stage] = make_stages(config, data, data, units, choose("cpu"))
        chunk = stage.chunk
        drawn = NeuralODE(config.parameters.architecture(), rng=np.random.default_rng(0))
        model = drawn if start is None else start
        state = fresh_state(model, chunk.program.optimiser)
        batches = draw(segments, 16, 1, np.random.default_rng(0)).padded(chunk.program.length)
        rates = np.full(chunk.program.length, lr, np.float32)
        orders = Orders(rates, np.int32(1), learn)
        after, _, rows, _ = chunk.run(state, chunk.workspace(), batches, orders, stage.knobs)
        return model, after.model, jax.tree.map(lambda column: float(column[0]), rows)

    return take


def flat(model: NeuralODE) -> npt.NDArray[np.float32]:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)])


def test_a_step_goes_against_the_gradient_by_the_rate(step: Takes) -> None:
    before, after, row = step(lr=1e-3)
    moved = flat(after) - flat(before)
    assert np.linalg.norm(moved) == pytest.approx(1e-3 * row.gradient_norm, rel=1e-3)
    _, further, _ = step(lr=2e-3)
    np.testing.assert_allclose(flat(further) - flat(before), 2 * moved, rtol=1e-2, atol=1e-6)


def test_measuring_changes_nothing(step: Takes) -> None:
    before, after, row = step(learn=False)
    np.testing.assert_array_equal(flat(after), flat(before))
    assert row.loss == step(lr=1e-3)[2].loss


def test_the_gradient_is_clipped_by_its_norm(step: Takes) -> None:
    _, _, free = step()
    before, after, clipped = step(lr=0.1, gradient_clip=free.gradient_norm / 4)
    assert clipped.gradient_norm == pytest.approx(free.gradient_norm)
    moved = np.linalg.norm(flat(after) - flat(before))
    assert moved == pytest.approx(0.1 * free.gradient_norm / 4, rel=1e-3)
    _, untouched, _ = step(lr=0.1, gradient_clip=4 * free.gradient_norm)
    np.testing.assert_array_equal(flat(untouched), flat(step(lr=0.1)[1]))


def test_weights_decay_apart_from_the_gradient(step: Takes) -> None:
    shared: dict[str, Any] = {"lr": 1e-2, "loss_fcn": "percent_error", "energy_weight": 0.0}
    before, plain, row = step(optimiser=Adam(), **shared)
    _, decayed, other = step(optimiser=AdamW(weight_decay=0.5), **shared)
    np.testing.assert_allclose(
        flat(decayed) - flat(plain), -1e-2 * 0.5 * flat(before), rtol=1e-3, atol=1e-7
    )
    assert other.gradient_norm == row.gradient_norm
    # The first step of Adam goes by the rate along each axis, whatever the gradient's size; planar
    # orbits have none for what z and its rate are weighed with.
    moved = np.abs(flat(plain) - flat(before))
    np.testing.assert_allclose(moved[moved > 0], 1e-2, rtol=1e-3)
    assert 70 < np.sum(moved > 0) < 100


def test_penalties_add_their_value_and_their_gradient(step: Takes) -> None:
    before, plain, row = step(lr=1e-3)
    theta = flat(before)
    _, after, penalised = step(lr=1e-3, l1_weight=0.5, l2_weight=0.25)
    more = 0.5 * np.abs(theta).sum() + 0.25 * (theta**2).sum()
    assert penalised.loss - row.loss == pytest.approx(more, rel=1e-3)
    assert penalised.percent == row.percent
    extra = -1e-3 * (0.5 * np.sign(theta) + 0.5 * theta)
    np.testing.assert_allclose(flat(after) - flat(plain), extra, rtol=2e-3, atol=2e-7)


def test_energy_and_attraction_are_part_of_loss_and_gradient(step: Takes) -> None:
    _, plain, row = step(lr=1e-3)
    weights: list[dict[str, Any]] = [{"energy_weight": 2.0}, {"attraction_weight": 2.0}]
    for weight in weights:
        _, after, weighed = step(lr=1e-3, **weight)
        sums = row.sums
        term = sums.energy if "energy_weight" in weight else sums.outward
        assert term > 0
        assert weighed.loss - row.loss == pytest.approx(2 * term / sums.points, rel=1e-3)
        assert not np.allclose(flat(after), flat(plain), rtol=0, atol=1e-7)


def test_the_gradient_of_the_whole_loss_agrees_with_differences(step: Takes) -> None:
    """Along its gradient a loss falls by the rate times the gradient's squared norm."""
    extra: dict[str, Any] = {
        "energy_weight": 1.0,
        "attraction_weight": 1.0,
        "rtol": 1e-6,
        "atol": 1e-8,
    }
    *_, row = step(lr=0.0, **extra)
    rate = 0.004 / row.gradient_norm
    _, ahead, _ = step(lr=rate, **extra)
    _, back, _ = step(lr=-rate, **extra)
    losses = [step(learn=False, start=model, **extra)[2].loss for model in (ahead, back)]
    slope = (losses[1] - losses[0]) / (2 * rate)
    assert slope == pytest.approx(row.gradient_norm**2, rel=0.02)


def test_the_solvers_steps_are_counted_per_segment(tiny_config: Tiny) -> None:
    data = load("complex_TBP_planar_2_train")
    units, config = Units.of(data), tiny_config(rtol=1e-5, atol=1e-7)
    [stage] = make_stages(config, data, data, units, choose("cpu"))
    chunk, segments = stage.chunk, stage.training
    drawn = NeuralODE(config.parameters.architecture(), rng=np.random.default_rng(0))
    # Rough enough, and long enough, that steps are rejected.
    model = jax.tree.map(lambda leaf: 4 * leaf, drawn)
    # Five of one segment each, then all five together: numbers of each and of the batch.
    index = np.array([[k] * 16 for k in range(5)] + [[0, 1, 2, 3, 4] + [0] * 11])
    real = np.array([1] * 5 + [5], np.int32)
    batches = Batches(12 * segments.t[index], segments.y[index], real).padded(chunk.program.length)
    orders = Orders(np.zeros(chunk.program.length, np.float32), np.int32(6), False)
    state = fresh_state(model, chunk.program.optimiser)
    _, _, rows, _ = chunk.run(state, chunk.workspace(), batches, orders, stage.knobs)
    mean, largest, rejected = (
        np.asarray(column)[:6] for column in (rows.attempts_mean, rows.attempts_max, rows.rejected)
    )
    np.testing.assert_array_equal(mean[:5], largest[:5])
    assert len(set(mean[:5])) > 1
    assert np.any(rejected[:5] > 0)
    assert mean[5] == pytest.approx(mean[:5].mean())
    assert largest[5] == largest[:5].max()
    assert rejected[5] == pytest.approx(rejected[:5].mean())


def test_a_step_that_leaves_the_finite_numbers_changes_nothing(tiny_config: Tiny) -> None:
    data = load("simple_TBP_planar_2_train")
    [stage] = make_stages(tiny_config(), data, data, Units.of(data), choose("cpu"))
    chunk = stage.chunk
    model = NeuralODE(tiny_config().parameters.architecture(), rng=np.random.default_rng(0))
    batches = draw(stage.training, 16, 3, np.random.default_rng(0)).padded(chunk.program.length)
    broken = np.array(batches.y)
    broken[1, 4, 0] = np.nan  # no start, so no solution
    rates = np.full(chunk.program.length, 1e-2, np.float32)

    def run(y: npt.NDArray[np.float32], steps: int) -> tuple[State, Workspace, Rows, jax.Array]:
        state = fresh_state(model, chunk.program.optimiser)
        orders = Orders(rates, np.int32(steps), True)
        space = chunk.workspace()
        done: tuple[State, Workspace, Rows, jax.Array] = chunk.run(
            state, space, batches._replace(y=y), orders, stage.knobs
        )
        return done

    state, _, rows, done = run(broken, 3)
    assert int(done) == 1
    assert list(np.asarray(rows.unsolved)[:3]) == [0, 1, 0]
    assert not np.isfinite(rows.loss[1])
    expected = run(batches.y, 1)[0]
    for found, right in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(found, right)


def test_unsolved_segments_are_left_out_of_loss_and_gradient(tiny_config: Tiny) -> None:
    data = load("simple_TBP_planar_2_train")
    config = tiny_config(max_unsolved=0.13)  # two of sixteen
    [stage] = make_stages(config, data, data, Units.of(data), choose("cpu"))
    chunk = stage.chunk
    model = NeuralODE(config.parameters.architecture(), rng=np.random.default_rng(0))
    rates = np.full(chunk.program.length, 1e-2, np.float32)

    def one(hopeless: list[int], *, real: int = 16, learn: bool = True) -> tuple[State, Rows, int]:
        """One step on the first segments; the hopeless have no start, so no solution."""
        t, y = np.array(stage.training.t[:16]), np.array(stage.training.y[:16])
        y[hopeless, 0, 0] = np.nan
        batch = Batches(t[None], y[None], np.array([real], np.int32)).padded(chunk.program.length)
        state = fresh_state(model, chunk.program.optimiser)
        orders = Orders(rates, np.int32(1), learn)
        state, _, rows, done = chunk.run(state, chunk.workspace(), batch, orders, stage.knobs)
        return state, jax.tree.map(lambda column: np.asarray(column)[0], rows), int(done)

    found, row, done = one([14, 15])
    assert (done, int(row.unsolved)) == (1, 2)
    # The first moment of Adam's first step is a tenth of the gradient.
    expected, others, _ = one([], real=14)
    assert row.loss == pytest.approx(float(others.loss), rel=1e-6)
    for have, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(have, right, rtol=1e-4, atol=1e-6)
    # One more is too many, and measuring leaves out nothing.
    _, row, done = one([3, 14, 15])
    assert (done, int(row.unsolved), bool(np.isfinite(row.loss))) == (0, 3, False)
    assert one([15], learn=False)[2] == 0


def test_validation_takes_every_segment_once(tiny_config: Tiny) -> None:
    data = load("simple_TBP_planar_2_train")
    units, config = Units.of(data), tiny_config()
    [stage] = make_stages(config, data, data, units, choose("cpu"))
    model = NeuralODE(config.parameters.architecture(), rng=np.random.default_rng(0))
    found, space = validate(stage, model, stage.chunk.workspace())
    assert stage.validation.real.sum() == 60
    assert len(stage.validation.real) == 4
    # One segment a batch: the sums are the same, in whatever portions they come.
    singly = blocks(cut(data, units, (0.0, 1.0), 12), 1)
    t, y = (np.repeat(part, 16, axis=1) for part in singly[:2])
    wide = Batches(t, y, singly.real)
    again, _ = validate(dataclasses.replace(stage, validation=wide), model, space)
    assert tuple(again) == pytest.approx(tuple(found), rel=1e-5)
    assert found.loss == found.percent > 0
