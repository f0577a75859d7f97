"""The generalisation test: accelerations along whole orbits that were never trained on.

`propagated`, the users' measure: integrate the model from an orbit's first state over all of its
samples, and compare its acceleration along its own path with Newton's there. `in_time`: the same
accelerations, compared with those of the true orbit at the same times, so that an orbit that runs
ahead of the truth errs by its phase as well, which at periapsis is most of the error. `pointwise`:
at the true states. Percent errors are of the acceleration, per sample (see `two_body.statistics`).

The users' words ("the true one at the same times") allow either of the first two; only the first
gives figures of the order of theirs (docs/results.md has both).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from models.neural_ode.config import Architecture
from models.neural_ode.curriculum import turning
from models.neural_ode.model import NeuralODE, acceleration, vector_field
from models.neural_ode.programs import lanes_for
from models.neural_ode.solve import Control, Problems, Workspace, forward, row_count
from models.two_body import Dataset, Units
from models.two_body.orbits import acceleration as true_acceleration
from models.two_body.statistics import acceleration_statistics, drift_statistics

__all__ = ["Prediction", "Solver", "measure", "predict"]

Array = npt.NDArray[np.float64]

_BLOCK = 128
"""Orbits per call. Test sets of all sizes are put together and share the compiled program."""


class Solver(NamedTuple):
    """How orbits are integrated; `device` is JAX's."""

    rtol: float
    atol: float
    max_steps: int
    device: Any


class Prediction(NamedTuple):
    """A model on a dataset, in normalised units; NaN where an orbit failed or has no sample.

    `states` (N, T, 6) along the propagated path, `accelerations` (N, T, 3) there, and `pointwise`
    (N, T, 3) those at the true states `truth` (N, T, 6).
    """

    truth: Array
    states: Array
    accelerations: Array
    pointwise: Array


def measure(
    model: NeuralODE, units: Units, datasets: Sequence[Dataset], solver: Solver
) -> tuple[dict[str, float], float]:
    """All figures on all datasets, and the seconds that compiling took.

    Keys are ``<dataset>/<figure>`` for the propagated measure, with the prefix ``in_time/`` or
    ``pointwise/`` for the others, and ``tests/mean``: the mean percent error (propagated) over all
    samples of all datasets.
    """
    predictions, seconds = predict(model, units, datasets, solver)
    figures: dict[str, float] = {}
    samples: list[int] = []
    for dataset, found in zip(datasets, predictions, strict=True):
        truth = true_acceleration(found.truth, mu=1.0)
        r, r_true = found.states[..., :3], found.truth[..., :3]
        there = true_acceleration(found.states, mu=1.0)
        # Where the orbit failed there is no place to ask for the truth: it still counts as failed.
        there = np.where(np.isfinite(there), there, truth)
        propagated = acceleration_statistics(there, found.accelerations, r)
        propagated |= drift_statistics(found.states, mu=1.0)
        in_time = acceleration_statistics(truth, found.accelerations, r, r_true=r_true)
        pointwise = acceleration_statistics(truth, found.pointwise, r_true)
        figures |= {f"{dataset.name}/{name}": x for name, x in propagated.items()}
        figures |= {f"in_time/{dataset.name}/{name}": x for name, x in in_time.items()}
        figures |= {f"pointwise/{dataset.name}/{name}": x for name, x in pointwise.items()}
        samples.append(int(np.isfinite(found.accelerations).all(-1).sum()))
    if any(samples):
        means = [figures[f"{dataset.name}/mean"] for dataset in datasets]
        parts = [n * mean for n, mean in zip(samples, means, strict=True) if n]
        figures["tests/mean"] = sum(parts) / sum(samples)
    return figures, seconds


def predict(
    model: NeuralODE, units: Units, datasets: Sequence[Dataset], solver: Solver
) -> tuple[list[Prediction], float]:
    """The model on each dataset, and the seconds that compiling took."""
    if not datasets:
        return [], 0.0
    samples = max(dataset.y.shape[1] for dataset in datasets)
    t = np.concatenate([_padded(units.normalise_times(d.t), samples) for d in datasets])
    y = np.concatenate([_padded(units.normalise_states(d.y), samples) for d in datasets])
    # Padding gets the last real time again: the solver then has nothing more to do.
    t_filled = np.maximum.accumulate(np.where(np.isfinite(t), t, -np.inf), axis=1)
    y_filled = np.where(np.isfinite(y), y, y[:, :1])
    order = np.argsort(-turning(y_filled), kind="stable")
    program, seconds = _compiled(model.architecture, samples, solver.max_steps, solver.device)
    outputs: list[list[Array]] = []
    for start in range(0, len(order), _BLOCK):
        chosen = order[start : start + _BLOCK]
        places = np.concatenate([chosen, np.repeat(chosen[:1], _BLOCK - len(chosen))])
        found = program(
            model,
            (t_filled[places] - t_filled[places, :1]).astype(np.float32),
            y_filled[places].astype(np.float32),
            np.int32(len(chosen)),
            Control(np.float32(solver.rtol), np.float32(solver.atol)),
        )
        outputs.append([np.asarray(array, np.float64)[: len(chosen)] for array in found])
    merged = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    back = np.argsort(order)
    states, accelerations, pointwise = (array[back] for array in merged)
    missing = ~np.isfinite(y).all(-1)
    for array in (states, accelerations, pointwise):
        array[missing] = np.nan
    edges = np.cumsum([0, *map(len, datasets)])
    spans = [slice(a, b) for a, b in itertools.pairwise(edges)]
    return [
        Prediction(y[at], states[at], accelerations[at], pointwise[at]) for at in spans
    ], seconds


def _padded(array: Array, samples: int) -> Array:
    """Orbits with their samples padded by NaN to so many."""
    widths = [(0, 0), (0, samples - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, widths, constant_values=np.nan)


def _compiled(architecture: Architecture, samples: int, max_steps: int, device: Any) -> Any:
    """The executable, and the seconds it took if it was made just now."""
    before = _program.cache_info().misses
    program, seconds = _program(architecture, samples, max_steps, device)
    return program, seconds if _program.cache_info().misses > before else 0.0


@lru_cache(maxsize=64)
def _program(
    architecture: Architecture, samples: int, max_steps: int, device: Any
) -> tuple[Any, float]:
    lanes = lanes_for(_BLOCK, device.platform)
    rows = row_count(_BLOCK, lanes, samples, max_steps)

    def program(model: NeuralODE, t: Any, y: Any, count: Any, control: Control) -> Any:
        workspace = Workspace.empty(rows, lanes, 6)
        solution, _, _ = forward(
            vector_field,
            model,
            Problems(t, y[:, 0], count),
            control,
            workspace,
            max_steps=max_steps,
        )
        at = jax.vmap(jax.vmap(acceleration, (None, 0)), (None, 0))
        return solution.y, at(model, solution.y), at(model, y)

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    began = time.perf_counter()
    with jax.default_device(device), jax.default_matmul_precision("highest"):
        blank = NeuralODE(architecture, rng=np.random.default_rng(0))
        shapes = (array(_BLOCK, samples), array(_BLOCK, samples, 6), array(dtype=jnp.int32))
        traced = jax.jit(program).lower(blank, *shapes, Control(array(), array()))
        return traced.compile(), time.perf_counter() - began
