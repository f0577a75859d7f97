"""A trainer that counts steps with checkpoints; its first attempt ends in the middle."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeper.trainer import Run


@dataclass(frozen=True)
class Config:
    ends_by: Literal["stop", "kill"] = "stop"


def write_step(step: int, place: Path) -> None:
    (place / "step").write_text(str(step))


def train(configs: Sequence[Config], runs: Sequence[Run]) -> None:
    [config], [run] = configs, runs
    folder = run.restored
    start = 0 if folder is None else int((folder / "step").read_text())
    for step in range(start + 1, 41):
        run.log(step, loss=1.0 / step)
        run.checkpoint(step, functools.partial(write_step, step))
        if folder is None and step == 20:
            if config.ends_by == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            while not run.should_stop():
                time.sleep(0.02)
            return
