"""Why a run failed: pure functions from what was seen to a `Cause`."""

from __future__ import annotations

import errno
import re
import signal
import site
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from types import TracebackType

from sweeper.errors import Diverged
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.untrusted import printable

__all__ = ["DeathTraces", "Terminated", "cause_of_death", "cause_of_exception"]

_MESSAGE_LIMIT = 500
_FATAL = re.compile(r"Fatal Python error: (?P<what>[^\n]+)")
# The words of Python's faulthandler for the signals that it catches.
_FATAL_SIGNALS = {
    "Segmentation fault": signal.SIGSEGV,
    "Aborted": signal.SIGABRT,
    "Bus error": signal.SIGBUS,
    "Floating point exception": signal.SIGFPE,
    "Floating-point exception": signal.SIGFPE,
    "Illegal instruction": signal.SIGILL,
}


class Terminated(BaseException):
    """SIGTERM reached a worker; a BaseException, which `except Exception` doesn't catch."""


def cause_of_exception(error: BaseException) -> tuple[Outcome, Cause]:
    """Outcome and cause of a training that raised `error`."""
    message = _one_line(error)
    place = _place(error.__traceback__)
    name = _qualified_name(type(error))
    match error:
        case Diverged():
            return Outcome.DIVERGED, Cause(CauseKind.NOT_FINITE, message, place=place)
        case SystemExit():
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            said = f"called sys.exit({error.code!r})"
            return Outcome.CRASHED, Cause(CauseKind.EXIT, said, name, place, code)
        case Terminated():
            return Outcome.CRASHED, Cause(CauseKind.SIGNAL, "ended from outside", "SIGTERM", place)
        case MemoryError():
            text = message or "memory_per_run reached"
            return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, text, name, place)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Outcome.CRASHED, Cause(CauseKind.NO_DISK_SPACE, message, name, place)
        case OSError(errno=errno.ENOMEM):
            return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, message, name, place)
    if "RESOURCE_EXHAUSTED" in message:  # XLA's way to say that an allocation failed
        return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, message, name, place)
    return Outcome.CRASHED, Cause(CauseKind.EXCEPTION, message, name, place)


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as second:  # an exception may have any constructor and any __str__
        text = f"(its text can't be read: {type(second).__name__})"
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MESSAGE_LIMIT else line[: _MESSAGE_LIMIT - 1] + "…"


def _qualified_name(kind: type) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _place(trace: TracebackType | None) -> str | None:
    """The innermost ``file:line`` of the training outside of libraries, else inside."""
    frames = [f for f in traceback.extract_tb(trace) if not f.filename.startswith(_OURS)]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    for frame in reversed(own or frames):
        return f"{frame.filename}:{frame.lineno}"
    return None


def _library_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths["stdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages()}
    return tuple(root.rstrip("/") + "/" for root in roots)


_LIBRARIES = _library_roots()
_OURS = __file__.rsplit("/", 2)[0] + "/"


def _is_library(filename: str) -> bool:
    return filename.startswith((*_LIBRARIES, "<frozen", sys.prefix + "/lib/"))


@dataclass(frozen=True)
class DeathTraces:
    """What a worker process that vanished has left behind.

    `started` says whether the run's start mark was written, `stack` is what faulthandler wrote,
    `exit_code` what a call of `os._exit` noted, `killed_for` why the supervisor itself ended it,
    `oom_kills` how often the kernel killed for memory in our cgroup during the run, `detail` what
    Ray says about it.
    """

    started: bool
    stack: str = ""
    exit_code: int | None = None
    killed_for: Cause | None = None
    oom_kills: int = 0
    detail: str = ""


def cause_of_death(traces: DeathTraces) -> tuple[Outcome, Cause]:
    """Outcome and cause of a run whose process vanished.

    Ray reports neither code nor signal, so the cause is found from the traces. A process without
    any was killed by a signal that can't be caught, or left through a native `_exit`.
    """
    if traces.killed_for is not None:
        outcome = {
            CauseKind.TIME_LIMIT: Outcome.TIMED_OUT,
            CauseKind.ASKED_TO_STOP: Outcome.STOPPED,
        }.get(traces.killed_for.kind, Outcome.CRASHED)
        return outcome, traces.killed_for
    if not traces.started:
        said = "its worker died before the run began"
        return Outcome.LOST, Cause(
            CauseKind.HOST, f"{said} ({traces.detail})" if traces.detail else said
        )
    fatal = _FATAL.search(traces.stack)
    if fatal:
        what = fatal["what"].strip()
        known = _FATAL_SIGNALS.get(what)
        name = known.name if known else None
        return Outcome.CRASHED, Cause(CauseKind.SIGNAL, what, name, _stack_place(traces.stack))
    if traces.exit_code is not None:
        said = f"called os._exit({traces.exit_code})"
        return Outcome.CRASHED, Cause(CauseKind.EXIT, said, code=traces.exit_code)
    if traces.oom_kills:
        said = "killed by the kernel, which was out of memory"
        return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, said, "SIGKILL")
    said = "killed from outside (the process vanished without a trace)"
    return Outcome.CRASHED, Cause(CauseKind.SIGNAL, said, "SIGKILL")


_STACK_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


def _stack_place(stack: str) -> str | None:
    """The innermost place outside of libraries in the stack of the thread that died."""
    current = stack.split("Current thread", 1)[-1].split("\n\n", 1)[0]
    found = [(m["file"], m["line"]) for m in _STACK_FRAME.finditer(current)]
    frames = [frame for frame in found if not frame[0].startswith(_OURS)]
    own = [frame for frame in frames if not _is_library(frame[0])]
    for file, line in own or frames:
        return f"{file}:{line}"
    return None
