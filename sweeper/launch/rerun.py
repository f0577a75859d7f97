"""`sweep rerun`: trains one run again here, in a child process as a worker is one."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from sweeper.config import Resources, override_config
from sweeper.engine.run_context import RunContext
from sweeper.engine.sandbox import memory_limit, pin_process, watched_exits
from sweeper.engine.status_table import StatusTable
from sweeper.errors import RecordError
from sweeper.launch.child import run_in_child
from sweeper.launch.one_run import train_once, use_run_environment
from sweeper.launch.recorded_runs import fitting_config, recorded_resources
from sweeper.launch.recorded_trainer import check_installed, trainer_of
from sweeper.records import GroupState, RunFolder, find_run, fold, read_events
from sweeper.records.outcomes import Cause, Outcome
from sweeper.trainer import Trainer

__all__ = ["rerun_here"]


def rerun_here(
    runs_dir: Path,
    prefix: str,
    *,
    overrides: Sequence[str] = (),
    trainer: str | None = None,
    debugger: bool = False,
) -> int:
    """Train the run once more, showing its output; 0 if it finishes, else 1.

    With the same config but for the `overrides`, and so the same seed, CPUs and memory as at the
    last launch, and judged as a launch judges it: in a process of its own, so that its death has a
    cause too. With `debugger` it is this process, and what the training raises opens the debugger.
    Records and run folder stay as they are: files go to a temporary folder, which is deleted.

    `trainer` is the name of the run's trainer if this user hasn't launched it. Raises
    `SweeperError` for a run that isn't there or whose config no longer fits its trainer.
    """
    run = find_run(runs_dir, prefix)
    if not run.config_file.exists():
        raise RecordError(f"run `{run.id}` never started, so its folder holds no config")
    state = fold(read_events(run.group.journal_dir))
    resources = recorded_resources(state, run.group)
    use_run_environment(cpus_per_run=resources.cpus_per_run)
    with tempfile.TemporaryDirectory(prefix="sweeper-rerun-") as temporary:
        table = StatusTable.create(Path(temporary) / "status", 1)
        again = _Rerun(run, state, resources, trainer, Path(temporary), tuple(overrides), debugger)
        if debugger:
            return again.train(table)
        return run_in_child(again.train, table, Path(temporary) / "stack")


@dataclass(frozen=True)
class _Rerun:
    """One run, about to be trained again."""

    run: RunFolder
    state: GroupState
    resources: Resources
    trainer: str | None
    temporary: Path
    overrides: tuple[str, ...]
    debugger: bool

    def train(self, table: StatusTable) -> int:
        """Train in this process, and print how it ends; the exit status."""
        pin_process(sorted(os.sched_getaffinity(0))[: self.resources.cpus_per_run])
        loaded = trainer_of(self.run.group, self.state, self.trainer)
        check_installed(loaded)
        config = fitting_config(self.run.config_file, loaded)
        if self.overrides:
            config = override_config(config, self.overrides)
        # A training may close or replace its own stdout.
        with os.fdopen(os.dup(sys.stdout.fileno()), "w", errors="backslashreplace") as out:
            with watched_exits(table, [0]), memory_limit(self.resources.memory_per_run):
                outcome, cause, metrics = self._ends(loaded, config)
            return _print_end(out, outcome, cause, metrics)

    def _ends(
        self, trainer: Trainer, config: Any
    ) -> tuple[Outcome, Cause | None, dict[str, float]]:
        folder = RunFolder(self.temporary / self.run.id).make()
        run = RunContext(self.run.id, folder, self.temporary / "never")
        before = (lambda: None) if self.debugger else None
        outcome, cause = train_once(run, trainer, config, before_debugger=before)
        return outcome, cause, run.metrics


def _print_end(
    out: TextIO, outcome: Outcome, cause: Cause | None, metrics: Mapping[str, float]
) -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    for name, value in metrics.items():
        out.write(f"{name} {value:.6g}\n")
    if outcome is Outcome.FINISHED:
        return 0
    out.write(f"{outcome}: {cause.headline() if cause else ''}\n")
    return 1
