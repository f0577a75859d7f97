"""What runs inside a worker process: pin, limit, call the trainer, catch everything.

Nothing here imports Ray: the wave wraps `Worker` into an actor, and tests call it directly.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import math
import os
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import psutil

from sweeper.config import from_plain, to_yaml
from sweeper.engine.board import Board
from sweeper.engine.faults import Terminated, cause_of_exception
from sweeper.engine.folder_run import FolderRun
from sweeper.engine.room import cap_log
from sweeper.engine.scratch import WaveScratch
from sweeper.engine.traces import write_result
from sweeper.errors import Diverged
from sweeper.records.folders import RunFolder
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.trainer import Trainer, load_trainer

__all__ = ["Attempt", "Worker", "pin_process"]


# A workstation is shared: what runs write is for their user alone.
_UMASK = 0o077


@dataclass(frozen=True)
class Attempt:
    """One run to be executed: plain data, as it travels to the worker.

    With `datasets` it is no training but an evaluation of the trained run in the folder above
    `folder`.
    """

    run: str
    attempt: int
    config: dict[str, Any]
    folder: str
    row: int
    """Its row on the wave's board."""
    datasets: tuple[str, ...] | None = None


def pin_process(cpus: Sequence[int]) -> None:
    """Move every thread of this process to `cpus`; threads made later inherit it.

    Must come before JAX's backend is first used: the affinity at that moment sizes XLA's pools.
    """
    moved: set[str] = set()
    # Again until none is new: a thread that was not moved yet may have started another.
    while new := set(os.listdir("/proc/self/task")) - moved:  # noqa: PTH208  (names, not paths)
        for task in new:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), cpus)
        moved |= new


class Worker:
    """Executes attempts one after another on one slot."""

    def __init__(
        self,
        cpus: Sequence[int],
        trainer_name: str,
        search: Sequence[str],
        scratch: str,
        memory_per_run: int | None,
    ) -> None:
        pin_process(cpus)
        os.umask(_UMASK)
        self._trainer_name = trainer_name
        self._search = [Path(folder) for folder in search]
        self._scratch = WaveScratch(Path(scratch))
        self._board = Board(self._scratch.board)
        self._stacks = _Stacks(self._scratch.stack(os.getpid()))
        self._memory_per_run = memory_per_run
        self._trainer: Trainer | None = None

    def execute(self, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
        """Train a pack and return one plain record per attempt; raises nothing."""
        began = time.time()
        usage = _Usage()
        try:
            return self._execute(attempts, began, usage)
        except BaseException as error:  # a full disk, a folder that the training took away
            end = cause_of_exception(error)
            return [_record(attempt, end, None, began, usage) for attempt in attempts]

    def _execute(
        self, attempts: Sequence[Attempt], began: float, usage: _Usage
    ) -> list[dict[str, Any]]:
        folders = [RunFolder(Path(attempt.folder)) for attempt in attempts]
        runs = [self._open(a, f) for a, f in zip(attempts, folders, strict=True)]
        with (
            _kept_process_state(),
            _output_to(folders[0].log_file),
            self._stacks.to(folders[0].stack_file),
            _watched_exits(self._board, attempts),
            _memory_limit(self._memory_per_run),
        ):
            for attempt in attempts:
                # The monotonic clock is the same for all processes of a host.
                self._board.begin(attempt.row, os.getpid(), time.monotonic())
            threads = _lasting_threads()
            ends = self._train(attempts, runs)
            spoilt = bool(_lasting_threads() - threads)
            for attempt in attempts:
                self._board.end(attempt.row)
        cap_log(folders[0].log_file)
        for attempt in attempts[1:]:
            shutil.copyfile(folders[0].log_file, RunFolder(Path(attempt.folder)).log_file)
        records = [
            _record(attempt, end, run, began, usage)
            for attempt, end, run in zip(attempts, ends, runs, strict=True)
        ]
        written = [_write_result(f, r) for f, r in zip(folders, records, strict=True)]
        return [{**record, "spoilt": spoilt} for record in written]

    def _open(self, attempt: Attempt, folder: RunFolder) -> FolderRun:
        """Clear what an earlier attempt left and write the config."""
        folder.make()
        for file in (
            folder.metrics_file,
            folder.result_file,
            folder.progress_file,
            folder.stack_file,
            folder.log_file,
        ):
            file.unlink(missing_ok=True)
        folder.config_file.write_text(to_yaml(attempt.config))
        begun = {"fraction": None, "step": None, "time": time.time(), "attempt": attempt.attempt}
        folder.progress_file.write_text(json.dumps(begun))
        return FolderRun(
            attempt.run,
            folder,
            self._scratch.stop_flag,
            attempt=attempt.attempt,
            note_step=functools.partial(self._board.note_step, attempt.row),
        )

    def _train(
        self, attempts: Sequence[Attempt], runs: Sequence[FolderRun]
    ) -> list[tuple[Outcome, Cause | None]]:
        try:
            if self._trainer is None:
                self._trainer = load_trainer(self._trainer_name, search=self._search)
            configs = [from_plain(self._trainer.Config, attempt.config) for attempt in attempts]
            _take_results(runs, self._call(attempts, configs, runs))
        except BaseException as error:
            if not isinstance(error, Diverged):
                traceback.print_exc()
            end = cause_of_exception(error)
            ends: list[tuple[Outcome, Cause | None]] = [end] * len(runs)
            if isinstance(error, Diverged):
                ends = _ends_of_divergence(error, end, runs)
        else:
            stopped = Cause(CauseKind.ASKED_TO_STOP, "stopped at a step, as the sweep asked")
            ends = [
                (Outcome.STOPPED, stopped) if r.stopped else (Outcome.FINISHED, None) for r in runs
            ]
        for index, run in enumerate(runs):
            try:
                run.flush()
            except OSError as error:
                ends[index] = cause_of_exception(error)
        return ends

    def _call(
        self, attempts: Sequence[Attempt], configs: Sequence[Any], runs: Sequence[FolderRun]
    ) -> Sequence[Mapping[str, Any] | None] | None:
        assert self._trainer is not None
        if attempts[0].datasets is None:
            return self._trainer.train(configs, runs)
        evaluate = self._trainer.evaluate
        if evaluate is None:
            raise TypeError(f"trainer {self._trainer_name!r} has no `evaluate`")
        return [
            evaluate(config, Path(attempt.folder).parent, list(attempt.datasets or ()))
            for attempt, config in zip(attempts, configs, strict=True)
        ]


def _ends_of_divergence(
    error: Diverged, end: tuple[Outcome, Cause], runs: Sequence[FolderRun]
) -> list[tuple[Outcome, Cause | None]]:
    """Of a pack only the run that left the finite numbers diverged; the others are tried again."""
    if len(runs) == 1:
        runs[0].last_step = runs[0].last_step if error.step is None else error.step
        return [end]
    other = Cause(CauseKind.HOST, "another run of its pack diverged")
    own = [run for run in runs if run.diverged] or runs
    return [end if run in own else (Outcome.LOST, other) for run in runs]


def _take_results(
    runs: Sequence[FolderRun], results: Sequence[Mapping[str, Any] | None] | None
) -> None:
    """Add what `train` returned to the runs' metrics; a wrong shape is the trainer's error."""
    if results is None:
        return
    if isinstance(results, Mapping) or len(results) != len(runs):
        raise TypeError(
            f"`train` must return None or one mapping per run ({len(runs)}), but got "
            f"{type(results).__name__}"
        )
    for run, result in zip(runs, results, strict=True):
        if result is not None:
            run.metrics.update(_numbers(result))
            loss = run.metrics.get("loss", 0.0)
            if not math.isfinite(loss):
                run.diverged = True
                raise Diverged(f"the training returned loss {loss}", step=run.last_step)


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in result.items():
        try:
            numbers[str(name)] = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"`train` must return numbers, but its metric {name!r} is {value!r}"
            ) from None
    return numbers


def _record(
    attempt: Attempt,
    end: tuple[Outcome, Cause | None],
    run: FolderRun | None,
    began: float,
    usage: _Usage,
) -> dict[str, Any]:
    outcome, cause = end
    ended = time.time()
    return {
        "id": attempt.run,
        "attempt": attempt.attempt,
        "outcome": outcome.value,
        **({"cause": cause.plain()} if cause else {}),
        "metrics": dict(run.metrics) if run else {},
        "last_step": run.last_step if run else None,
        "wall_s": round(ended - began, 4),
        "started": began,
        "ended": ended,
        **usage.read(),
    }


def _write_result(folder: RunFolder, record: dict[str, Any]) -> dict[str, Any]:
    """Write result.json; a result that can't be written is no success."""
    try:
        write_result(folder, record)
    except OSError as error:
        outcome, cause = cause_of_exception(error)
        return {**record, "outcome": outcome.value, "cause": cause.plain()}
    return record


class _Usage:
    """CPU time and largest resident set of this process from construction on."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak, proc(5)
        self._cpu_s = time.process_time()

    def read(self) -> dict[str, Any]:
        return {
            "cpu_s": round(time.process_time() - self._cpu_s, 4),
            "rss_peak_bytes": _status_kib("VmHWM") * 1024,
        }


def _status_kib(name: str) -> int:
    """A line of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextlib.contextmanager
def _kept_process_state() -> Iterator[None]:
    """Undo what a training does to its process: folder, umask, environment, signal handlers.

    A training that forked and returned in the child too ends there, unseen.
    """
    pid, home, environ, leave = os.getpid(), Path.cwd(), dict(os.environ), os._exit
    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _HANDLED}
    try:
        yield
    finally:
        if os.getpid() != pid:
            leave(1)
        os.chdir(home)
        os.umask(_UMASK)
        if dict(os.environ) != environ:
            os.environ.clear()
            os.environ.update(environ)
        for number, handler in handlers.items() if in_main_thread else ():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send stdout and stderr, native output too, to the run's log."""
    saved = [os.dup(1), os.dup(2)]
    streams = sys.stdout, sys.stderr
    if any(stream.closed for stream in _streams()):  # by the run before
        _streams.cache_clear()
    own_streams = _streams()
    descriptor = os.open(log, _APPEND, 0o600)
    try:
        for stream in streams:
            stream.flush()
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = own_streams
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for own in own_streams:
            _flush_quietly(own)
        for target, copy in enumerate(saved, start=1):
            os.dup2(copy, target)
            os.close(copy)
        os.close(descriptor)


class _Stacks:
    """One file per process for fatal stacks, and for those that the supervisor asks for.

    The supervisor copies it to the run's folder when the process has died. One file per run,
    deleted when nothing was written, would slow the file system down (see `board`).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = os.open(file, _APPEND, 0o600)
        self._enable()

    def _enable(self) -> None:
        faulthandler.enable(self._descriptor)
        # The supervisor asks for the stack of a run that overstays before it kills it.
        faulthandler.register(signal.SIGUSR2, self._descriptor, chain=False)

    @contextlib.contextmanager
    def to(self, kept: Path) -> Iterator[None]:
        """While a run is executed; what is written goes to `kept` if the process survives."""
        self._enable()  # the run before may have set other files
        try:
            yield
        finally:
            if os.fstat(self._descriptor).st_size:
                with contextlib.suppress(OSError):  # a full disk; the folder was taken away
                    shutil.copyfile(self._file, kept)
                os.ftruncate(self._descriptor, 0)


@functools.cache
def _streams() -> tuple[TextIO, TextIO]:
    """Text streams on descriptors 1 and 2, the same for all runs of this process.

    A training may keep `sys.stderr` (logging does): it must go on working in the next run.
    """
    return (
        open(1, "w", buffering=1, errors="backslashreplace", closefd=False),
        open(2, "w", buffering=1, errors="backslashreplace", closefd=False),
    )


def _flush_quietly(text: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # a full disk; closed by the training
        text.flush()


@contextlib.contextmanager
def _watched_exits(board: Board, attempts: Sequence[Attempt]) -> Iterator[None]:
    """Leave a trace of `os._exit`, turn SIGTERM into an exception, kill what the run leaves."""
    leave, pid = os._exit, os.getpid()

    def noting_exit(status: int) -> None:
        # A forked child (multiprocessing) leaves this way too, which ends nothing but itself.
        for attempt in attempts if os.getpid() == pid else ():
            board.note_exit(attempt.row, int(status))
        leave(status)

    def terminated(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    os._exit = noting_exit  # type: ignore[assignment]
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, terminated) if in_main_thread else None
    try:
        yield
    finally:
        os._exit = leave
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)
        _kill_children()


def _lasting_threads() -> set[threading.Thread]:
    """Python threads that nothing but their own end stops."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def _children_of(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # the thread has ended meanwhile
        return ""


def _kill_children() -> None:
    # The kernel's own lists first: a look at every process of the host costs milliseconds.
    if any(map(_children_of, Path("/proc/self/task").glob("*/children"))):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()


@contextlib.contextmanager
def _memory_limit(memory_per_run: int | None) -> Iterator[None]:
    """Let the process grow by at most `memory_per_run` bytes over what it has now (RLIMIT_DATA).

    Over the limit allocations fail in this process alone: Python raises MemoryError, JAX
    RESOURCE_EXHAUSTED. The kernel counts reserved private memory, thread stacks too.
    """
    if memory_per_run is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _status_kib("VmData") * 1024 + memory_per_run
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
