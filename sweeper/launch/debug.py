"""`sweep rerun`: one run again, in this process."""

from __future__ import annotations

import os
import pdb
import sys
import traceback
from pathlib import Path
from typing import Any

from sweeper.config import from_plain
from sweeper.config.stored import read_config
from sweeper.engine.environment import run_environment
from sweeper.engine.rerun import rerun
from sweeper.errors import RecordError
from sweeper.records import GroupFolder, GroupState, find_run, fold, read_events
from sweeper.trainer import DEFAULT_TRAINER, load_trainer

__all__ = ["config_of", "rerun_here", "trainer_of"]


def config_of(runs_dir: Path, name: str) -> dict[str, Any]:
    """The config of a run (by id or the first characters of one) or of a YAML file.

    Raises `RecordError` for a run that isn't there or never started, `ConfigError` for bad YAML.
    """
    if name.endswith((".yaml", ".yml")):
        return read_config(Path(name))
    run = find_run(runs_dir, name)
    if not run.config_file.exists():
        raise RecordError(f"run `{run.id}` never started, so its folder holds no config")
    return read_config(run.config_file)


def trainer_of(folder: GroupFolder, state: GroupState) -> str:
    """The name of the trainer of a group, fit to be imported.

    Raises `RecordError` where the records are another user's: a name in them may be a trap. The
    default trainer is always fit.
    """
    name = (state.launches[-1].trainer if state.launches else None) or DEFAULT_TRAINER
    owner = folder.journal_dir.stat().st_uid
    if name != DEFAULT_TRAINER and owner != os.getuid():
        raise RecordError(
            f"group `{folder.group}` belongs to another user (uid {owner}), so the trainer that "
            f"its records name, {name!r}, isn't imported; make a copy of the records that is yours"
        )
    return name


def rerun_here(runs_dir: Path, prefix: str, *, debugger: bool) -> int:
    """Train the run once more, showing its output; 0 if it ends well, 1 if it raises.

    Raises `RecordError` for a run that isn't there and `ConfigError` for a config that no longer
    fits its trainer.
    """
    run = find_run(runs_dir, prefix)
    config = config_of(runs_dir, prefix)
    trainer_name = trainer_of(run.group, fold(read_events(run.group.journal_dir)))
    # Caps and caches as in a worker, so that the same program is found in the cache.
    os.environ.update(run_environment(os.environ, cpus_per_run=1))
    trainer = load_trainer(trainer_name, search=[Path.cwd()])
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
