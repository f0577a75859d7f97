"""Losses against their formulas, masks, sums and the gradients that could be NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.neural_ode.config import Loss
from models.neural_ode.losses import LOSSES, Scalar, Sums, Weights, percent, rms, sum_up, value
from models.two_body.orbits import energy

WEIGHTS = Weights(mse=10.0, attraction=3.0, l1=0.0, l2=0.0, energy=0.0, epsilon=1e-8)


@pytest.fixture
def batch() -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(5, 4, 6)).astype(np.float32)
    predicted = (truth + 0.1 * rng.normal(size=truth.shape)).astype(np.float32)
    predicted[:, 0] = truth[:, 0]
    return jnp.asarray(predicted), jnp.asarray(truth)


def outward(y: jax.Array) -> jax.Array:
    """An acceleration with parts along r̂ of both signs."""
    return y[:3] * y[0]


def expected(name: str, predicted: jax.Array, truth: jax.Array) -> float:
    y, y_hat = np.asarray(truth[:, 1:], float), np.asarray(predicted[:, 1:], float)
    size = np.linalg.norm(y, axis=-1)
    p = np.mean(100 * np.linalg.norm(y_hat - y, axis=-1) / size)
    mse = np.mean((y_hat - y) ** 2)
    nmse = 100 * np.sqrt(mse / (np.mean(y**2) + 1e-8) + 1e-8)
    # The acceleration of `outward` is r times y₀: it points along r̂ or against it.
    penalty = 100 * np.mean(y_hat[..., 0] > 0)
    figures: dict[str, float] = {
        "mean_squared_error": mse,
        "percent_error": p,
        "percent_error_plus_nmse": p + 10 * nmse,
        "percent_error_with_attraction": p + 3 * penalty,
    }
    return figures[name]


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_their_formula(name: Loss, batch: tuple[jax.Array, jax.Array]) -> None:
    sums = sum_up(*batch, jnp.ones(5, bool), acceleration=outward)
    assert float(value(name, sums, WEIGHTS)) == pytest.approx(expected(name, *batch), rel=1e-5)


def test_the_first_point_is_given_and_not_counted(batch: tuple[jax.Array, jax.Array]) -> None:
    predicted, truth = batch
    moved = predicted.at[:, 0].add(5)
    all_ = jnp.ones(5, bool)
    assert sum_up(moved, truth, all_) == sum_up(predicted, truth, all_)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_and_places_without_a_segment_count_nothing(
    name: Loss, batch: tuple[jax.Array, jax.Array]
) -> None:
    predicted, truth = batch
    padded = truth.at[0, 2:].set(jnp.nan)
    guess = predicted.at[3:].set(jnp.nan)  # what the solver leaves in places without a segment
    counted = jnp.arange(5) < 3

    def loss(p: jax.Array) -> Scalar:
        return value(name, sum_up(p, padded, counted, acceleration=outward, energy=True), WEIGHTS)

    found, gradient = jax.jit(jax.value_and_grad(loss))(guess)
    assert jnp.isfinite(found)
    assert jnp.isfinite(gradient).all()
    assert jnp.all(gradient[0, 2:] == 0)
    assert jnp.all(gradient[3:] == 0)
    by_hand = [
        sum_up(predicted[:1, :2], truth[:1, :2], jnp.ones(1, bool), acceleration=outward),
        sum_up(predicted[1:3], truth[1:3], jnp.ones(2, bool), acceleration=outward),
    ]
    total = Sums(*(a + b for a, b in zip(*by_hand, strict=True)))
    assert float(found) == pytest.approx(float(value(name, total, WEIGHTS)), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_segment_without_a_solution_is_no_perfect_one(
    name: Loss, wrong: float, batch: tuple[jax.Array, jax.Array]
) -> None:
    predicted, truth = batch
    sums = sum_up(predicted.at[2, 1:].set(wrong), truth, jnp.ones(5, bool), acceleration=outward)
    assert not jnp.isfinite(value(name, sums, WEIGHTS))


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_has_a_finite_gradient(
    name: Loss, batch: tuple[jax.Array, jax.Array]
) -> None:
    _, truth = batch

    def loss(p: jax.Array) -> Scalar:
        return value(name, sum_up(p, truth, jnp.ones(5, bool), energy=True), WEIGHTS)

    found, gradient = jax.jit(jax.value_and_grad(loss))(truth)
    assert jnp.isfinite(gradient).all()
    # √ε of the normalised error is all that remains.
    assert found <= (10 * 100 * 1e-4 * 1.001 if name == "percent_error_plus_nmse" else 0)


def test_parts_are_those_of_the_same_sums(batch: tuple[jax.Array, jax.Array]) -> None:
    predicted, truth = batch
    sums = sum_up(predicted, truth, jnp.ones(5, bool))
    assert float(percent(sums)) == pytest.approx(expected("percent_error", *batch), rel=1e-5)
    mse = expected("mean_squared_error", *batch)
    assert float(rms(sums)) == pytest.approx(np.sqrt(mse), rel=1e-5)


def test_the_energy_term_is_the_drift_from_the_first_state(
    batch: tuple[jax.Array, jax.Array],
) -> None:
    predicted, truth = batch
    sums = sum_up(predicted, truth, jnp.ones(5, bool), energy=True)
    first = energy(truth[:, :1], 1.0)
    drift = 100 * np.abs(energy(predicted[:, 1:], 1.0) - first) / np.abs(first)
    assert float(sums.energy) == pytest.approx(drift.sum(), rel=1e-4)
    weighed = WEIGHTS._replace(energy=0.5)
    more = value("percent_error", sums, weighed) - value("percent_error", sums, WEIGHTS)
    assert float(more) == pytest.approx(0.5 * drift.mean(), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_declares_whether_it_needs_accelerations(
    name: Loss, batch: tuple[jax.Array, jax.Array]
) -> None:
    given, withheld = (
        value(name, sum_up(*batch, jnp.ones(5, bool), acceleration=asked), WEIGHTS)
        for asked in (outward, None)
    )
    assert LOSSES[name].accelerations == (float(given) != float(withheld))
