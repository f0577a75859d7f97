"""Launches that are killed again and again, and what is watched meanwhile."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support import SWEEP, Bench
from trainers.soaked import BOOK

from sweeper.engine.scratch import folder_bytes

Say = Callable[[str], None]
"""Prints at once, whether or not the test fails."""

_LOOK_S = 0.2
_LAUNCH_LIMIT_S = 900.0


@dataclass(frozen=True)
class SoakBench(Bench):
    """A bench whose runs also write the book of executions."""

    @property
    def book(self) -> Path:
        return self.path / "book.txt"

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, BOOK: str(self.book)}

    def executions(self) -> list[str]:
        """The id of a run for each time that it was really executed."""
        return self.book.read_text().split() if self.book.exists() else []

    def ends(self, group: str) -> int:
        """How many ends the journal tells of, without reading it as JSON."""
        files = self.group(group).journal_dir.glob("*.jsonl")
        return sum(file.read_bytes().count(b'"event":"ended"') for file in files)


@dataclass(frozen=True)
class Kill:
    """When to SIGKILL a supervisor: after so many ends of its launch, or so many seconds."""

    ends: int | None = None
    seconds: float | None = None


@dataclass
class Watched:
    """What was seen while launches ran."""

    scratch_peak: int = 0
    seconds: list[float] = field(default_factory=list)


def random_kills(dice: random.Random, number: int, runs: int) -> list[Kill]:
    """Most in mid-work, every third at any moment of a launch's start."""
    most = max(2, runs // number)

    def one(index: int) -> Kill:
        if index % 3 == 1:
            return Kill(seconds=dice.uniform(0.2, 12.0))
        return Kill(ends=dice.randint(1, most))

    return [one(index) for index in range(number)]


def launch(
    bench: SoakBench, file: Path, group: str, watched: Watched, kill: Kill | None = None
) -> int:
    """Launch, watch the scratch, kill the supervisor when it is time; its exit status."""
    log = bench.path / f"launch-{len(watched.seconds)}.log"
    before = bench.ends(group)
    with log.open("wb") as output, _started(bench, file, output) as process:
        began = time.monotonic()
        while process.poll() is None:
            watched.scratch_peak = max(watched.scratch_peak, folder_bytes(bench.scratch))
            age = time.monotonic() - began
            assert age < _LAUNCH_LIMIT_S, f"hangs: {log.read_text()[-2000:]}"
            if kill is not None and _is_time(kill, lambda: bench.ends(group) - before, age):
                process.kill()
            time.sleep(_LOOK_S)
        watched.seconds.append(time.monotonic() - began)
        return process.returncode


def _is_time(kill: Kill, ends: Callable[[], int], age_s: float) -> bool:
    if kill.seconds is not None:
        return age_s >= kill.seconds
    return kill.ends is not None and ends() >= kill.ends


@contextmanager
def _started(bench: SoakBench, file: Path, output: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [SWEEP, "launch", file, "--cpus", "2"],
        env=bench.env,
        cwd=bench.path,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
