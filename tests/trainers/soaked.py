"""The trainer of the soak: cheap runs, of which a seeded plan spoils about a seventh.

Each execution is also written to a book of its own, which the sweep knows nothing of: what the
records say is compared with it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.trainer import Run

BOOK = "SOAK_BOOK"
LEFT = "left"  # the metric that counts what earlier runs have left in the process
SHARE = 0.15
# Deeds by module, with their weights: those that hold a slot until the timeout are rarer.
FAULTS: dict[tuple[str, str], int] = {
    ("sabotage", "raise"): 4,
    ("sabotage", "raise oddly"): 4,
    ("sabotage", "sys.exit(0)"): 4,
    ("sabotage", "os._exit(0)"): 4,
    ("sabotage", "os._exit(3)"): 4,
    ("sabotage", "abort"): 4,
    ("sabotage", "segfault"): 4,
    ("sabotage", "kill"): 4,
    ("sabotage", "terminate"): 4,
    ("sabotage", "no memory"): 4,
    ("sabotage", "nan"): 4,
    ("sabotage", "nan result"): 4,
    ("sabotage", "bad result"): 4,
    ("sabotage", "leave children"): 4,
    ("sabotage", "hang"): 1,
    ("sabotage", "hang in native code"): 1,
    ("mischief", "stop itself"): 1,
    ("mischief", "hold a lock"): 4,
    ("mischief", "remove its folder"): 4,
    ("mischief", "spoil the process"): 4,
    ("mischief", "close stdout and stderr"): 4,
    ("mischief", "fork"): 2,
    ("sabotage", "die behind a fork"): 4,
    ("sabotage", "finish before a fork"): 4,
    ("sabotage", "exit in C with 0"): 4,
    ("sabotage", "exit in C with 3"): 4,
    ("meddler", "64 bit"): 2,
    ("meddler", "handlers"): 2,
    ("meddler", "umask and folder"): 2,
    ("meddler", "environment"): 2,
    ("meddler", "a thread"): 2,
    ("meddler", "limits"): 2,
    ("meddler", "random state"): 2,
    ("meddler", "everything"): 8,
}


@dataclass(frozen=True)
class Config:
    plan: int | None = None
    """Seeds the choice of faults; None: no run is spoilt."""
    seed: int = 0


def fault(config: Config) -> tuple[str, str] | None:
    """What the run will do instead of finishing well, as (module, deed)."""
    if config.plan is None:
        return None
    dice = random.Random(f"{config.plan} {config.seed}")
    if dice.random() >= SHARE:
        return None
    return dice.choices(list(FAULTS), list(FAULTS.values()))[0]


def program_key(config: Config) -> int:
    return config.seed % 5


def train(configs: Sequence[Config], runs: Sequence[Run]) -> Any:
    config, run = configs[0], runs[0]
    _book(run.id)
    chosen = fault(config)
    # Here, not above: the test reads the plan of faults where these modules have other names.
    import meddler
    import mischief
    import sabotage

    if chosen is None:
        run.log(0, loss=1.0 / (1 + config.seed))
        left = meddler.found(Path(os.environ[BOOK]).parent)
        print(f"left by runs before: {left}")
        return [{"score": float(config.seed), LEFT: float(len(left))}]
    module, deed = chosen
    if module == "meddler":
        return meddler.train([meddler.Config(deed)], runs)
    if module == "sabotage":
        return sabotage.train([sabotage.Config(deed, config.seed, steps=2)], runs)
    return mischief.train([mischief.Config(deed)], runs)


def _book(run_id: str) -> None:
    """One write with O_APPEND: lines of several processes don't mix."""
    descriptor = os.open(os.environ[BOOK], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{run_id}\n".encode())
    finally:
        os.close(descriptor)
