"""`sweep rerun RUN --set … --as-new`: a recorded run with other values, as a run of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweeper.config import Resources, Sweep, override_config, plain, read_sweep, run_id, to_yaml
from sweeper.config.run_config import identity
from sweeper.errors import RecordError
from sweeper.launch.launch import compare
from sweeper.launch.recorded_runs import fitting_config, recorded_resources
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.launch.work import Options, Prepared, SweepFile
from sweeper.records import GroupFolder, find_run, fold, read_events
from sweeper.trainer import Trainer

__all__ = ["prepare_new_run"]


def prepare_new_run(
    runs_dir: Path,
    prefix: str,
    overrides: Sequence[str],
    options: Options,
    *,
    trainer: str | None = None,
) -> Prepared:
    """A sweep of one run, in a group of its own that is named after the old group and the new run.

    In the old group the next launch of its file would take it for a run of an earlier file. Raises
    `RecordError` if nothing differs, `ConfigError` for values that don't fit.
    """
    run = find_run(runs_dir, prefix)
    if not run.config_file.exists():
        raise RecordError(f"run `{run.id}` never started, so its folder holds no config")
    state = fold(read_events(run.group.journal_dir))
    loaded = trainer_of(run.group, state, trainer)
    old = fitting_config(run.config_file, loaded)
    config = override_config(old, overrides)
    new_id = run_id(loaded.name, identity(config))
    if new_id == run_id(loaded.name, identity(old)):
        raise RecordError(
            f"--as-new: this is run `{run.id}` itself; change a value with `--set key=value`"
        )
    group = f"{run.group.group}-{new_id}"
    sweep = _sweep_of(config, group, loaded, recorded_resources(state, run.group))
    return compare(SweepFile(sweep, GroupFolder(runs_dir, group)), options)


def _sweep_of(config: Any, group: str, trainer: Trainer, resources: Resources) -> Sweep:
    text = to_yaml(
        {
            "trainer": trainer.name,
            "group": group,
            "resources": _written(resources),
            **plain(config),
        }
    )
    with tempfile.TemporaryDirectory(prefix="sweeper-new-") as temporary:
        # Two folders deep: no default.yaml is above it.
        folder = Path(temporary) / "a" / "b"
        folder.mkdir(parents=True)
        file = folder / "sweep.yaml"
        file.write_text(text, encoding="utf-8")
        return read_sweep(file, search=trainer.search)


def _written(resources: Resources) -> dict[str, Any]:
    """Resources with the keys that a sweep file has."""
    data = asdict(resources)
    data["timeout"] = data.pop("timeout_s")
    data["checkpoint_every"] = data.pop("checkpoint_every_s")
    return data
