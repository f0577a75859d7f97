"""Ray Tune: a grid over a function that returns its result, two trials at a time.

Workers are kept between trials, which is not the default: a new process per trial takes seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ray
from ray import tune

from benchmarks.rivals.first import note_first_run


def noop(config: dict[str, int]) -> dict[str, float]:
    note_first_run()
    return {"loss": 1.0 / (1 + config["seed"])}


def main(runs: int) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        noop,
        param_space={"seed": tune.grid_search(list(range(runs)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="noop", storage_path=str(Path("results").absolute()), verbose=0
        ),
    )
    assert len(tuner.fit()) == runs
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
