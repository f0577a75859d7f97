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
from sweeper.records import find_run, run_config, run_trainer
from sweeper.trainer import load_trainer

__all__ = ["rerun_here"]


def rerun_here(runs_dir: Path, prefix: str, *, debugger: bool) -> int:
    """Train the run once more, showing its output; 0 if it ends well, 1 if it raises.

    Raises `RecordError` for a run that isn't there and `ConfigError` for a config that no longer
    fits its trainer.
    """
    run = find_run(runs_dir, prefix)
    config = run_config(runs_dir, prefix)
    # Caps and caches as in a worker, so that the same program is found in the cache.
    os.environ.update(run_environment(os.environ, cpus_per_run=1))
    trainer = load_trainer(run_trainer(run.group), search=[Path.cwd()])
    from_plain(trainer.Config, config)
    try:
        metrics = rerun(run.id, trainer, config)
    except BaseException as error:
        traceback.print_exc()
        if debugger and error.__traceback__ is not None:
            pdb.post_mortem(error.__traceback__)
        return 1
    for name, value in metrics.items():
        sys.stdout.write(f"{name} {value:.6g}\n")
    return 0
