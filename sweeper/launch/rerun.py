"""`sweep rerun`: one run again, in this process."""

from __future__ import annotations

import os
import pdb
import sys
import traceback
from pathlib import Path

from sweeper.config import from_plain
from sweeper.engine.environment import run_environment
from sweeper.engine.rerun import rerun
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.launch.run_configs import config_of
from sweeper.records import find_run, fold, read_events

__all__ = ["rerun_here"]


def rerun_here(
    runs_dir: Path, prefix: str, *, trainer: str | None = None, debugger: bool = False
) -> int:
    """Train the run once more, showing its output; 0 if it ends well, 1 if it raises.

    `trainer` is the name of the run's trainer if it isn't the default one. Raises `RecordError`
    for a run that isn't there, `ConfigError` for a config that no longer fits its trainer.
    """
    run = find_run(runs_dir, prefix)
    config = config_of(runs_dir, prefix)
    state = fold(read_events(run.group.journal_dir))
    # Caps and caches as in a worker, so that the same program is found in the cache.
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
