"""Optuna with its SQLite storage: two processes share one study, each does half of the trials."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import optuna

from benchmarks.rivals.first import note_first_run

STORAGE = "sqlite:///study.db"


def noop(trial: optuna.Trial) -> float:
    note_first_run()
    return 1.0 / (1 + trial.suggest_int("seed", 0, 1_000_000))


def work(trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name="noop", storage=STORAGE, sampler=optuna.samplers.RandomSampler()
    )
    study.optimize(noop, n_trials=trials)


def main(runs: int) -> None:
    study = optuna.create_study(study_name="noop", storage=STORAGE)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, [runs - runs // 2, runs // 2]))
    assert len(study.trials) == runs


if __name__ == "__main__":
    main(int(sys.argv[1]))
