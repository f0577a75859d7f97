"""A training in a checkpoint: its arrays, bit for bit, and what else it needs in order to go on.

The file has the format of trained models (`models.training.checkpoints`): a line of JSON, then the
arrays. Nothing in it is ever evaluated or unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax

from models.training import checkpoints
from models.training.checkpoints import ModelFileError
from sweeper.trainer import Run

__all__ = ["FILE", "checkpoint", "restored"]

FILE = "training.state"
_NAME = "training"

Header = TypeVar("Header")
State = TypeVar("State")


def checkpoint(run: Run, step: int, family: str, header: Mapping[str, Any], state: Any) -> None:
    """Keep a training as it is after `step`, if that is due.

    `header` is plain data of JSON's types, `state` any JAX tree; keys of random numbers are arrays
    in it too.
    """
    run.checkpoint(
        step,
        lambda folder: checkpoints.write(
            folder / FILE, _family(family), header, {_NAME: _with_raw_keys(state)}
        ),
    )


def restored(
    run: Run,
    family: str,
    *,
    header_of: Callable[[Mapping[str, Any]], Header],
    blank_of: Callable[[Header], State],
) -> tuple[Header, State] | None:
    """The header and the state from which a run goes on; None if it begins from the beginning.

    `header_of` and `blank_of` are those of `checkpoints.read`. A file that can't be used, because
    it is torn or of another version, is named in the run's log.
    """
    folder = run.restored
    if folder is None:
        return None
    try:
        header, states = checkpoints.read(
            folder / FILE,
            _family(family),
            header_of=header_of,
            blank_of=lambda header: _with_raw_keys(blank_of(header)),
        )
        return header, _like(blank_of(header), states[_NAME])
    except (ModelFileError, KeyError) as error:
        print(f"the checkpoint can't be used: {error}", flush=True)
        return None


def _family(family: str) -> str:
    return f"{family} training"


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _with_raw_keys(state: State) -> State:
    """The state with the bits of each key in its place."""
    raw: State = jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state
    )
    return raw


def _like(blank: State, raw: Any) -> State:
    """A state with arrays of JAX, and with keys where `blank` has them."""

    def leaf_like(own: Any, found: Any) -> Any:
        if _is_key(own):
            return jax.random.wrap_key_data(found, impl=jax.random.key_impl(own))
        return jax.numpy.asarray(found) if checkpoints.is_array(own) else found

    state: State = jax.tree.map(leaf_like, blank, raw)
    return state
