"""The gradient of `solve.forward`: back through the accepted steps.

It is the exact gradient of the discrete solution with its step sizes held fixed, as in diffrax
(discretise, then optimise). Each lane walks back along the steps of one problem, repeats a step,
pulls the derivatives back through it, and takes the next problem when it arrives at a start.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from models.neural_ode import tsit5
from models.neural_ode.solve import POWERS, Field, Params, Tape, Workspace, rank

__all__ = ["backward"]


class _Reverse(NamedTuple):
    """State of the loop: each lane's place on the tape and dL/dy behind it."""

    place: Int[Array, " W"]
    head: Int[Array, ""]
    pull: Float[Array, "D W"]
    gradient: Params


def backward(
    field: Field,
    params: Params,
    tape: Tape,
    cotangent: Float[Array, "B S D"],
    workspace: Workspace,
) -> Params:
    """dL/dparams, given dL/dy at the saved points, and what `forward` left in the workspace.

    Of unsolved problems nothing comes back: the caller looks at `Solution.solved`.
    """
    lanes = workspace.ends.shape[1]
    problems, _, size = cotangent.shape
    pulls, group = _pulls(tape, cotangent, workspace.ends.size)
    # Longest chains first.
    order = jnp.argsort(-jnp.where(tape.last >= 0, tape.accepted, 0))
    queue = jnp.full(max(lanes, problems), -1, jnp.int32).at[:problems].set(tape.last[order])
    rhs = jax.vmap(field, in_axes=(None, 1), out_axes=1)

    def step(p: Params, y: Float[Array, "D W"], h: Float[Array, " W"]) -> Any:
        y1, k = tsit5.stages(lambda z: rhs(p, z), y, rhs(p, y), h)
        return y1, tsit5.polynomial(k, h)

    def going(state: _Reverse) -> Bool[Array, ""]:
        return jnp.any(state.place >= 0)

    def round_(state: _Reverse) -> _Reverse:
        on = state.place >= 0
        place = jnp.maximum(state.place, 0)
        row, lane = place // lanes, place % lanes
        record = workspace.steps[row, : 2 + size, lane].T
        direct = jnp.where(on, pulls[group[place]].T, 0).reshape(1 + POWERS, size, lanes)
        _, vjp = jax.vjp(lambda p, y: step(p, y, record[1]), params, record[2:])
        by_params, by_y = vjp((jnp.where(on, state.pull, 0), direct[1:]))
        before = workspace.previous[row, lane]
        place = jnp.where(on & (before >= 0), before * lanes + lane, -1)
        free = place < 0
        number = state.head + rank(free)
        new = free & (number < problems)
        return _Reverse(
            place=jnp.where(new, queue[jnp.clip(number, 0, problems - 1)], place),
            head=state.head + jnp.sum(free, dtype=jnp.int32),
            pull=jnp.where(free, 0, by_y + direct[0]),
            gradient=jax.tree.map(jnp.add, state.gradient, by_params),
        )

    state = _Reverse(
        place=queue[:lanes],
        head=jnp.int32(lanes),
        pull=jnp.zeros((size, lanes), cotangent.dtype),
        gradient=jax.tree.map(jnp.zeros_like, params),
    )
    return lax.while_loop(going, round_, state).gradient


def _pulls(
    tape: Tape, cotangent: Float[Array, "B S D"], places: int
) -> tuple[Float[Array, "G P"], Int[Array, " places"]]:
    """dL/d(state, coefficients) of the steps that cover points, and where each step has its own.

    Points of one step are neighbours; the first of them lends its number to the group. The last
    group is empty: it belongs to the steps that cover no point.
    """
    problems, samples, _ = cotangent.shape
    points = problems * samples
    number = jnp.arange(points, dtype=jnp.int32).reshape(problems, samples)
    before = jnp.concatenate([jnp.full((problems, 1), -1), tape.place[:, :-1]], axis=1)
    starts = tape.place != before
    member = lax.cummax(jnp.where(starts, number, 0), axis=1)
    powers = jnp.stack([tape.theta**j for j in range(1 + POWERS)], axis=-1)
    parts = (powers[..., None] * cotangent[..., None, :]).reshape(points, -1)
    known = (tape.last >= 0)[:, None]
    pulls = jnp.zeros((points + 1, parts.shape[1]), parts.dtype)
    pulls = pulls.at[jnp.where(known, member, points).ravel()].add(
        jnp.where(jnp.repeat(known, samples), parts.T, 0).T
    )
    target = jnp.where(starts & known, tape.place, places)
    group = jnp.full(places, points, jnp.int32).at[target].set(number, mode="drop")
    return pulls, group
