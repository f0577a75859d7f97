"""Changes of the process that a run must not leave to the next one, and who looks for them."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sweeper.trainer import Run

MARK = "SOAK_MEDDLED"
_SEED = 20261125
_FILES = 321


@dataclass(frozen=True)
class Config:
    deed: Literal[
        "64 bit",
        "handlers",
        "umask and folder",
        "environment",
        "a thread",
        "limits",
        "random state",
        "everything",
    ] = "everything"


def train(configs: Sequence[Config], runs: Sequence[Run]) -> list[dict[str, float]]:
    deed = configs[0].deed
    chosen = list(_CHANGES.values()) if deed == "everything" else [_CHANGES[deed]]
    for change in chosen:
        change()
    runs[0].log(0, loss=1.0)
    return [{"score": 1.0}]


def _use_64_bit() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)


def _set_handlers() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1e6)


def _move() -> None:
    os.umask(0)
    os.chdir("/")


def _set_environment() -> None:
    os.environ[MARK] = "1"


def _leave_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,), name=MARK, daemon=True).start()


def _set_limits() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


def _seed() -> None:
    random.seed(_SEED)


_CHANGES: dict[str, Any] = {
    "64 bit": _use_64_bit,
    "handlers": _set_handlers,
    "umask and folder": _move,
    "environment": _set_environment,
    "a thread": _leave_thread,
    "limits": _set_limits,
    "random state": _seed,
}


def found(home: Path) -> list[str]:
    """The changes that this process shows, in which every run begins in the folder `home`."""
    umask = os.umask(0o077)
    os.umask(umask)
    jax = sys.modules.get("jax")
    signs = {
        "64 bit": jax is not None and jax.config.jax_enable_x64,
        # Not those that workers or a background job have ignored from the start.
        "handlers": signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        or signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0,
        "umask and folder": umask == 0 or Path.cwd() != home,
        "environment": MARK in os.environ,
        "a thread": any(thread.name == MARK for thread in threading.enumerate()),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE)[0] == _FILES,
        "random state": random.getstate() == random.Random(_SEED).getstate(),
    }
    return [deed for deed, shown in signs.items() if shown]
