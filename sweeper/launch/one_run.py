"""`sweep run`: one run of a sweep file here and now, in this process and without Ray."""

from __future__ import annotations

import os
import pdb
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sweeper.config import RunSpec, to_yaml
from sweeper.engine.endings import Results, ends_of
from sweeper.engine.environment import is_dropped, run_environment
from sweeper.engine.run_context import RunContext
from sweeper.engine.signals import SignalWatch
from sweeper.errors import SweeperError
from sweeper.launch.recorded_trainer import check_installed
from sweeper.plan.preflight import reasons_against
from sweeper.records import RunFolder
from sweeper.records.outcomes import Cause, Outcome
from sweeper.trainer import Trainer

__all__ = ["OneRun", "ProgressView", "run_here", "train_once", "use_run_environment"]


class ProgressView(Protocol):
    """Shows how far the run is."""

    def show(self, step: int | None, fraction: float | None, metrics: Mapping[str, float]) -> None:
        """Called with every row that is logged and with every progress that is reported."""

    def close(self) -> None:
        """Called before anybody else writes to the terminal, and at the end."""


@dataclass(frozen=True)
class OneRun:
    """How the run ended; its files are in `folder`."""

    outcome: Outcome
    cause: Cause | None
    metrics: Mapping[str, float]
    folder: Path


class _WatchedRun(RunContext):
    """A run that shows its progress on the terminal."""

    def __init__(
        self, run_id: str, folder: RunFolder, stop_flag: Path, progress: ProgressView
    ) -> None:
        super().__init__(run_id, folder, stop_flag)
        self._shown = progress
        self._fraction: float | None = None

    def log(self, step: int, **metrics: float) -> None:
        try:
            super().log(step, **metrics)
        finally:
            self._shown.show(self.last_step, self._fraction, self.metrics)

    def progress(self, fraction: float) -> None:
        super().progress(fraction)
        self._fraction = fraction
        self._shown.show(self.last_step, fraction, self.metrics)


def run_here(
    spec: RunSpec, trainer: Trainer, folder: Path, progress: ProgressView, *, debugger: bool = False
) -> OneRun:
    """Train a run with its files in `folder`, which exists. No records are read or written.

    The first Ctrl-C asks the training to stop at its next step, the second ends it at once. With
    `debugger`, what the training raises opens it. Raises `SweeperError` for a combination that
    can't work, `TrainerError` if a package that it imports isn't installed.
    """
    problems = reasons_against(spec, trainer)
    if problems:
        raise SweeperError(f"this combination can't be trained: {'; '.join(problems)}")
    check_installed(trainer)
    use_run_environment(cpus_per_run=1)
    files = RunFolder(folder)
    files.config_file.write_text(to_yaml(spec.config))
    stop_flag = folder / ".stop"
    run = _WatchedRun(spec.id, files, stop_flag, progress)

    def stop() -> None:
        if stop_flag.exists():
            raise KeyboardInterrupt
        stop_flag.touch()

    try:
        with SignalWatch(stop):
            outcome, cause = train_once(
                run, trainer, spec.config, before_debugger=progress.close if debugger else None
            )
            run.flush()
    finally:
        progress.close()
        stop_flag.unlink(missing_ok=True)
    return OneRun(outcome, cause, run.metrics, folder)


def use_run_environment(*, cpus_per_run: int) -> None:
    """Give this process a worker's environment: compiled programs are then found in the cache."""
    for name in filter(is_dropped, list(os.environ)):
        del os.environ[name]
    os.environ.update(run_environment(os.environ, cpus_per_run=cpus_per_run))


def train_once(
    run: RunContext,
    trainer: Trainer,
    config: Any,
    *,
    before_debugger: Callable[[], None] | None = None,
) -> tuple[Outcome, Cause | None]:
    """Train a config in this process, and judge its end as a launch does.

    With `before_debugger`, which is then called first, what the training raises opens the debugger.
    """

    def train() -> Results:
        try:
            return trainer.train([config], [run])
        except BaseException as error:
            if before_debugger is not None and error.__traceback__ is not None:
                before_debugger()
                traceback.print_exc()
                pdb.post_mortem(error.__traceback__)
            raise

    [end] = ends_of(train, [run])
    return end
