"""The neural ODE as a trainer that notes the memory of its process on the way.

`alone` is the same without `preload`: each worker imports JAX by itself, as an actor of Ray does.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from models.neural_ode import Config, preload, program_key
from sweeper.trainer import Run

__all__ = ["Config", "alone", "memory_of", "preload", "program_key", "train"]

FILE = "memory.json"
_MIB = 1024


def memory_of(pid: int | str) -> dict[str, float]:
    """MiB of a process, proc(5): resident; its share (PSS); what it has for itself; the peak.

    Raises OSError for a process that is gone.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    found = {
        name: int(kib) / _MIB
        for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", rollup + status, re.M)
    }
    return {
        "resident": found["Rss"],
        "share": found["Pss"],
        "own": found["Private_Clean"] + found["Private_Dirty"],
        "peak": found["VmHWM"],
    }


class _Watched:
    """A run that notes the memory once its training is under way."""

    def __init__(self, run: Run, notes: dict[str, dict[str, float]]) -> None:
        self._run, self._notes = run, notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def progress(self, fraction: float) -> None:
        """As the run's."""
        self._notes.setdefault("training", memory_of("self"))
        self._run.progress(fraction)


def train(configs: Sequence[Config], runs: Sequence[Run]) -> list[Mapping[str, float]]:
    """Trains one config, and saves what it noted as JSON."""
    (config,), (run,) = configs, runs
    notes = {"begun": memory_of("self")}
    from models.neural_ode import training
    from models.neural_ode.compiled_phases import make_stages
    from models.training.device import choose
    from models.two_body import Units, load

    device = choose(config.device)
    dataset = load(config.data.dataset_name, seed=config.data.data_seed)
    notes["data"] = memory_of("self")
    make_stages(config, dataset, dataset, Units.of(dataset), device)
    notes["compiled"] = memory_of("self")
    watched: Any = _Watched(run, notes)
    result = training.train_one(config, watched)
    notes["evaluated"] = memory_of("self")
    run.save(FILE, lambda path: path.write_text(json.dumps({"pid": os.getpid(), "notes": notes})))
    return [result]


alone = SimpleNamespace(Config=Config, program_key=program_key, train=train)
