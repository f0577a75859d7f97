"""Adaptive solution of many short initial value problems; `adjoint` has its gradient.

Tsit5 with error control per solution, steps chosen as diffrax's `PIDController(rtol, atol)` chooses
them, states saved at the data's own times by the method's interpolant. Nothing raises and nothing
calls back to the host: failures are values (`Solution.solved`), so that programs can be cached.

Why not one `diffrax.diffeqsolve` under `vmap`: there all B problems go on until the hardest is
done. Of 200 segments of 18 samples the average takes 11 attempts and the hardest 50, so nearly four
fifths of the arithmetic is thrown away. Here W lanes (W < B) hold one problem each; a lane that is
done takes the next of the queue. `benchmarks/training_step.py` measures it beside diffrax, and the
tests hold it equal to diffrax, step by step. (Given no `dt0`, diffrax 0.7 starts with 0.01;
this with a step that fits the problem.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from models.neural_ode import tsit5

__all__ = [
    "POWERS",
    "Control",
    "Params",
    "Problems",
    "Solution",
    "Tape",
    "Workspace",
    "forward",
    "rank",
    "row_count",
]

Params = Any
Field = Callable[[Params, Float[Array, " D"]], Float[Array, " D"]]

SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
POWERS = 4
"""Powers of θ in the interpolant, apart from 1."""


class Control(NamedTuple):
    """Tolerances of the error per step: ‖error/(atol + rtol·max|y|)‖ (root mean square) < 1."""

    rtol: Any
    atol: Any


class Problems(NamedTuple):
    """Start at `y0` (B, D) at the time t[:, 0], and save at all times `t` (B, S), which don't fall.

    Only the first `count` are solved. Hard ones belong to the front, so that no lane is left alone
    with one at the end.
    """

    t: Float[Array, "B S"]
    y0: Float[Array, "B D"]
    count: Any


class Workspace(NamedTuple):
    """Memory that is handed from step to step, so that none of it has to be cleared.

    Row i belongs to the i-th round of all lanes. `steps` (R, 2 + 5D, W): of each attempt its start
    t, size h, state and four coefficients of the interpolant. `ends` (R, W): time reached after it.
    `previous` (R, W): row of the accepted step before it, −1 at the start.
    """

    steps: Float[Array, "R C W"]
    ends: Float[Array, "R W"]
    previous: Int[Array, "R W"]

    @classmethod
    def empty(cls, rows: int, lanes: int, size: int, dtype: Any = jnp.float32) -> Workspace:
        """Room for `rows` rounds of so many lanes and states of `size` components."""
        return cls(
            jnp.zeros((rows, 2 + (1 + POWERS) * size, lanes), dtype),
            jnp.zeros((rows, lanes), dtype),
            jnp.zeros((rows, lanes), jnp.int32),
        )


class Solution(NamedTuple):
    """`y` (B, S, D) at the times asked for, NaN where not `solved` (B,).

    `attempts` and `accepted` (B,) count steps.
    """

    y: Float[Array, "B S D"]
    solved: Bool[Array, " B"]
    attempts: Int[Array, " B"]
    accepted: Int[Array, " B"]


class Tape(NamedTuple):
    """What the reverse pass needs: each problem's last step, and which steps cover the points.

    `place` (B, S) is the flat place (row · W + lane) of the step that covers a point, `theta`
    (B, S) where in it; `last` (B,) the place of the last accepted step, −1 if there is none.
    """

    last: Int[Array, " B"]
    accepted: Int[Array, " B"]
    place: Int[Array, "B S"]
    theta: Float[Array, "B S"]


def row_count(problems: int, lanes: int, samples: int, max_steps: int) -> int:
    """Rounds that a workspace should hold.

    One problem may take all `max_steps`; on average they may take 64 or four per sample, ten times
    what was seen. A batch that needs more counts as unsolved.
    """
    average = min(max_steps, max(64, 4 * samples))
    return max_steps + -(-problems // lanes) * average


def forward(
    field: Field,
    params: Params,
    problems: Problems,
    control: Control,
    workspace: Workspace,
    *,
    max_steps: int,
) -> tuple[Solution, Tape, Workspace]:
    """Solve dy/dt = field(params, y) and save y at the times asked for.

    Each problem may take `max_steps` attempts.
    """
    t, y0, count = problems
    lanes = workspace.ends.shape[1]
    rhs = jax.vmap(lambda y: field(params, y), in_axes=1, out_axes=1)
    times = t - t[:, :1]
    span = times[:, -1]
    first, sizes = _initial_steps(rhs, y0.T, control)
    queue = jnp.concatenate([y0.T, first, jnp.minimum(sizes, span)[None], span[None]])
    end = _run_lanes(rhs, queue, count, control, workspace, max_steps=max_steps)

    last, attempts, accepted = end.table[:-1].T
    solved = (last >= 0) & (jnp.arange(len(t)) < count)
    index = _covering(end.workspace.ends, times, last, attempts)
    row, lane = index // lanes, index % lanes
    steps = end.workspace.steps[row, :, lane]
    theta = (times - steps[..., 0]) / jnp.where(steps[..., 1] > 0, steps[..., 1], 1)
    coefficients = steps[..., 2:].reshape(*index.shape, 1 + POWERS, -1)
    y = coefficients[..., POWERS, :]
    for power in reversed(range(POWERS)):
        y = y * theta[..., None] + coefficients[..., power, :]
    y = jnp.where(solved[:, None, None], y, jnp.nan)
    solution = Solution(y, solved, attempts, accepted)
    return solution, Tape(last, accepted, index, theta), end.workspace


class _Lanes(NamedTuple):
    """State of the loop: what each lane works on, the head of the queue, what is done.

    `table` (B + 1, 3): per problem its last step, attempts, accepted; the last row is a bin.
    """

    row: Int[Array, ""]
    head: Int[Array, ""]
    problem: Int[Array, " W"]
    active: Bool[Array, " W"]
    y: Float[Array, "D W"]
    k1: Float[Array, "D W"]
    t: Float[Array, " W"]
    h: Float[Array, " W"]
    final: Bool[Array, " W"]
    span: Float[Array, " W"]
    previous: Int[Array, " W"]
    attempts: Int[Array, " W"]
    accepted: Int[Array, " W"]
    table: Int[Array, "B1 3"]
    workspace: Workspace


def _run_lanes(
    rhs: tsit5.Field,
    queue: Float[Array, "Q B"],
    count: Int[Array, ""],
    control: Control,
    workspace: Workspace,
    *,
    max_steps: int,
) -> _Lanes:
    """Solve the first `count` problems of the queue, each in the next lane that is free."""
    rows, lanes = workspace.ends.shape

    def going(state: _Lanes) -> Bool[Array, ""]:
        return (state.row < rows) & jnp.any(state.active)

    def round_(state: _Lanes) -> _Lanes:
        state, over, good = _step(rhs, control, state, max_steps)
        return _loaded(queue, count, state, over, good)

    idle = jnp.zeros(lanes, bool)
    state = _resting(queue, workspace)
    return lax.while_loop(going, round_, _loaded(queue, count, state, ~idle, idle))


def _resting(queue: Float[Array, "Q B"], workspace: Workspace) -> _Lanes:
    """Lanes without a problem; they hold the state of the first one, which can be computed with."""
    lanes = workspace.ends.shape[1]
    size, problems = (queue.shape[0] - 2) // 2, queue.shape[1]
    none = jnp.zeros(lanes, queue.dtype)
    zeros = jnp.zeros(lanes, jnp.int32)
    idle = jnp.zeros(lanes, bool)
    first = jnp.broadcast_to(queue[:, :1], (queue.shape[0], lanes))
    return _Lanes(
        row=jnp.int32(0),
        head=jnp.int32(0),
        problem=zeros + problems,
        active=idle,
        y=first[:size],
        k1=first[size : 2 * size],
        t=none,
        h=none,
        final=idle,
        span=none,
        previous=zeros - 1,
        attempts=zeros,
        accepted=zeros,
        table=jnp.full((problems + 1, 3), jnp.array([-1, 0, 0], jnp.int32)),
        workspace=workspace,
    )


def _loaded(
    queue: Float[Array, "Q B"],
    count: Int[Array, ""],
    state: _Lanes,
    free: Bool[Array, " W"],
    fresh: Bool[Array, " W"],
) -> _Lanes:
    """Give each free lane the next problem, and cut steps that overshoot to the end.

    `fresh` are the lanes whose last step was good.
    """
    size, problems = (queue.shape[0] - 2) // 2, queue.shape[1]
    number = state.head + rank(free)
    new = free & (number < count)
    taken = queue[:, jnp.clip(number, 0, problems - 1)]
    y, k1 = (
        jnp.where(new, taken[k * size : (k + 1) * size], old)
        for k, old in enumerate((state.y, state.k1))
    )
    t = jnp.where(new, 0, state.t)
    h = jnp.where(new, taken[-2], state.h)
    span = jnp.where(new, taken[-1], state.span)
    # As in diffrax: a step that ends next to the end or beyond ends there; one that has just
    # been rejected there goes half of the way.
    over = t + h > span * (1 - 100 * np.finfo(t.dtype).eps)
    fresh = fresh | new
    h = jnp.where(over, jnp.where(fresh, span - t, (span - t) / 2), h)
    return state._replace(
        head=state.head + jnp.sum(free, dtype=jnp.int32),
        problem=jnp.where(new, number, state.problem),
        active=(state.active & ~free) | new,
        y=y,
        k1=k1,
        t=t,
        h=h,
        span=span,
        final=over & fresh,
        previous=jnp.where(new, -1, state.previous),
        attempts=jnp.where(new, 0, state.attempts),
        accepted=jnp.where(new, 0, state.accepted),
    )


def _step(
    rhs: tsit5.Field, control: Control, state: _Lanes, max_steps: int
) -> tuple[_Lanes, Bool[Array, " W"], Bool[Array, " W"]]:
    """One step in every lane, and the lanes whose problem is over and whose step was good."""
    y, h, t = state.y, state.h, state.t
    lanes, problems = len(t), len(state.table) - 1
    y1, k = tsit5.stages(rhs, y, state.k1, h)
    scaled = _rms(tsit5.error(k, h) / (control.atol + control.rtol * jnp.maximum(abs(y), abs(y1))))
    good = (scaled < 1) & state.active
    reached = jnp.where(good, jnp.where(state.final, state.span, t + h), t)
    attempts = state.attempts + 1
    accepted = state.accepted + good
    done = good & state.final
    # No progress in time, or no end of attempts: the problem is given up.
    lost = state.active & ~done & ((attempts >= max_steps) | (t + h <= t))
    place = state.row * lanes + jnp.arange(lanes, dtype=jnp.int32)
    entry = jnp.stack([jnp.where(done, place, -1), attempts, accepted], axis=1)
    over = done | lost
    record = jnp.concatenate([t[None], h[None], y, *tsit5.polynomial(k, h)])
    at, space = state.row, state.workspace
    state = state._replace(
        row=at + 1,
        y=jnp.where(good, y1, y),
        k1=jnp.where(good, k[-1], state.k1),
        t=reached,
        h=h * _factor(scaled, good),
        previous=jnp.where(good, at, state.previous),
        attempts=attempts,
        accepted=accepted,
        table=state.table.at[jnp.where(over, state.problem, problems)].set(entry),
        workspace=space._replace(
            steps=lax.dynamic_update_index_in_dim(space.steps, record, at, 0),
            ends=lax.dynamic_update_index_in_dim(space.ends, reached, at, 0),
            previous=lax.dynamic_update_index_in_dim(space.previous, state.previous, at, 0),
        ),
    )
    return state, over, good


def rank(free: Bool[Array, " W"]) -> Int[Array, " W"]:
    """How many lanes before each one are free.

    `jnp.cumsum` costs a dozen kernels and half a second of compiling on a CPU; this is one.
    """
    lane = jnp.arange(len(free))
    return jnp.sum(free & (lane < lane[:, None]), axis=1, dtype=jnp.int32)


def _factor(scaled: Float[Array, " W"], good: Bool[Array, " W"]) -> Float[Array, " W"]:
    """By how much the next step differs: 0.9 · scaled error^(−1/5), within diffrax's bounds.

    An accepted step is never followed by a smaller one, a rejected one always is; what is not
    finite shrinks most (diffrax would go on with a step of NaN).
    """
    factor = SAFETY * scaled ** (-1 / tsit5.ORDER_OF_ERROR)
    bounded = jnp.clip(factor, jnp.where(good, 1, SHRINK), jnp.where(good, GROW, SAFETY))
    return jnp.where(jnp.isfinite(scaled), bounded, SHRINK)


def _rms(x: Float[Array, "D W"]) -> Float[Array, " W"]:
    return jnp.sqrt(jnp.mean(x * x, axis=0))


def _initial_steps(
    rhs: tsit5.Field, y0: Float[Array, "D B"], control: Control
) -> tuple[Float[Array, "D B"], Float[Array, " B"]]:
    """The field at y0, and a first step size.

    Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, II.4.
    """
    scale = control.atol + control.rtol * abs(y0)
    f0 = rhs(y0)
    d0, d1 = _rms(y0 / scale), _rms(f0 / scale)
    small = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = jnp.where(small, 1e-6, 0.01 * d0 / jnp.where(small, 1, d1))
    d2 = _rms((rhs(y0 + h0 * f0) - f0) / scale) / h0
    largest = jnp.maximum(d1, d2)
    flat = largest <= 1e-15
    h1 = jnp.where(
        flat,
        jnp.maximum(1e-6, h0 * 1e-3),
        (0.01 / jnp.where(flat, 1, largest)) ** (1 / tsit5.ORDER_OF_ERROR),
    )
    sizes = jnp.minimum(100 * h0, h1)
    # A field that isn't finite at y0 has no solution: a step of zero is given up at once.
    return f0, jnp.where(jnp.isfinite(sizes), sizes, 0)


def _covering(
    ends: Float[Array, "R W"],
    times: Float[Array, "B S"],
    last: Int[Array, " B"],
    attempts: Int[Array, " B"],
) -> Int[Array, "B S"]:
    """Flat place of the first attempt of each problem that reaches each time, by bisection.

    The attempts of a problem are consecutive rows of one lane, and the times reached don't fall.
    """
    rows, lanes = ends.shape
    lane = jnp.maximum(last, 0) % lanes
    stop = jnp.maximum(last, 0) // lanes
    high = jnp.broadcast_to(stop[:, None], times.shape)
    low = jnp.maximum(high - attempts[:, None] + 1, 0)
    for _ in range(rows.bit_length()):
        middle = (low + high) // 2
        reached = ends[middle, lane[:, None]] >= times
        high = jnp.where(reached, middle, high)
        low = jnp.where(reached, low, jnp.minimum(middle + 1, high))
    return high * lanes + lane[:, None]
