"""Training of a latent ODE: many steps in one compiled call, all that varies as arguments."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpy.typing as npt
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from models.latent_ode.config import Config
from models.latent_ode.evaluation import evaluate_series, figures, named
from models.latent_ode.model import LatentOde, SolverSettings
from models.latent_ode.objective import elbo
from models.latent_ode.series import Scales, Series, observe, windows
from models.latent_ode.storage import FAMILY, Trained, build, write
from models.training import resume
from models.training.checkpoints import FILE
from models.training.config import Adam
from models.training.device import on
from models.training.optimisers import build as build_optimiser
from models.training.optimisers import clipped
from models.training.schedules import SCHEDULES
from models.training.split import split
from models.two_body import DatasetError, load
from sweeper.trainer import Diverged, Run

__all__ = ["Rates", "rates_of", "split_series", "train_one"]

# Steps per compiled call: few enough that a training stops within seconds when asked to.
_CHUNK = 50

_log = logging.getLogger(__name__)
_adam = build_optimiser(Adam())


class Shape(NamedTuple):
    """What the compiled step depends on, apart from the shapes of its arguments.

    The tolerances of `solver` are arguments too.
    """

    batch_size: int
    seen: int
    solver: SolverSettings


class Rates(NamedTuple):
    """Of each step: learning rate and weight of the divergence, (steps,)."""

    lr: npt.NDArray[np.float32]
    kl_weight: npt.NDArray[np.float32]


class State(NamedTuple):
    """What a step changes."""

    model: LatentOde
    optimiser: optax.OptState
    key: PRNGKeyArray


class StepFigures(NamedTuple):
    """What a step reports; scalars, or one for each step of a chunk.

    `failed` counts the series of the batch whose solve failed.
    """

    loss: Array
    elbo: Array
    log_likelihood: Array
    kl: Array
    gradient_norm: Array
    failed: Array


def rates_of(config: Config) -> Rates:
    """Learning rates, constant or falling to 0 with a cosine, and the growing weight of the KL.

    The weight rises linearly over the first `kl_warmup` of the steps: from the start at full weight
    the posterior tends to collapse onto the prior (Bowman et al., Generating Sentences from a
    Continuous Space, 2016).
    """
    parameters = config.parameters
    done = np.arange(parameters.steps) / parameters.steps
    lr = parameters.lr * SCHEDULES[parameters.lr_schedule](done, 0.0)
    warmup = max(1.0, parameters.kl_warmup * parameters.steps)
    weight = parameters.kl_weight * np.minimum(1.0, (np.arange(parameters.steps) + 1) / warmup)
    return Rates(lr.astype(np.float32), weight.astype(np.float32))


@eqx.filter_jit
def _run_chunk(
    state: State,
    series: tuple[Array, Array, Array],
    rates: tuple[Array, Array, Array],
    *,
    noise: Float[Array, ""],
    clip: Float[Array, ""],
    shape: Shape,
) -> tuple[State, StepFigures]:
    """`_CHUNK` steps; `rates` has each one's learning rate, KL weight, and whether it is taken.

    None is taken after one whose loss or gradient is not finite: failing solves take longest.
    """
    weights, rest = eqx.partition(state.model, eqx.is_inexact_array)

    def loss(
        weights: Any, batch: tuple[Array, Array, Array], kl_weight: Array, key: PRNGKeyArray
    ) -> tuple[Array, tuple[Array, Array, Array]]:
        model = eqx.combine(weights, rest)

        def of_one(t: Array, y: Array, mask: Array, key: PRNGKeyArray) -> Any:
            return elbo(model, t, y, mask, noise, seen=shape.seen, solver=shape.solver, key=key)

        parts = jax.vmap(of_one)(*batch, jr.split(key, shape.batch_size))
        likelihood, kl = jnp.mean(parts.log_likelihood), jnp.mean(parts.kl)
        return kl_weight * kl - likelihood, (likelihood, kl, jnp.sum(~parts.ok))

    def step(carry: Any, rate: tuple[Array, Array, Array]) -> tuple[Any, StepFigures]:
        weights, optimiser, key = carry
        lr, kl_weight, _ = rate
        key, batch_key, noise_key = jr.split(key, 3)
        orbits = len(series[0])
        chosen = jr.permutation(batch_key, orbits)[: shape.batch_size]
        batch = tuple(part[chosen] for part in series)
        (value, (likelihood, kl, failed)), gradient = jax.value_and_grad(loss, has_aux=True)(
            weights, batch, kl_weight, noise_key
        )
        gradient, norm = clipped(gradient, clip)
        updates, optimiser = _adam.update(gradient, optimiser)
        weights = jax.tree.map(lambda w, u: w - lr * u, weights, updates)
        figures = StepFigures(
            value, likelihood - kl, likelihood, kl, norm, failed.astype(value.dtype)
        )
        return (weights, optimiser, key), figures

    def step_or_not(carry: Any, rate: tuple[Array, Array, Array]) -> tuple[Any, StepFigures]:
        trained, finite = carry
        nothing = StepFigures(*(jnp.zeros(()) for _ in StepFigures._fields))
        figures: StepFigures
        trained, figures = jax.lax.cond(
            rate[2] & finite, step, lambda trained, _: (trained, nothing), trained, rate
        )
        finite &= jnp.isfinite(figures.loss) & jnp.isfinite(figures.gradient_norm)
        return (trained, finite), figures

    carry = ((weights, state.optimiser, state.key), jnp.bool_(True))
    ((weights, optimiser, key), _), reported = jax.lax.scan(step_or_not, carry, rates)
    return State(eqx.combine(weights, rest), optimiser, key), reported


def train_one(config: Config, run: Run) -> dict[str, float]:
    """Train one config, save the model and measure it.

    Returns the figures (see `evaluate_series`) of the validation orbits as ``validation/…`` and of
    each test set as ``<test set>/…``. A stopped run saves its model and returns nothing. Raises
    Diverged at the first loss or gradient that is not finite.
    """
    with on(config.device):
        return _train(config, run)


def _train(config: Config, run: Run) -> dict[str, float]:
    data, parameters = config.data, config.parameters
    whole = load(data.dataset_name, seed=data.data_seed)
    dataset = whole.first(parameters.num_trajs)
    scales = Scales.of(dataset)
    training, validation = split_series(observe(dataset, data, scales), parameters.train_val_split)
    seen, target = windows(config, training.t.shape[1])
    if seen < 2:
        raise DatasetError(
            f"dataset {data.dataset_name!r}: `observed_window` {parameters.observed_window} holds "
            f"{seen} of its {training.t.shape[1]} times; two are the least"
        )
    arrays = (
        jnp.asarray(training.t[:, :target]),
        jnp.asarray(training.y[:, :target]),
        jnp.asarray(training.mask[:, :target]),
    )
    shape = Shape(
        batch_size=min(parameters.batch_size, len(training)),
        seen=seen,
        solver=SolverSettings.of(parameters),
    )
    model = build(config)
    state = State(
        model=model,
        optimiser=_adam.init(eqx.filter(model, eqx.is_inexact_array)),
        key=jr.key(config.seed + 2**31),
    )
    rates = rates_of(config)
    noise, clip = jnp.asarray(parameters.noise), jnp.asarray(parameters.gradient_clip)

    step, state = _restored(run, state, parameters.steps)
    while step < parameters.steps and not run.should_stop():
        end = min(step + _CHUNK, parameters.steps, _next(step, parameters.validation_every))
        rows = _rows(rates, step, end)
        state, reported = _run_chunk(state, arrays, rows, noise=noise, clip=clip, shape=shape)
        _report(run, reported, rates.lr[step:end], step + 1, shape.batch_size)
        step = end
        if step % parameters.validation_every == 0 and step < parameters.steps:
            trained = Trained(config, scales, state.model)
            _log_validation(run, step, evaluate_series(trained, validation))
        run.progress(step / parameters.steps)
        resume.checkpoint(run, step, FAMILY, {"step": step}, state)

    trained = Trained(config, scales, state.model)
    run.save(FILE, lambda path: write(trained, path))
    if step < parameters.steps:
        return {}
    final = evaluate_series(trained, validation)
    _log_validation(run, step, final)
    result = {"num_total_orbits": float(len(whole)), "num_train_orbits": float(len(training))}
    result |= named("validation", final)
    for name in data.test_datasets:
        result |= named(name, figures(trained, load(name, seed=data.data_seed)))
    return result


def _restored(run: Run, fresh: State, steps: int) -> tuple[int, State]:
    """The step after which the training goes on, and its state; 0 and the fresh one without."""

    def step_of(header: Mapping[str, Any]) -> int:
        step = int(header["step"])
        if not 0 < step <= steps:
            raise ValueError(f"step {step} of {steps}")
        return step

    found = resume.restored(run, FAMILY, header_of=step_of, blank_of=lambda _: fresh)
    return found or (0, fresh)


def split_series(series: Series, share: float) -> tuple[Series, Series]:
    """Training and validation orbits: the first `share` of them, and the rest.

    When nothing is left to validate with, the training orbits serve for both, and the log says so.
    """
    training, validation = split(len(series), share)
    if training == validation:
        _log.warning("all orbits are used for training, so validation uses the same orbits")
    return series.take(training), series.take(validation)


def _next(step: int, interval: int) -> int:
    return (step // interval + 1) * interval


def _rows(rates: Rates, start: int, end: int) -> tuple[Array, Array, Array]:
    """The schedule of steps start…end, filled up to a whole chunk with steps not to be taken."""
    padding = (0, _CHUNK - (end - start))
    taken = np.arange(_CHUNK) < end - start
    lr, weight = (np.pad(part[start:end], padding) for part in rates)
    return jnp.asarray(lr), jnp.asarray(weight), jnp.asarray(taken)


def _report(
    run: Run,
    reported: StepFigures,
    lr: npt.NDArray[np.float32],
    first_step: int,
    batch_size: int,
) -> None:
    """Log a step for each of `lr`. Raises Diverged at the first loss that is not finite."""
    columns = {name: np.asarray(part) for name, part in reported._asdict().items()}
    failed = columns.pop("failed")
    for k, rate in enumerate(lr):
        row = {name: float(column[k]) for name, column in columns.items()}
        step = first_step + k
        if math.isfinite(row["loss"]) and math.isfinite(row["gradient_norm"]):
            run.log(step, **row, lr=float(rate))
            continue
        # The log may raise by itself, but only here it is known why the loss isn't finite.
        with contextlib.suppress(Diverged):
            run.log(step, **row)
        raise Diverged(_why(row, int(failed[k]), batch_size, step), step=step)


def _why(row: dict[str, float], failed: int, batch_size: int, step: int) -> str:
    if failed:
        return f"the solver failed on {failed} of {batch_size} orbits at step {step}"
    name = "loss" if not math.isfinite(row["loss"]) else "gradient_norm"
    return f"the {name.replace('_', ' ')} is {row[name]} at step {step}"


def _log_validation(run: Run, step: int, values: dict[str, float]) -> None:
    run.log(step, **{f"val_{name}": value for name, value in values.items()})
