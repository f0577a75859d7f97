"""What a training may change in its process: put back after it, or a reason for a new process.

A run's result must not depend on what ran before it in the same process. So the state is compared
before and after each run. What can be put back is put back; where that isn't possible or wouldn't
be safe, the process isn't used again.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["ProcessState", "kill_children"]

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD})
# Settings of JAX that change results, and their values where neither the user nor a training has
# set them. Known for the case that JAX is imported by the run itself.
_JAX_DEFAULTS: Mapping[str, Any] = {
    "jax_enable_x64": False,
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
}


@dataclass(frozen=True)
class _Part:
    """A part of the state that is put back; `read` gives None where it can't be read."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


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


def _write_environ(environ: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _read_logging() -> dict[str, Any]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    settings = {
        logger.name: (logger.level, tuple(logger.handlers), logger.disabled, logger.propagate)
        for logger in loggers
        if isinstance(logger, logging.Logger)
    }
    return {"disabled below": logging.root.manager.disable, "loggers": settings}


def _write_logging(state: Mapping[str, Any]) -> None:
    logging.disable(state["disabled below"])
    for name, (level, handlers, disabled, propagate) in state["loggers"].items():
        logger = logging.getLogger(None if name == "root" else name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.disabled, logger.propagate = disabled, propagate


def _write_filters(filters: list[Any]) -> None:
    current: Any = warnings.filters  # a list, whatever typeshed says
    current[:] = filters


def _write_module_path(path: list[str]) -> None:
    sys.path[:] = path


def _numpy() -> Any:
    return sys.modules.get("numpy")


def _read_numpy() -> tuple[Any, Any] | None:
    numpy = _numpy()
    return numpy and (numpy.random.get_state(legacy=False), numpy.geterr())


def _write_numpy(state: tuple[Any, Any] | None) -> None:
    if state is not None:
        _numpy().random.set_state(state[0])
        _numpy().seterr(**state[1])


def _read_rc() -> dict[str, Any] | None:
    matplotlib = sys.modules.get("matplotlib")
    return None if matplotlib is None else dict(matplotlib.rcParams)


def _write_rc(state: dict[str, Any] | None) -> None:
    if state is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.modules["matplotlib"].rcParams.update(state)


_RESTORED: Mapping[str, _Part] = {
    "signal handlers": _Part(_read_signals, _write_signals),
    "timers": _Part(lambda: tuple(map(signal.getitimer, _TIMERS)), _write_timers),
    "limits": _Part(lambda: tuple(map(resource.getrlimit, _LIMITS)), _write_limits),
    "current folder": _Part(Path.cwd, os.chdir),
    "umask": _Part(_read_umask, os.umask),
    "environment": _Part(lambda: dict(os.environ), _write_environ),
    "module path": _Part(lambda: list(sys.path), _write_module_path),
    "recursion limit": _Part(sys.getrecursionlimit, sys.setrecursionlimit),
    "garbage collector": _Part(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    "socket time-out": _Part(socket.getdefaulttimeout, socket.setdefaulttimeout),
    "locale": _Part(
        lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)
    ),
    "warning filters": _Part(lambda: list(warnings.filters), _write_filters),
    "logging": _Part(_read_logging, _write_logging),
    "random numbers": _Part(random.getstate, random.setstate),
    "NumPy": _Part(_read_numpy, _write_numpy),
    "matplotlib": _Part(_read_rc, _write_rc),
}
# Read before a module like these was imported, there is nothing to put back.
_BY_MODULE = {"NumPy", "matplotlib"}


def _threads() -> frozenset[threading.Thread]:
    return frozenset(threading.enumerate())


def _children() -> frozenset[int]:
    # The kernel's own lists: a look at every process of the host costs milliseconds.
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "children").read_text().split()
        except OSError:  # the thread has ended
            continue
    return frozenset(map(int, found))


def _descriptors() -> frozenset[tuple[str, str]]:
    """Open files, pipes and sockets; not what the kernel makes for one process, such as epoll."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)  # noqa: PTH115  (a text, not a path)
        except OSError:  # the one that lists this folder
            continue
        if not target.startswith(("anon_inode:", "/dev/", "/proc/")):
            found.append((link.name, target))
    return frozenset(found)


def _jax() -> dict[str, Any] | None:
    jax = sys.modules.get("jax")
    config = getattr(jax, "config", None)
    return dict(config.values) if config is not None else None


def _ray() -> bool:
    ray = sys.modules.get("ray")
    return bool(ray and ray.is_initialized())


class ProcessState:
    """The state of this process now; only for its main thread."""

    def __init__(self) -> None:
        self._values = {name: part.read() for name, part in _RESTORED.items()}
        self._threads, self._children = _threads(), _children()
        self._descriptors, self._jax = _descriptors(), _jax()

    def restore(self) -> str | None:
        """Put back what has changed; returns why the process must not be used again, if so."""
        spent = self._spent()
        for name, part in _RESTORED.items():
            before = self._values[name]
            if before is None and name in _BY_MODULE:
                continue
            try:
                if not _same(part.read(), before):
                    part.write(before)
            except (OSError, ValueError, TypeError, RuntimeError, locale.Error):
                spent = spent or f"its {name} can't be put back"
        return spent

    def _spent(self) -> str | None:
        new = {thread for thread in _threads() - self._threads if thread.is_alive()}
        if new:
            return f"a thread goes on: {min(thread.name for thread in new)}"
        if _children() - self._children:
            return "it has child processes"
        opened = {target for _, target in _descriptors() - self._descriptors}
        if opened:
            return f"it keeps open: {min(opened)}"
        if _ray():
            return "it has started a Ray of its own"
        return self._changed_jax()

    def _changed_jax(self) -> str | None:
        now = _jax()
        if now is None:
            return None
        if self._jax is not None:
            changed = [name for name, value in now.items() if self._jax.get(name) != value]
        else:
            changed = [
                name
                for name, value in _JAX_DEFAULTS.items()
                if name.upper() not in os.environ and now.get(name, value) != value
            ]
        return f"it has set {changed[0]} of JAX" if changed else None


def _same(now: Any, before: Any) -> bool:
    try:
        return bool(now == before)
    except ValueError:  # arrays within a state of random numbers
        return False


def kill_children() -> None:
    """SIGKILL every process below this one."""
    if _children():
        for child in psutil.Process().children(recursive=True):
            try:
                child.kill()
            except psutil.Error:
                continue
