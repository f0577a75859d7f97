"""What runs inside a worker process: pin, limit, call the trainer, catch everything.

Nothing here imports Ray: `sweeper.engine.fork_server` forks the process and calls `serve`.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeper.config import from_plain, to_yaml
from sweeper.engine.budgets import cap_log, free_bytes
from sweeper.engine.checkpoints import usable
from sweeper.engine.earlier_attempts import clear, set_aside
from sweeper.engine.endings import Results, ends_of
from sweeper.engine.failures import cause_of_exception, full_disk_named
from sweeper.engine.heap import give_back_memory
from sweeper.engine.process_state import ProcessState, kill_children
from sweeper.engine.protocol import Channel, PackEnded, Task, TrainPack, WorkerSetup
from sweeper.engine.results import Result, write_result
from sweeper.engine.run_context import RunContext
from sweeper.engine.sandbox import (
    Stacks,
    UsageMeter,
    memory_limit,
    output_to,
    pin_process,
    watched_exits,
)
from sweeper.engine.scratch import WaveScratch
from sweeper.engine.status_table import StatusTable
from sweeper.records.layout import RunFolder, write_atomically
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.records.permissions import umask_in
from sweeper.trainer import Trainer, load_trainer

__all__ = ["Worker", "serve"]


def serve(connection: socket.socket) -> None:
    """Execute packs until the other end of the connection is gone."""
    channel = Channel(connection)
    setup = channel.receive()
    if not isinstance(setup, WorkerSetup):
        return
    worker = Worker(setup)
    while isinstance(order := channel.receive(), TrainPack):
        channel.send(PackEnded(tuple(worker.execute(order.tasks))))


class Worker:
    """Executes attempts one after another on one slot."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._pid = os.getpid()
        pin_process(setup.cpus)
        self._trainer_name = setup.trainer
        self._search = [Path(folder) for folder in setup.search]
        self._scratch = WaveScratch(Path(setup.scratch))
        self._status_table = StatusTable(self._scratch.status_table)
        self._stacks = Stacks(self._scratch.stack(os.getpid()))
        self._memory_per_run = setup.memory_per_run
        self._trainer: Trainer | None = None
        self._written: list[Result] = []
        """The results of the pack that is executed, once they are written."""

    def execute(self, attempts: Sequence[Task]) -> list[Result]:
        """Train a pack and return one result per attempt; raises nothing."""
        began = time.time()
        usage = UsageMeter()
        self._written = []
        try:
            return self._execute(attempts, began, usage)
        except BaseException as error:  # a full disk, a folder that the training took away
            if self._written:  # what went wrong afterwards changes no result
                return [replace(result, spoilt=True) for result in self._written]
            end = cause_of_exception(error)
            return [_result(attempt, end, None, began, usage) for attempt in attempts]

    def _execute(self, attempts: Sequence[Task], began: float, usage: UsageMeter) -> list[Result]:
        folders = [RunFolder(Path(attempt.folder)) for attempt in attempts]
        umask = umask_in(folders[0].path.parent)
        os.umask(umask)
        runs = [self._open(a, f) for a, f in zip(attempts, folders, strict=True)]
        with (
            output_to(folders[0].log_file),
            self._stacks.to(folders[0].stack_file),
            watched_exits(self._status_table, [attempt.row for attempt in attempts]),
            memory_limit(self._memory_per_run),
        ):
            for attempt in attempts:
                # The monotonic clock is the same for all processes of a host.
                self._status_table.begin(
                    attempt.row, os.getpid(), time.monotonic(), time.process_time()
                )
            state, ends = self._train(attempts, runs)
            state.restore_limits()  # they would be in our way too
            for attempt in attempts:
                self._status_table.end(attempt.row)
            results = [
                _result(attempt, end, run, began, usage)
                for attempt, end, run in zip(attempts, ends, runs, strict=True)
            ]
            # First the results: then a process that can't be cleaned up costs nothing but itself.
            self._written = list(map(_write, folders, results, runs))
            spent = self._stacks.limited(lambda: _clean_up(state))
        give_back_memory()
        cap_log(folders[0].log_file)
        for attempt in attempts[1:]:
            shutil.copyfile(folders[0].log_file, RunFolder(Path(attempt.folder)).log_file)
        return [replace(result, spoilt=spent is not None) for result in self._written]

    def _open(self, attempt: Task, folder: RunFolder) -> RunContext:
        """Set aside what an earlier attempt left and write the config."""
        folder.make()
        checkpoint = None
        if attempt.datasets is None:
            if attempt.checkpoint_every_s is not None:
                checkpoint = usable(folder, since=attempt.restore_since)
            set_aside(folder, attempt.attempt)
        else:
            clear(folder)
        write_atomically(folder.config_file, to_yaml(attempt.config), durable=False)
        run = RunContext(
            attempt.run,
            folder,
            self._scratch.stop_flag,
            attempt=attempt.attempt,
            note_step=functools.partial(self._status_table.note_step, attempt.row),
            at_first_step=give_back_memory,
            checkpoint=checkpoint,
            checkpoint_every_s=attempt.checkpoint_every_s,
            sources=attempt.sources,
        )
        run.begin()
        return run

    def _train(
        self, attempts: Sequence[Task], runs: Sequence[RunContext]
    ) -> tuple[ProcessState, list[tuple[Outcome, Cause | None]]]:
        """How the runs end, and the state of the process before them."""
        state: ProcessState | None = None

        def train() -> Results:
            nonlocal state
            # What the import of a trainer sets belongs to every run of it.
            trainer = self._trainer = self._trainer or load_trainer(
                self._trainer_name, search=self._search
            )
            configs = [from_plain(trainer.Config, attempt.config) for attempt in attempts]
            state = ProcessState()
            # In a context of its own: decimal, NumPy and others keep settings in the current one.
            return contextvars.copy_context().run(self._call, trainer, attempts, configs, runs)

        ends = ends_of(train, runs)
        if os.getpid() != self._pid:
            os._exit(1)  # a fork of the training came back too: it ends here, unseen
        for index, run in enumerate(runs):
            try:
                run.flush()
            except OSError as error:
                if ends[index][0] is Outcome.FINISHED:  # else its own reason counts
                    ends[index] = _unwritable(error, run.record)
        return state or ProcessState(), ends

    def _call(
        self,
        trainer: Trainer,
        attempts: Sequence[Task],
        configs: Sequence[Any],
        runs: Sequence[RunContext],
    ) -> Results:
        if attempts[0].datasets is None:
            return trainer.train(configs, runs)
        evaluate = trainer.evaluate
        if evaluate is None:
            raise TypeError(f"trainer {self._trainer_name!r} has no `evaluate`")
        return [
            evaluate(
                config,
                RunFolder(Path(attempt.folder).parent).trained().path,
                list(attempt.datasets or ()),
            )
            for attempt, config in zip(attempts, configs, strict=True)
        ]


def _free_bytes(attempt: Task) -> dict[Path, int]:
    """What is left where the run writes: in its folder and in the folder for temporary files."""
    found = {}
    for place in (Path(attempt.folder), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):  # the training took it away
            found[place] = free_bytes(place)
    return found


def _result(
    attempt: Task,
    end: tuple[Outcome, Cause | None],
    run: RunContext | None,
    began: float,
    usage: UsageMeter,
) -> Result:
    outcome, cause = end
    if cause is not None and cause.kind is CauseKind.NO_DISK_SPACE:
        cause = full_disk_named(cause, _free_bytes(attempt))
    ended = time.time()
    return Result(
        id=attempt.run,
        attempt=attempt.attempt,
        outcome=outcome,
        cause=cause,
        metrics=dict(run.metrics) if run else {},
        last_step=run.last_step if run else None,
        restored_step=run.restored_step if run else None,
        restored_sources=run.restored_sources if run else (),
        wall_s=round(ended - began, 4),
        started=began,
        ended=ended,
        **usage.read(),
    )


def _clean_up(state: ProcessState) -> str | None:
    """Put back what the training has changed; why the process must not be used again, if so."""
    spent = state.restore()
    if spent:
        sys.stdout.write(f"[this process is not used for another run: {spent}]\n")
    kill_children()
    return spent


def _write(folder: RunFolder, result: Result, run: RunContext) -> Result:
    """Write result.json; a result that can't be written is no success."""
    if run.displaced:
        return result
    try:
        write_result(folder, result)
    except OSError as error:
        if result.outcome is Outcome.FINISHED:  # else its own reason counts
            outcome, cause = _unwritable(error, folder)
            return replace(result, outcome=outcome, cause=cause)
    return result


def _unwritable(error: OSError, folder: RunFolder) -> tuple[Outcome, Cause | None]:
    """The end of a run whose own records can't be written."""
    outcome, cause = cause_of_exception(error)
    if not folder.path.is_dir():
        said = f"the run's folder is gone, something deleted or moved it: {folder.path}"
        cause = replace(cause, kind=CauseKind.EXCEPTION, message=said, place=None)
    return outcome, cause
