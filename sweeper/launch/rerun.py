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
from sweeper.engine.endings import Results, ends_of
from sweeper.engine.environment import run_environment
from sweeper.engine.run_context import RunContext
from sweeper.launch.recorded_trainer import check_installed, trainer_of
from sweeper.launch.run_configs import config_of
from sweeper.records import RunFolder, find_run, fold, read_events
from sweeper.records.outcomes import Cause, Outcome
from sweeper.trainer import Trainer

__all__ = ["rerun", "rerun_here"]


def rerun_here(
    runs_dir: Path, prefix: str, *, trainer: str | None = None, debugger: bool = False
) -> int:
    """Train the run once more, showing its output; 0 if it finishes, else 1.

    `trainer` is the name of the run's trainer if it isn't the default one. Raises `RecordError`
    for a run that isn't there, `ConfigError` for a config that no longer fits its trainer.
    """
    run = find_run(runs_dir, prefix)
    config = config_of(runs_dir, prefix)
    state = fold(read_events(run.group.journal_dir))
    # Thread limits and caches as in a worker, so that the compiled program is found in the cache.
    os.environ.update(run_environment(os.environ, cpus_per_run=1))
    loaded = trainer_of(run.group, state, trainer)
    check_installed(loaded)
    from_plain(loaded.Config, config)
    outcome, cause, metrics = rerun(run.id, loaded, config, debugger=debugger)
    for name, value in metrics.items():
        sys.stdout.write(f"{name} {value:.6g}\n")
    if outcome is Outcome.FINISHED:
        return 0
    sys.stdout.write(f"{outcome}: {cause.headline() if cause else ''}\n")
    return 1


def rerun(
    run_id: str, trainer: Trainer, config: Mapping[str, Any], *, debugger: bool = False
) -> tuple[Outcome, Cause | None, dict[str, float]]:
    """Train once more with the same config and so the same seed: outcome, cause and metrics.

    They are judged as a launch judges them. Records and run folder stay as they are: files go to a
    temporary folder, which is deleted. With `debugger`, what the training raises opens it.
    """
    with tempfile.TemporaryDirectory(prefix="sweeper-rerun-") as temporary:
        folder = RunFolder(Path(temporary))
        run = RunContext(run_id, folder, folder.path / "never")

        def train() -> Results:
            try:
                return trainer.train([from_plain(trainer.Config, config)], [run])
            except BaseException as error:
                if debugger and error.__traceback__ is not None:
                    traceback.print_exc()
                    pdb.post_mortem(error.__traceback__)
                raise

        [(outcome, cause)] = ends_of(train, [run])
        return outcome, cause, run.metrics
