"""Runs and resources as the records of a group hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.config import Resources, RunSpec, from_plain, identity
from sweeper.config.renames import is_id_of, recorded_config
from sweeper.config.run_config import read_config
from sweeper.errors import ConfigError, RecordError
from sweeper.keys import renamed_keys
from sweeper.records import GroupFolder, GroupState
from sweeper.records.layout import is_run_id
from sweeper.trainer import Trainer

__all__ = ["RecordedSpecs", "fitting_config", "recorded_resources", "recorded_specs"]


# Reasons that are given before an error ends; the others are mostly the same.
_SAID = 3


@dataclass(frozen=True)
class RecordedSpecs:
    """Runs as a sweep file would give them, by id, in the order of the plan.

    `without_config` counts those whose folder holds no config; `unusable` says, a text each, why
    the config that a folder holds is of no use.
    """

    specs: Mapping[str, RunSpec]
    without_config: int
    unusable: tuple[str, ...]


def recorded_specs(
    folder: GroupFolder, state: GroupState, trainer: Trainer, wanted: Sequence[str]
) -> RecordedSpecs:
    """The runs that the records hold whole. Raises `RecordError` if all configs are unusable.

    One file torn by a full disk must not keep the others back.
    """
    chosen = set(wanted)
    specs: dict[str, RunSpec] = {}
    unusable: list[str] = []
    for run in state.runs.values():
        if run.id in chosen and is_run_id(run.id):
            file = folder.run(run.id).config_file
            try:
                if file.exists():
                    config = _config(file, run.id, trainer)
                    axis_values = dict(renamed_keys(run.axis_values, trainer.renamed))
                    specs[run.id] = RunSpec(run.id, config, axis_values)
            except (ConfigError, RecordError) as error:
                unusable.append(str(error))
    if unusable and not specs:
        raise RecordError("\n".join(dict.fromkeys(unusable[:_SAID])))
    return RecordedSpecs(specs, len(chosen) - len(specs) - len(unusable), tuple(unusable))


def fitting_config(file: Path, trainer: Trainer) -> Any:
    """The config of a run from its folder, whichever keys it had then.

    Raises `ConfigError` for bad YAML, `RecordError` for a config that no longer fits its trainer.
    """
    stored = read_config(file)
    try:
        return recorded_config(trainer, stored)
    except ConfigError as error:
        raise RecordError(
            f"{file} no longer fits trainer {trainer.name!r}:\n{error}\nlaunch the sweep file again"
        ) from error


def _config(file: Path, run: str, trainer: Trainer) -> Any:
    config = fitting_config(file, trainer)
    if not is_id_of(run, trainer, identity(config)):
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
