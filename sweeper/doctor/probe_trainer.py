"""A trainer that trains nothing: it reports what a worker on this host uses.

`sweep doctor` sweeps it through the engine. As a program
(``python -m sweeper.doctor.probe_trainer``) it compiles the same small function in a fresh process
and prints the result as one line of JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeper.trainer import Run

__all__ = ["Config", "headline", "main", "train"]

headline = "threads"

_CACHE_EVENTS = "/jax/compilation_cache/cache_"


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""

    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Run]) -> list[dict[str, float]]:
    """Compile something, then count the threads of this process."""
    compiled = compile_something()
    counted = count_threads()
    return [{**compiled, **counted} for _ in runs]


def compile_something() -> dict[str, float]:
    """Compile and run a small program on the CPU.

    Returns `jax` (1 if it is installed, else 0 and nothing else), `import_s`, `compile_s`, and what
    the persistent cache did: `hits` and `misses`.
    """
    began = time.monotonic()
    try:
        import jax
    except ImportError:
        return {"jax": 0}
    import jax.numpy as jnp

    seen = {"hits": 0, "misses": 0}

    def listen(event: str, **_: object) -> None:
        if event.startswith(_CACHE_EVENTS):
            name = event.removeprefix(_CACHE_EVENTS)
            seen[name] = seen.get(name, 0) + 1

    jax.monitoring.register_event_listener(listen)
    # The report is about CPUs; a GPU's runtime would add threads of its own.
    jax.config.update("jax_platforms", "cpu")
    imported = time.monotonic()

    def program(x: jax.Array) -> jax.Array:
        return jnp.sum(jax.lax.fori_loop(0, 5, lambda _, y: jnp.tanh(x @ y) + jnp.sin(y), x))

    jax.jit(jax.grad(program))(jnp.ones((16, 16))).block_until_ready()
    compiled = time.monotonic()
    return {
        "jax": 1,
        "import_s": round(imported - began, 3),
        "compile_s": round(compiled - imported, 3),
        "hits": seen["hits"],
        "misses": seen["misses"],
    }


def count_threads() -> dict[str, float]:
    """Threads of this process: all of them, XLA's, and those that may leave the slot's CPUs."""
    slot = os.sched_getaffinity(0)
    threads = xla = stray = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            may_use = os.sched_getaffinity(int(task.name))
        except OSError:  # it has ended meanwhile
            continue
        threads += 1
        xla += name.startswith("tf_XLAEigen")
        stray += not may_use <= slot
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"^VmPeak:\s*(\d+)", status, re.MULTILINE)
    return {
        "threads": threads,
        "xla_threads": xla,
        "stray_threads": stray,
        "cpus": len(slot),
        "address_space_bytes": int(peak[1]) * 1024 if peak else 0,
    }


def main() -> None:
    """Compile on one CPU, as a worker does, and print the result."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sys.stdout.write(json.dumps(compile_something()) + "\n")


if __name__ == "__main__":
    main()
