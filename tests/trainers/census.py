"""A JAX trainer that counts the threads of its own process, after real work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.trainer import Run

preload = ("jax",)


@dataclass(frozen=True)
class Config:
    size: int = 300
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Run]) -> Any:
    import jax
    import jax.numpy as jnp

    hits = Counter[str]()

    def count(event: str, **_: str | int) -> None:
        hits[event] += 1

    jax.monitoring.register_event_listener(count)
    matrix = jnp.ones((configs[0].size, configs[0].size))
    # Large enough for XLA to want its pool.
    total = jax.jit(lambda x: jnp.linalg.eigh(x @ x.T + jnp.eye(len(x)))[0].sum())(matrix)
    tasks = list(Path("/proc/self/task").iterdir())
    names = Counter((task / "comm").read_text().strip() for task in tasks)
    allowed = {cpu for task in tasks for cpu in os.sched_getaffinity(int(task.name))}
    print(sorted(names.items()))
    return [
        {
            "total": float(total),
            "threads": len(tasks),
            "xla_pool": names["tf_XLAEigen"],
            "cpus": len(allowed),
            "cpu": min(allowed),
            "cache_hits": hits["/jax/compilation_cache/cache_hits"],
        }
    ]
