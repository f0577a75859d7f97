"""`sweep rerun`: trains one run again in this process."""

from __future__ import annotations

import os
import pdb
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeper.config import from_plain
from sweeper.engine.environment import run_environment
from sweeper.engine.run_context import RunContext
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.launch.run_configs import config_of
from sweeper.records import RunFolder, find_run, fold, read_events
from sweeper.trainer import Trainer

__all__ = ["rerun", "rerun_here"]


def rerun_here(
    runs_dir: Path, prefix: str, *, trainer: str | None = None, debugger: bool = False
) -> int:
    """Train the run again, showing its output; returns 0 if it succeeds, 1 if it raises.

    `trainer` is the name of the run's trainer if it isn't the default one. Raises `RecordError`
    for a run that isn't there, `ConfigError` for a config that no longer fits its trainer.
    """
    run = find_run(runs_dir, prefix)
    config = config_of(runs_dir, prefix)
    state = fold(read_events(run.group.journal_dir))
    # Thread limits and caches as in a worker, so that the compiled program is found in the cache.
    os.environ.update(run_environment(os.environ, cpus_per_run=1))
    loaded = trainer_of(run.group.group, state, trainer)
    from_plain(loaded.Config, config)
    try:
        metrics = rerun(run.id, loaded, config)
    except BaseException as error:
        traceback.print_exc()
        if debugger and error.__traceback__ is not None:
            pdb.post_mortem(error.__traceback__)
        return 1
    for name, value in metrics.items():
        sys.stdout.write(f"{name} {value:.6g}\n")
    return 0


def rerun(run_id: str, trainer: Trainer, config: Mapping[str, Any]) -> dict[str, float]:
    """Train again with the same config, and so the same seed; returns the metrics.

    Exceptions of the training pass through, with their traceback. The records and the run's folder
    don't change: files go to a temporary folder, which is deleted.
    """
    with tempfile.TemporaryDirectory(prefix="sweeper-rerun-") as temporary:
        folder = RunFolder(Path(temporary))
        run = RunContext(run_id, folder, folder.path / "never")
        results = trainer.train([from_plain(trainer.Config, config)], [run])
        if results is not None and results[0] is not None:
            run.metrics.update({name: float(value) for name, value in results[0].items()})
        return run.metrics
