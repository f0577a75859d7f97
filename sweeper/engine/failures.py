"""Why a run failed: pure functions from what was seen to a `Cause`."""

from __future__ import annotations

import errno
import re
import signal
import site
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from sweeper.diagnosis.failure_groups import LAST_LINE
from sweeper.errors import Diverged
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.units import size
from sweeper.untrusted import printable

__all__ = [
    "DeathTraces",
    "Terminated",
    "cause_of_death",
    "cause_of_exception",
    "full_disk_named",
    "is_divergence",
]

_MESSAGE_LIMIT = 500
_LAST_LINE_LIMIT = 160
_MOST_ORIGINS = 100
_SHOWN_ORIGINS = 3
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
    """Outcome and cause of a training that raised `error`.

    What it was raised from, or holds as a group, is part of its message and decides the kind: a
    wrapper that says "training failed" for everything hides no divergence and no lack of memory.
    """
    origins = _origins(error)
    message = _with_origins(error, origins)
    place = _place(error.__traceback__)
    name = _qualified_name(type(error))
    # Several that differ are no single reason: then the group is what is known.
    alike = origins[0] if len({type(origin) for origin in origins}) == 1 else error
    match alike:
        case Diverged():
            return Outcome.DIVERGED, Cause(CauseKind.NOT_FINITE, message, place=place)
        case SystemExit():
            code = alike.code if isinstance(alike.code, int) else int(alike.code is not None)
            said = f"called sys.exit({alike.code!r})"
            return Outcome.CRASHED, Cause(CauseKind.EXIT, said, name, place, code)
        case Terminated():
            return Outcome.CRASHED, Cause(CauseKind.SIGNAL, "ended from outside", "SIGTERM", place)
        case MemoryError():
            text = message or "memory_per_run reached"
            return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, text, name, place)
        case OSError() if _errno(alike) in (errno.ENOSPC, errno.EDQUOT):
            return Outcome.CRASHED, Cause(CauseKind.NO_DISK_SPACE, message, name, place)
        case OSError() if _errno(alike) == errno.ENOMEM:
            return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, message, name, place)
    if "RESOURCE_EXHAUSTED" in message:  # XLA's way to say that an allocation failed
        return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, message, name, place)
    return Outcome.CRASHED, Cause(CauseKind.EXCEPTION, message, name, place)


def full_disk_named(cause: Cause, free_bytes: Mapping[Path, int]) -> Cause:
    """The cause with what is left at the places where a training writes, where it names no file.

    A write of the training's own says no more than "No space left on device".
    """
    if cause.kind is not CauseKind.NO_DISK_SPACE or "/" in cause.message:
        return cause
    left = ", ".join(f"{size(free)} free at {place}" for place, free in free_bytes.items())
    return replace(cause, message=f"{cause.message} ({left})")


def is_divergence(error: BaseException) -> bool:
    """Whether it is, or was raised from, a `Diverged`; of a group, whether all are."""
    return all(isinstance(origin, Diverged) for origin in _origins(error))


def _errno(error: OSError) -> int | None:
    try:
        return error.errno
    except Exception:  # a class of the training may have made it anything
        return None


def _origins(error: BaseException) -> list[BaseException]:
    """What `error` was raised from in the end; of a group, of each of its members.

    Only where it says so (``raise … from …``): an error during the handling of another one is a
    reason of its own. Chains may have circles.
    """
    found: list[BaseException] = []
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _MOST_ORIGINS:
        now = waiting.pop()
        if id(now) in seen:
            continue
        seen.add(id(now))
        if isinstance(now, BaseExceptionGroup):
            waiting += reversed(now.exceptions)
        elif now.__cause__ is not None and not _is_stack(now.__cause__):
            waiting.append(now.__cause__)
        else:
            found.append(now)
    return found or [error]


def _is_stack(cause: BaseException) -> bool:
    """Whether it only carries a stack, as JAX makes them."""
    kind = type(cause)
    return str(kind.__module__).startswith("jax") and "Stack" in kind.__name__


def _with_origins(error: BaseException, origins: Sequence[BaseException]) -> str:
    line = _one_line(error)
    if list(origins) == [error]:
        first = _handled(error)
        return line if first is None else _cut(f"{line}; after {_named(first)}")
    shown = list(map(_named, origins[:_SHOWN_ORIGINS]))
    more = len(origins) - len(shown)
    return _cut(f"{line}; from {'; '.join(shown)}" + (f"; {more} more" if more else ""))


def _handled(error: BaseException) -> BaseException | None:
    """The first error of those during whose handling `error` was raised."""
    first = None
    for _ in range(_MOST_ORIGINS):
        if error.__suppress_context__ or error.__context__ is None:
            break
        error = error.__context__
        first = first if _is_stack(error) else error
    return first


def _named(error: BaseException) -> str:
    return f"{_qualified_name(type(error))}: {_one_line(error)}"


_FRAME = re.compile(r'^ *File "[^"]+", line \d+', re.MULTILINE)
_RAISED = re.compile(r"^(?:[A-Za-z_][\w.]*): (?P<message>\S.*)$", re.MULTILINE)


def _reason(text: str) -> str:
    """What is behind the stack that a message holds; the message itself where it holds none.

    Equinox and the callbacks of JAX put the stack of the inner error before its own words.
    """
    frames = list(_FRAME.finditer(text))
    raised = _RAISED.search(text, frames[-1].end()) if frames else None
    return raised["message"] if raised else text


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as second:  # an exception may have any constructor and any __str__
        text = f"(its text can't be read: {type(second).__name__})"
    return _cut(printable(" ".join(_reason(text).split())))


def _cut(line: str) -> str:
    if len(line) <= _MESSAGE_LIMIT:
        return line
    # The reason is often the last thing that JAX and Equinox say.
    head = (_MESSAGE_LIMIT - 3) // 2
    return f"{line[:head]} … {line[head + 3 - _MESSAGE_LIMIT :]}"


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
    if filename.startswith((*_LIBRARIES, "<frozen", sys.prefix + "/lib/")):
        return True
    # Also those of the user (`pip install --user`) and of folders on PYTHONPATH.
    return "/site-packages/" in filename or "/dist-packages/" in filename


@dataclass(frozen=True)
class DeathTraces:
    """What is known of a worker process that is gone.

    `started`: the run's start mark was written. `stack`: what faulthandler wrote. `noted_exit`: the
    status of a call of `os._exit`. `exit_status`: what the kernel says, an exit code or minus the
    number of a signal; None where it is unknown. `killed_for`: why the supervisor itself ended it.
    `oom_kills`: how often the kernel killed for memory in our cgroup in that time. `detail`: what
    Ray says. `last_line`: the end of the run's log.
    """

    started: bool
    stack: str = ""
    noted_exit: int | None = None
    exit_status: int | None = None
    killed_for: Cause | None = None
    oom_kills: int = 0
    detail: str = ""
    last_line: str = ""


def cause_of_death(traces: DeathTraces) -> tuple[Outcome, Cause]:
    """Outcome and cause of a run whose process is gone.

    The exit status decides; a stack and a noted exit say more about the same death. What isn't
    known is called unknown.
    """
    if traces.killed_for is not None:
        outcome = {
            CauseKind.TIME_LIMIT: Outcome.TIMED_OUT,
            CauseKind.ASKED_TO_STOP: Outcome.STOPPED,
        }.get(traces.killed_for.kind, Outcome.CRASHED)
        return outcome, traces.killed_for
    if not traces.started:
        return Outcome.LOST, Cause(
            CauseKind.HOST, _with("its worker died before the run began", traces)
        )
    fatal = _FATAL.search(traces.stack)
    status = traces.exit_status
    if fatal and (status is None or status < 0):
        what = fatal["what"].strip()
        known = _FATAL_SIGNALS.get(what)
        name = known.name if known else None
        return Outcome.CRASHED, Cause(CauseKind.SIGNAL, what, name, _stack_place(traces.stack))
    if traces.noted_exit is not None and status in (None, traces.noted_exit & 0xFF):
        said = f"called os._exit({traces.noted_exit})"
        return Outcome.CRASHED, Cause(CauseKind.EXIT, said, code=traces.noted_exit)
    if traces.oom_kills and status in (None, -signal.SIGKILL):
        said = "killed by the kernel, which was out of memory"
        return Outcome.CRASHED, Cause(CauseKind.OUT_OF_MEMORY, said, "SIGKILL")
    if status is None:
        said = _with("its process is gone, nobody knows how it ended", traces)
        return Outcome.CRASHED, Cause(CauseKind.UNKNOWN, said)
    if status < 0:
        name = _signal_name(-status)
        said = f"killed by {name}" + (f" ({traces.detail})" if traces.detail else "")
        return Outcome.CRASHED, Cause(CauseKind.SIGNAL, said, name)
    said = _with(f"its process left with status {status}, outside of Python", traces)
    return Outcome.CRASHED, Cause(CauseKind.EXIT, said, code=status)


def _with(said: str, traces: DeathTraces) -> str:
    """With what Ray says, and the last line of the log."""
    if traces.detail:
        said += f" ({traces.detail})"
    line = printable(traces.last_line)[:_LAST_LINE_LIMIT]
    return f"{said}{LAST_LINE}{line}" if line else said


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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
