"""Plain Ray tasks: no records, no causes, no resume; the floor of what builds on Ray."""

from __future__ import annotations

import sys

import ray

from benchmarks.rivals.first import note_first_run


@ray.remote
def noop(seed: int) -> dict[str, float]:
    note_first_run()
    return {"loss": 1.0 / (1 + seed)}


def main(runs: int) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    results = ray.get([noop.remote(seed) for seed in range(runs)])
    assert len(results) == runs
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
