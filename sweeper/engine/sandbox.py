"""The limits of a training inside a worker process, and what is undone after it.

Its CPUs, its output, its memory, its exits, and the process state that it may change.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar

from sweeper.engine.failures import Terminated
from sweeper.engine.status_table import StatusTable
from sweeper.records.permissions import file_mode

T = TypeVar("T")

__all__ = [
    "Stacks",
    "UsageMeter",
    "memory_limit",
    "output_to",
    "pin_process",
    "watched_exits",
]


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


class UsageMeter:
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


_CLEAN_UP_S = 20.0

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send stdout and stderr, native output too, to the run's log."""
    saved = [os.dup(1), os.dup(2)]
    streams = sys.stdout, sys.stderr
    if any(stream.closed for stream in _streams()):  # by the run before
        _streams.cache_clear()
    own_streams = _streams()
    descriptor = os.open(log, _APPEND, file_mode(log))
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


class Stacks:
    """One file per process for fatal stacks, and for those that the supervisor asks for.

    The supervisor copies it to the run's folder when the process has died. One file per run,
    deleted when nothing was written, would slow the file system down (see `status_table`).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = os.open(file, _APPEND, 0o600)
        self._enable()

    def _enable(self) -> None:
        faulthandler.enable(self._descriptor)
        # The supervisor asks for the stack of a run that overstays before it kills it.
        faulthandler.register(signal.SIGUSR2, self._descriptor, chain=False)

    def limited(self, clean_up: Callable[[], T]) -> T:
        """Call `clean_up`; a process that gets stuck in it ends, from a thread without Python.

        What a training has left may hang for ever: a destructor, a thread that keeps the
        interpreter's lock.
        """
        faulthandler.dump_traceback_later(_CLEAN_UP_S, exit=True, file=self._descriptor)
        try:
            return clean_up()
        finally:
            faulthandler.cancel_dump_traceback_later()

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
def watched_exits(table: StatusTable, rows: Sequence[int]) -> Iterator[None]:
    """Leave a trace of `os._exit` and of a native exit, turn SIGTERM into an exception."""
    leave, pid = os._exit, os.getpid()

    def noting_exit(status: int) -> None:
        # A forked child (multiprocessing) leaves this way too, which ends nothing but itself.
        for row in rows if os.getpid() == pid else ():
            table.note_exit(row, int(status))
        leave(status)

    def terminated(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    os._exit = noting_exit  # type: ignore[assignment]
    _end_at_once_on_native_exit()
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, terminated) if in_main_thread else None
    try:
        yield
    finally:
        os._exit = leave
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)


def _end_at_once_on_native_exit() -> None:
    """Let `exit` of C or Fortran leave right away, with its status.

    Destructors of libraries can hang on the way out. As a handler of glibc's on_exit(3), `_exit`
    gets the status as its first argument. Handlers run in reverse order, so the latest registration
    counts.
    """
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)


@contextlib.contextmanager
def memory_limit(memory_per_run: int | None) -> Iterator[None]:
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
