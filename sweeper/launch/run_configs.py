"""The config of a run or of a YAML file that a user names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweeper.config.run_config import read_config
from sweeper.errors import RecordError
from sweeper.keys import moved
from sweeper.records import find_run, snapshot

__all__ = ["config_of"]


def config_of(runs_dir: Path, name: str) -> dict[str, Any]:
    """The config of a run (by id or the first characters of one) or of a YAML file.

    A run's has the keys that its group's parameters have now, see `GroupState.renamed`. Raises
    `RecordError` for a run that isn't there or never started, `ConfigError` for bad YAML.
    """
    if name.endswith((".yaml", ".yml")):
        return read_config(Path(name))
    run = find_run(runs_dir, name)
    if not run.config_file.exists():
        raise RecordError(f"run `{run.id}` never started, so its folder holds no config")
    return moved(read_config(run.config_file), snapshot(run.group).state.renamed)
