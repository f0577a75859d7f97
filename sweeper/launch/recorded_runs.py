"""Runs and resources as the records of a group hold them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeper.config import Resources, RunSpec, from_plain, plain, run_id
from sweeper.config.run_config import read_config
from sweeper.errors import ConfigError, RecordError
from sweeper.records import GroupFolder, GroupState
from sweeper.records.layout import is_run_id
from sweeper.trainer import Trainer

__all__ = ["recorded_resources", "recorded_specs"]


def recorded_specs(
    folder: GroupFolder, state: GroupState, trainer: Trainer, wanted: Sequence[str]
) -> tuple[dict[str, RunSpec], int]:
    """The runs as a sweep file gives them, in the order of the plan, and how many lack a config."""
    chosen = set(wanted)
    specs: dict[str, RunSpec] = {}
    for run in state.runs.values():
        if run.id in chosen and is_run_id(run.id):
            file = folder.run(run.id).config_file
            if file.exists():
                config = _config(file, run.id, trainer)
                specs[run.id] = RunSpec(run.id, config, dict(run.axis_values))
    return specs, len(chosen) - len(specs)


def _config(file: Path, run: str, trainer: Trainer) -> Any:
    stored = read_config(file)
    try:
        config = from_plain(trainer.Config, stored)
    except ConfigError as error:
        raise RecordError(
            f"{file} no longer fits trainer {trainer.name!r}:\n{error}\nlaunch the sweep file again"
        ) from error
    if run_id(trainer.name, plain(config)) != run:
        raise RecordError(
            f"{file}: with the defaults that trainer {trainer.name!r} has now, this is another run "
            f"than `{run}`; launch the sweep file again"
        )
    return config


def recorded_resources(state: GroupState, folder: GroupFolder) -> Resources:
    """What the runs got at the last launch; the defaults if older records don't say."""
    recorded = state.last_training.resources if state.last_training else {}
    try:
        found: Resources = from_plain(Resources, recorded)
    except ConfigError as error:
        raise RecordError(f"the journal of group `{folder.group}`: {error}") from error
    limits = (found.cpus_per_run, found.memory_per_run, found.timeout_s, found.runs_per_wave)
    if any(limit is not None and not limit > 0 for limit in (*limits, found.scratch)):
        raise RecordError(f"the journal of group `{folder.group}`: no resources: {dict(recorded)}")
    return found
