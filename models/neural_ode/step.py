"""The compiled part of a training: a chunk of optimiser steps in one call.

Everything that shapes the program is in `programs.Program`; everything else is an argument:
parameters, batches, learning rates, tolerances, weights, how many of the chunk's places are used.
So runs and phases that differ in those alone share one executable, in a process (`compiled`
remembers) and on disk (no callback to the host is in it, so JAX's persistent cache takes it).
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from models.neural_ode.adjoint import backward
from models.neural_ode.curriculum import Batches
from models.neural_ode.losses import LOSSES, Sums, Weights, percent, rms, sum_up, value
from models.neural_ode.model import NeuralODE, acceleration, vector_field
from models.neural_ode.programs import Program
from models.neural_ode.solve import Control, Problems, Workspace, forward, row_count
from models.training.config import Optimiser
from models.training.optimisers import build, clipped

__all__ = [
    "Chunk",
    "Knobs",
    "Orders",
    "Rows",
    "State",
    "compiled",
    "fresh_state",
    "too_many_unsolved",
]


class Knobs(NamedTuple):
    """Arguments that hold for a phase: tolerances, weights, decay, largest gradient norm.

    `max_unsolved` is the fraction of a batch that a training step may leave out, unsolved.
    """

    control: Control
    weights: Weights
    decay: Any
    clip: Any
    max_unsolved: Any


class Orders(NamedTuple):
    """What a chunk is to do: `steps` of its batches, at the learning rates `lr` (K,).

    Without `learn` it only measures.
    """

    lr: Any
    steps: Any
    learn: Any


class State(NamedTuple):
    """What a step changes."""

    model: NeuralODE
    optimiser: Any


class Rows(NamedTuple):
    """One entry per step of a chunk (K,): what is logged, and the sums that losses are made of.

    `loss` includes regularisers; `percent` and `rms` are of the predicted states. `attempts_mean`,
    `attempts_max` and `rejected` (mean) count solver steps of a segment, `unsolved` segments.
    """

    loss: Any
    percent: Any
    rms: Any
    gradient_norm: Any
    attempts_mean: Any
    attempts_max: Any
    rejected: Any
    unsolved: Any
    sums: Sums


class Chunk(NamedTuple):
    """A compiled chunk; `seconds` is what tracing and compiling cost, and `run` its executable.

    `run(state, workspace, batches, orders, knobs)`, with batches of numbers `t` (K, B, S),
    `y` (K, B, S, 6) and `real` (K,), gives the new state, the workspace (the old one is used up),
    the rows, and how many steps were done: fewer than ordered if one wasn't finite, which then
    changed nothing.
    """

    program: Program
    run: Any
    seconds: float

    def workspace(self) -> Workspace:
        """Memory for a chain of calls."""
        return Workspace.empty(_rows(self.program), self.program.lanes, 6)


def fresh_state(model: NeuralODE, optimiser: Optimiser) -> State:
    """The model with an optimiser that has seen nothing: all of its state is zero."""
    shapes = jax.eval_shape(build(optimiser).init, model)
    return State(model, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))


@lru_cache(maxsize=64)
def compiled(program: Program, device: Any) -> Chunk:
    """The executable of a program on a device, from memory, the cache on disk, or compiled."""
    began = time.perf_counter()
    with jax.default_device(device), jax.default_matmul_precision("highest"):
        # Highest: on a GPU the default multiplies with ten bits of mantissa, which the solver's
        # error control would see as noise far above its tolerances.
        traced = jax.jit(_chunk_of(program), donate_argnums=1).lower(*_shapes(program))
        run = traced.compile()
    return Chunk(program, run, time.perf_counter() - began)


def _rows(program: Program) -> int:
    return row_count(program.places, program.lanes, program.samples, program.max_steps)


def _shapes(program: Program) -> tuple[Any, ...]:
    """Shapes and types of the arguments of a chunk."""
    model = NeuralODE(program.architecture, rng=np.random.default_rng(0))
    state = fresh_state(model, program.optimiser)
    workspace = jax.eval_shape(lambda: Workspace.empty(_rows(program), program.lanes, 6))
    k, b, s = program.length, program.places, program.samples

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    knobs = Knobs(
        Control(array(), array()),
        Weights(*[array()] * len(Weights._fields)),
        decay=array(),
        clip=array(),
        max_unsolved=array(),
    )
    batches = Batches(array(k, b, s), array(k, b, s, 6), array(k, dtype=jnp.int32))
    orders = Orders(array(k), array(dtype=jnp.int32), array(dtype=jnp.bool_))
    return state, workspace, batches, orders, knobs


def too_many_unsolved(unsolved: Any, count: Any, max_unsolved: Any) -> Any:
    """Whether more than the fraction `max_unsolved` of `count` segments are unsolved.

    A millionth more, so that 29 of 100 are no more than 0.29 as a float32 has it.
    """
    return unsolved > max_unsolved * count * (1 + 1e-6)


class _Loop(NamedTuple):
    """What the loop over the steps of a chunk carries."""

    done: Int[Array, ""]
    finite: Any
    state: State
    workspace: Workspace
    rows: Rows


def _chunk_of(program: Program) -> Any:
    """The function that `compiled` compiles."""
    step = _step_of(program)

    def chunk(
        state: State,
        workspace: Workspace,
        batches: Batches,
        orders: Orders,
        knobs: Knobs,
    ) -> tuple[State, Workspace, Rows, Int[Array, ""]]:
        def pick(k: Any) -> tuple[Batches, Orders]:
            batch = Batches(*(array[k] for array in batches))
            return batch, orders._replace(lr=orders.lr[k])

        def going(loop: _Loop) -> Any:
            return (loop.done < orders.steps) & loop.finite

        def one(loop: _Loop) -> _Loop:
            k = loop.done
            batch, order = pick(k)
            state, workspace, row, finite = step(loop.state, loop.workspace, batch, order, knobs)
            rows = jax.tree.map(lambda column, entry: column.at[k].set(entry), loop.rows, row)
            return _Loop(k + finite, finite, state, workspace, rows)

        kinds = jax.eval_shape(step, state, workspace, *pick(0), knobs)
        empty = jax.tree.map(lambda kind: jnp.zeros(len(orders.lr), kind.dtype), kinds[2])
        start = _Loop(jnp.int32(0), jnp.bool_(True), state, workspace, empty)
        end = lax.while_loop(going, one, start)
        return end.state, end.workspace, end.rows, end.done

    return chunk


def _step_of(program: Program) -> Any:
    """One step: solve, compare, go back, update."""
    optimiser = build(program.optimiser)
    accelerations = LOSSES[program.loss].accelerations

    def step(
        state: State,
        workspace: Workspace,
        batch: Batches,
        order: Orders,
        knobs: Knobs,
    ) -> Any:
        (t, y, count), lr, learn = batch, order.lr, order.learn
        counted = jnp.arange(program.places) < count
        solution, tape, workspace = forward(
            vector_field,
            state.model,
            Problems(t, y[:, 0], count),
            knobs.control,
            workspace,
            max_steps=program.max_steps,
        )
        unsolved = counted & ~solution.solved
        number = jnp.sum(unsolved)
        # Else they stay, as NaN, and make the loss one. Measuring leaves out nothing.
        left_out = learn & ~too_many_unsolved(number, count, knobs.max_unsolved)
        compared = counted & ~(left_out & unsolved)

        def objective(model: NeuralODE, predicted: Float[Array, "B S 6"]) -> Any:
            asked = (lambda z: acceleration(model, z)) if accelerations else None
            sums = sum_up(predicted, y, compared, acceleration=asked, energy=program.energy)
            return value(program.loss, sums, knobs.weights) + _penalty(model, knobs.weights), sums

        (loss, sums), (direct, pull) = jax.value_and_grad(objective, (0, 1), has_aux=True)(
            state.model, solution.y
        )
        finite = jnp.isfinite(loss)
        # An empty tape ends the reverse pass before it starts: nothing is to be learnt.
        tape = tape._replace(last=jnp.where(learn & finite, tape.last, -1))
        through = backward(vector_field, state.model, tape, pull, workspace)
        gradient = jax.tree.map(jnp.add, through, direct)
        gradient, norm = clipped(gradient, knobs.clip)
        finite &= jnp.isfinite(norm) | ~learn
        direction, memory = optimiser.update(gradient, state.optimiser, state.model)
        model = jax.tree.map(lambda p, d: p - lr * (d + knobs.decay * p), state.model, direction)
        new = jax.tree.map(
            lambda a, b: jnp.where(learn & finite, a, b), State(model, memory), state
        )
        attempts = jnp.where(counted, solution.attempts, 0)
        rejected = jnp.sum(attempts - jnp.where(counted, solution.accepted, 0))
        row = Rows(
            loss=loss,
            percent=percent(sums),
            rms=rms(sums),
            gradient_norm=norm,
            attempts_mean=jnp.sum(attempts) / count,
            attempts_max=jnp.max(attempts),
            rejected=rejected / count,
            unsolved=number,
            sums=sums,
        )
        return new, workspace, row, finite

    return step


def _penalty(model: NeuralODE, weights: Weights) -> Float[Array, ""]:
    """l1_weight ‖θ‖₁ + l2_weight ‖θ‖₂²."""
    leaves = jax.tree.leaves(model)
    l1 = sum(jnp.sum(jnp.abs(leaf)) for leaf in leaves)
    l2 = sum(jnp.sum(leaf**2) for leaf in leaves)
    penalty: Float[Array, ""] = weights.l1 * l1 + weights.l2 * l2
    return penalty
