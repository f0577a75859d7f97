"""The parts of a process's state that can be put back after a training has changed them."""

from __future__ import annotations

import builtins
import ctypes
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.engine.module_state import is_library
from sweeper.engine.sandbox import pin_process

__all__ = ["BY_MODULE", "RESTORED", "Part"]

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_NAME = Path("/proc/self/comm")
_NULL = "/dev/null"


@dataclass(frozen=True)
class Part:
    """A part of the state that is put back; `read` gives None where it can't be read."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def _read_user() -> tuple[tuple[int, ...], tuple[int, ...]]:
    return os.getresuid(), os.getresgid()


def _write_user(ids: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    os.setresuid(*ids[0])  # first: who isn't root may not change groups
    os.setresgid(*ids[1])


def _read_signals() -> dict[int, Any]:
    found = {int(number): signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in found.items() if handler is not None}


def _write_signals(handlers: Mapping[int, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _write_timers(timers: tuple[tuple[float, float], ...]) -> None:
    for timer, (delay, interval) in zip(_TIMERS, timers, strict=True):
        signal.setitimer(timer, delay, interval)


def _write_limits(limits: tuple[tuple[int, int], ...]) -> None:
    for number, pair in zip(_LIMITS, limits, strict=True):
        if resource.getrlimit(number) != pair:
            resource.setrlimit(number, pair)  # ValueError: a hard limit was lowered


def _read_environ() -> tuple[dict[str, str], frozenset[bytes]]:
    """What Python knows, and what C code sees: `putenv` of C changes only that."""
    strings = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    found: list[bytes] = []
    while strings and (entry := strings[len(found)]) is not None:
        found.append(entry)
    return dict(os.environ), frozenset(found)


def _write_environ(state: tuple[Mapping[str, str], frozenset[bytes]]) -> None:
    for entry in _read_environ()[1] - state[1]:
        name = entry.partition(b"=")[0]
        if name:
            os.unsetenv(name)
    os.environ.clear()
    os.environ.update(state[0])
    time.tzset()  # C keeps the time zone that TZ had


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _read_input() -> tuple[Any, bool, str]:
    try:
        target = os.readlink("/proc/self/fd/0")  # noqa: PTH115  (a text, not a path)
    except OSError:
        target = ""
    return sys.stdin, bool(getattr(sys.stdin, "closed", False)), target


def _write_input(state: tuple[Any, bool, str]) -> None:
    stdin, closed, target = state
    if target == _NULL:
        null = os.open(_NULL, os.O_RDONLY)
        if null:
            os.dup2(null, 0)
            os.close(null)
    if getattr(stdin, "closed", False) and not closed:
        stdin = open(0, closefd=False)  # noqa: SIM115  (as long as the process)
    sys.stdin = stdin


def _read_tracing() -> tuple[Any, ...]:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()


def _write_tracing(state: tuple[Any, ...]) -> None:
    sys.settrace(state[0])
    sys.setprofile(state[1])
    threading.settrace(state[2])
    threading.setprofile(state[3])


def _write_builtins(names: frozenset[str]) -> None:
    for name in vars(builtins).keys() - names:
        delattr(builtins, name)


def _rounding() -> int:
    """How results of floating-point operations are rounded: to the nearest, unless C changed it."""
    return int(ctypes.CDLL(None).fegetround())


def _read_event_loop() -> tuple[Any, bool] | None:
    """The policy of asyncio, and whether a loop was ever set, also one that was closed since.

    After `asyncio.run`, `asyncio.get_event_loop` fails where it worked before.
    """
    events = sys.modules.get("asyncio.events")
    policy = getattr(events, "_event_loop_policy", None)
    if policy is None:
        return None
    return policy, bool(getattr(getattr(policy, "_local", None), "_set_called", False))


def _write_event_loop(_state: tuple[Any, bool] | None) -> None:
    events: Any = sys.modules["asyncio.events"]
    events._event_loop_policy = None  # made anew when it is needed


def _read_start_method() -> str | None:
    return multiprocessing.get_start_method(allow_none=True)


def _write_start_method(method: str | None) -> None:
    multiprocessing.set_start_method(method, force=True)


_LoggerState = tuple[int, tuple[Any, ...], bool, bool]
_NEW_LOGGER: _LoggerState = (logging.NOTSET, (), False, True)


def _read_logging() -> dict[str, Any]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    settings = {
        logger.name: (logger.level, tuple(logger.handlers), logger.disabled, logger.propagate)
        for logger in loggers
        if isinstance(logger, logging.Logger)
    }
    return {
        "disabled below": logging.root.manager.disable,
        "loggers": settings,
        "class": logging.getLoggerClass(),
        "factory": logging.getLogRecordFactory(),
        "raises": logging.raiseExceptions,
        "last": logging.lastResort,
        "levels": {number: logging.getLevelName(number) for number in range(60)},
    }


def _write_logging(state: Mapping[str, Any]) -> None:
    logging.disable(state["disabled below"])
    logging.setLoggerClass(state["class"])
    logging.setLogRecordFactory(state["factory"])
    logging.raiseExceptions, logging.lastResort = state["raises"], state["last"]
    for number, name in state["levels"].items():
        if logging.getLevelName(number) != name:
            logging.addLevelName(number, name)
    for name, now in _read_logging()["loggers"].items():
        before = state["loggers"].get(name)
        # A library sets up its loggers when it is imported, once.
        if before is None and not is_library(name.partition(".")[0]):
            before = _NEW_LOGGER
        if before is not None and now != before:
            _write_logger(logging.getLogger(None if name == "root" else name), before)


def _write_logger(logger: logging.Logger, state: _LoggerState) -> None:
    level, handlers, disabled, propagate = state
    logger.setLevel(level)
    logger.handlers[:] = handlers
    logger.disabled, logger.propagate = disabled, propagate


def _write_filters(filters: list[Any]) -> None:
    current: Any = warnings.filters  # a list, whatever typeshed says
    current[:] = filters


def _write_module_path(path: list[str]) -> None:
    sys.path[:] = path


def _write_arguments(arguments: list[str]) -> None:
    sys.argv = list(arguments)


def _numpy() -> Any:
    return sys.modules.get("numpy")


def _read_numpy() -> tuple[Any, Any] | None:
    numpy = _numpy()
    return numpy and (numpy.random.get_state(legacy=False), numpy.geterr())


def _write_numpy(state: tuple[Any, Any] | None) -> None:
    if state is None:
        _numpy().random.seed()  # as after its import
    else:
        _numpy().random.set_state(state[0])
        _numpy().seterr(**state[1])


def _read_rc() -> dict[str, Any] | None:
    matplotlib = sys.modules.get("matplotlib")
    # As plain items: to ask for the backend by its name would choose one.
    return None if matplotlib is None else dict(dict.items(matplotlib.rcParams))


def _write_rc(state: dict[str, Any] | None) -> None:
    matplotlib: Any = sys.modules["matplotlib"]
    if state is None:  # what it had after its import
        state = {k: v for k, v in dict.items(matplotlib.rcParamsOrig) if k != "backend"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matplotlib.rcParams.update(state)


def _read_figures() -> frozenset[int] | None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return None if pyplot is None else frozenset(pyplot.get_fignums())


def _write_figures(state: frozenset[int] | None) -> None:
    pyplot: Any = sys.modules["matplotlib.pyplot"]
    for number in frozenset(pyplot.get_fignums()) - (state or frozenset()):
        pyplot.close(number)


RESTORED: Mapping[str, Part] = {
    "user": Part(_read_user, _write_user),  # first: the others may need its rights
    "signal handlers": Part(_read_signals, _write_signals),
    "signal mask": Part(
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
    ),
    "timers": Part(lambda: tuple(map(signal.getitimer, _TIMERS)), _write_timers),
    "limits": Part(lambda: tuple(map(resource.getrlimit, _LIMITS)), _write_limits),
    "CPUs": Part(lambda: os.sched_getaffinity(0), lambda cpus: pin_process(sorted(cpus))),
    "priority": Part(
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda nice: os.setpriority(os.PRIO_PROCESS, 0, nice),
    ),
    "score for the out-of-memory killer": Part(_OOM_SCORE.read_text, _OOM_SCORE.write_text),
    "name": Part(_NAME.read_text, lambda name: _NAME.write_text(name.rstrip("\n"))),
    "current folder": Part(Path.cwd, os.chdir),
    "umask": Part(_read_umask, os.umask),
    "environment": Part(_read_environ, _write_environ),
    "standard input": Part(_read_input, _write_input),
    "arguments": Part(lambda: list(sys.argv), _write_arguments),
    "module path": Part(lambda: list(sys.path), _write_module_path),
    "built-in names": Part(lambda: frozenset(vars(builtins)) - {"_"}, _write_builtins),
    "tracing": Part(_read_tracing, _write_tracing),
    "recursion limit": Part(sys.getrecursionlimit, sys.setrecursionlimit),
    "thread switching": Part(sys.getswitchinterval, sys.setswitchinterval),
    "limit on digits": Part(sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    "garbage collector": Part(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    "thresholds of the garbage collector": Part(
        gc.get_threshold, lambda numbers: gc.set_threshold(*numbers)
    ),
    "rounding": Part(_rounding, lambda mode: ctypes.CDLL(None).fesetround(mode)),
    "socket time-out": Part(socket.getdefaulttimeout, socket.setdefaulttimeout),
    "temporary folder": Part(
        lambda: tempfile.tempdir, lambda folder: setattr(tempfile, "tempdir", folder)
    ),
    "locale": Part(
        lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)
    ),
    "warning filters": Part(lambda: list(warnings.filters), _write_filters),
    "logging": Part(_read_logging, _write_logging),
    "random numbers": Part(random.getstate, random.setstate),
    "start method of processes": Part(_read_start_method, _write_start_method),
    "event loop": Part(_read_event_loop, _write_event_loop),
    "NumPy": Part(_read_numpy, _write_numpy),
    "matplotlib": Part(_read_rc, _write_rc),
    "figures": Part(_read_figures, _write_figures),
}
# Read before such a module was imported, there is nothing; its own beginning is put back.
BY_MODULE = {"NumPy": "numpy", "matplotlib": "matplotlib", "figures": "matplotlib.pyplot"}
