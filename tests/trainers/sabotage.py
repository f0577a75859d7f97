"""A trainer that does what tests ask of it: end well, or in one of many bad ways."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sweeper.trainer import Run


class OddError(Exception):
    """Can't be pickled, copied or made again from its arguments."""

    def __init__(self, one: int, two: int, *, three: object) -> None:
        super().__init__(f"odd {one} {two}")
        self.three = three


@dataclass(frozen=True)
class Config:
    deed: Literal[
        "finish",
        "raise",
        "raise oddly",
        "sys.exit(0)",
        "os._exit(0)",
        "os._exit(3)",
        "abort",
        "segfault",
        "kill",
        "kill later",
        "terminate",
        "no memory",
        "nan",
        "nan result",
        "hang",
        "hang in native code",
        "leave children",
        "bad result",
        "die behind a fork",
        "exit in C",
        "exit in C with 0",
        "exit in C with 3",
        "finish before a fork",
        "read stdin",
        "wait for stop",
        "slow",
    ] = "finish"
    seed: int = 0
    steps: int = 5
    step_s: float = 0.0


def check(config: Config) -> list[str]:
    return ["steps must be positive"] if config.steps < 1 else []


def train(configs: Sequence[Config], runs: Sequence[Run]) -> Any:
    config, run = configs[0], runs[0]
    print(f"deed: {config.deed}")
    print(f"temp: {tempfile.gettempdir()}")
    for step in range(config.steps):
        run.log(step, loss=1.0 / (step + 1 + config.seed))
        run.progress(step / config.steps)
        time.sleep(config.step_s)
        if run.should_stop():
            return None
    run.save("model.txt", lambda path: path.write_text("weights"))
    return _deeds(config, run)


def _deeds(config: Config, run: Run) -> Any:  # noqa: PLR0912, PLR0915  (a list of deeds)
    match config.deed:
        case "raise":
            raise ValueError("asked to raise\nwith a second line")
        case "raise oddly":
            raise OddError(1, 2, three=(x for x in list[int]()))
        case "sys.exit(0)":
            sys.exit(0)
        case "os._exit(0)":
            os._exit(0)
        case "os._exit(3)":
            os._exit(3)
        case "abort":
            os.abort()
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill later":  # after the supervisor has looked at it
            time.sleep(2.5)
            os.kill(os.getpid(), signal.SIGKILL)
        case "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        case "no memory":
            blocks = [bytearray(64 * 1024**2) for _ in range(64)]
            print(len(blocks))
        case "nan":
            run.log(config.steps, loss=float("nan"))
        case "nan result":
            return [{"loss": float("nan")}]
        case "hang":
            time.sleep(600)
        case "hang in native code":
            mutex = ctypes.create_string_buffer(64)
            libc = ctypes.PyDLL(None)  # holds the GIL
            libc.pthread_mutex_lock(mutex)
            libc.pthread_mutex_lock(mutex)  # for ever, whatever signals come
        case "leave children":
            pids = []
            for session in (False, True):
                child = subprocess.Popen(["sleep", "600"], start_new_session=session)
                pids.append(str(child.pid))
            run.save("children.txt", lambda path: path.write_text(" ".join(pids)))
        case "die behind a fork":
            if os.fork():
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)  # it holds every descriptor of its parent
        case "exit in C":
            ctypes.CDLL(None).exit(7)
        case "exit in C with 0":
            ctypes.CDLL(None).exit(0)
        case "exit in C with 3":
            ctypes.CDLL(None).exit(3)
        case "finish before a fork":
            if not os.fork():
                os.setsid()
                time.sleep(600)  # it outlives the run, with every descriptor of its parent
                os._exit(0)
        case "read stdin":
            assert sys.stdin.read() == ""
        case "bad result":
            return [{"loss": 1.0}, {"loss": 2.0}]
        case "wait for stop":
            while not run.should_stop():
                time.sleep(0.02)
        case "slow":
            time.sleep(1.0)
    return [{"score": float(config.seed), "threads": len(list(Path("/proc/self/task").iterdir()))}]


def check_dataset(name: str) -> list[str]:
    return [] if name.startswith("set") else [f"no dataset `{name}`"]


def evaluate(config: Config, folder: Path, datasets: Sequence[str]) -> dict[str, float]:
    assert (folder / "model.txt").read_text() == "weights"
    if "set-that-fails" in datasets and config.seed == 1:
        raise ValueError("asked to fail")
    return {f"{name}/mean": float(config.seed + len(name)) for name in datasets}
