"""Hydra's multirun with the joblib launcher, two jobs at a time."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import hydra
from hydra.core.config_store import ConfigStore

from benchmarks.rivals.first import note_first_run


@dataclass
class Config:
    seed: int = 0


ConfigStore.instance().store(name="noop", node=Config)


@hydra.main(version_base=None, config_name="noop")
def noop(config: Config) -> float:
    note_first_run()
    return 1.0 / (1 + config.seed)


def main(runs: int) -> None:
    sys.argv[1:] = [
        "--multirun",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        f"seed=range(0,{runs})",
    ]
    noop()


if __name__ == "__main__":
    main(int(sys.argv[1]))
