"""Which device a training runs on."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

import jax

from models.training.config import Device

__all__ = ["choose", "on"]


def on(wanted: Device) -> AbstractContextManager[Any]:
    """Within it JAX computes on the device `wanted`; raises what `choose` raises.

    `auto` changes nothing, so that what was compiled outside is not compiled again.
    """
    if wanted == "auto":
        return contextlib.nullcontext()
    context: AbstractContextManager[Any] = jax.default_device(choose(wanted))
    return context


def choose(wanted: Device) -> Any:
    """The JAX device for `cpu`, `gpu`, or `auto` (the first that JAX prefers).

    `cpu` keeps JAX from opening a GPU that other work may need, unless it is open already; a
    process that began so sees no GPU later.
    Raises RuntimeError, saying what JAX sees, when `gpu` is wanted and there is none.
    """
    if wanted == "auto":
        return jax.devices()[0]
    if wanted == "cpu":
        return _cpu()
    try:
        return jax.devices("gpu")[0]
    except RuntimeError:
        seen = ", ".join(str(device) for device in jax.devices())
        raise RuntimeError(
            f"`device: gpu` is set, but JAX sees only {seen}: install a JAX with GPU "
            "support on a host with a driver, or set `device: auto`"
        ) from None


def _cpu() -> Any:
    # Where JAX could open nothing else, its settings stay as they are: a process whose JAX was
    # configured isn't used for another run.
    if _may_open_more_than_cpus():
        jax.config.update("jax_platforms", "cpu")
    return jax.devices("cpu")[0]


def _may_open_more_than_cpus() -> bool:
    """Whether packages for other devices are installed (plugins of JAX, libtpu)."""
    return bool(
        entry_points(group="jax_plugins") or find_spec("jax_plugins") or find_spec("libtpu")
    )
