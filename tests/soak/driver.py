"""Launches that are killed again and again, and what is watched meanwhile."""

from __future__ import annotations

import random
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil
from support import SWEEP, Bench
from trainers.soaked import BOOK

from sweeper.host.facts import folder_size

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
    """What to SIGKILL and when: so many ends after the kill before or the launch, or seconds.

    `victim` is a part of the command line of one of the launch's processes; empty for the
    supervisor itself.
    """

    ends: int | None = None
    seconds: float | None = None
    victim: str = ""


@dataclass
class Watched:
    """What was seen while launches ran."""

    scratch_peak: int = 0
    seconds: list[float] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    """By victim."""


def supervisor_kills(dice: random.Random, number: int, runs: int) -> list[Kill]:
    """Most in mid-work, every third at any moment of a launch's start."""
    most = max(2, runs // number)

    def one(index: int) -> Kill:
        if index % 3 == 1:
            return Kill(seconds=dice.uniform(0.2, 12.0))
        return Kill(ends=dice.randint(1, most))

    return [one(index) for index in range(number)]


def wave_kills(dice: random.Random, victims: Sequence[str], runs: int) -> list[Kill]:
    """The wave's own process or Ray's, in one launch, which must go on by itself."""
    return [Kill(ends=dice.randint(3, max(4, runs // 8)), victim=victim) for victim in victims]


@dataclass(frozen=True)
class PretendedHost:
    """A host name, a boot and a scratch of its own, on this machine."""

    name: str
    bench: SoakBench

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start `sweep`; the process is that of the launch itself."""
        boot = self.bench.path / f"boot-{self.name}"
        boot.write_text(f"{uuid.uuid5(uuid.NAMESPACE_DNS, self.name)}\n")
        scratch = Path(f"{self.bench.scratch}-{self.name}")
        script = (
            f"hostname {self.name}\n"
            f"mount --bind {boot} /proc/sys/kernel/random/boot_id\n"
            f'exec {SWEEP} "$@"'
        )
        return subprocess.Popen(
            [*HOST_NAMESPACE, "sh", "-ec", script, "sweep", *map(str, arguments)],
            env={**self.bench.env, "SWEEPER_SCRATCH": str(scratch)},
            cwd=self.bench.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


HOST_NAMESPACE = ("unshare", "--uts", "--mount", "--propagation", "private")


def can_pretend_hosts() -> bool:
    """Whether this machine lets us give a process another host name and boot."""
    try:
        tried = subprocess.run(
            [
                *HOST_NAMESPACE,
                "sh",
                "-ec",
                "hostname x; mount --bind /proc/uptime /proc/sys/kernel/random/boot_id",
            ],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return tried.returncode == 0


def launch(
    bench: SoakBench, file: Path, group: str, watched: Watched, kills: Sequence[Kill] = ()
) -> int:
    """Launch, watch the scratch, kill one after the other when it is time; its exit status."""
    log = bench.path / f"launch-{len(watched.seconds)}.log"
    before = bench.ends(group)
    to_come = list(kills)
    with log.open("wb") as output, _started(bench, file, output) as process:
        began = time.monotonic()
        while process.poll() is None:
            watched.scratch_peak = max(watched.scratch_peak, folder_size(bench.scratch)[0])
            age = time.monotonic() - began
            assert age < _LAUNCH_LIMIT_S, f"hangs: {log.read_text()[-2000:]}"
            if to_come:
                # Reading the journal costs some: only where it is asked for.
                ends = 0 if to_come[0].ends is None else bench.ends(group)
                if _is_time(to_come[0], ends - before, age) and _kill(process, to_come[0].victim):
                    watched.killed[to_come.pop(0).victim or "supervisor"] += 1
                    before = ends
            time.sleep(_LOOK_S)
        watched.seconds.append(time.monotonic() - began)
        return process.returncode


def _is_time(kill: Kill, ends: int, age_s: float) -> bool:
    if kill.seconds is not None:
        return age_s >= kill.seconds
    return kill.ends is not None and ends >= kill.ends


def _kill(launched: subprocess.Popen[bytes], victim: str) -> bool:
    """Whether there was such a process."""
    if not victim:
        launched.kill()
        return True
    for process in psutil.Process(launched.pid).children(recursive=True):
        with suppress(psutil.Error):  # gone or a zombie
            if victim in " ".join(process.cmdline()):
                process.kill()
                return True
    return False


@contextmanager
def _started(bench: SoakBench, file: Path, output: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
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
