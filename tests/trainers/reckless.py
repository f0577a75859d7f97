"""A trainer whose runs harm their wave and their host: processes, memory, disks, records."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeper.trainer import Run

# The kernel's count of kills for lack of memory; a test mounts one of its own there.
KILLS = Path("/sys/fs/cgroup/memory/memory.oom_control")


@dataclass(frozen=True)
class Config:
    deed: Literal["finish", "kill the wave", "starve", "eat", "leave files", "pipe"] = "finish"
    seconds: float = 0.0
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Run]) -> None:
    config, run = configs[0], runs[0]
    run.log(0, loss=1.0)
    eaten = b""
    match config.deed:
        case "kill the wave":
            os.kill(_parent(os.getppid()), signal.SIGKILL)
            time.sleep(60)
        case "leave files":
            (Path(tempfile.gettempdir()) / f"left-{run.id}").write_bytes(bytes(12 << 20))
        case "eat":
            eaten = b"x" * (300 << 20)
        case "pipe":
            (run.folder / "metrics.jsonl").unlink(missing_ok=True)
            os.mkfifo(run.folder / "metrics.jsonl")
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(config.seconds)
    print(f"held {len(eaten)} bytes")
    if config.deed == "starve":  # as the kernel would
        number = int(KILLS.read_text().split()[1])
        KILLS.write_text(f"oom_kill {number + 1}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
