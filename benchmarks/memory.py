"""The memory of a slot that trains neural ODEs, and of 192 of them.

A real launch on two slots; its processes are looked at from outside, and each training notes its
own process on the way. The share of a process (PSS) counts a page that n processes have in common
as a n-th, so shares add up to what the host has to give. One slot more costs what a slot has for
itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.dispatch import SWEEP
from benchmarks.environments import ROOT
from benchmarks.memory_probe import FILE, memory_of

SLOTS = 2
WANTED_SLOTS = 192
GOAL_GIB = 256
_LOOK_S = 0.5
_WORKER, _ACTOR, _SERVER = "worker", "its actor of Ray", "fork server"
_STAGES = {
    "begun": "forked, trainer imported",
    "data": "data loaded",
    "compiled": "step compiled",
    "training": "memory given back, training",
    "evaluated": "evaluated",
}

Memory = Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """One launch, in MiB.

    `first` and `second` are the stages of the first and second run of the process that compiled
    most; `shares` the sums by kind of process and `actor` what an actor has for itself, both while
    two workers lived, at the moment with the median of all memory.
    """

    first: Mapping[str, Memory]
    second: Mapping[str, Memory]
    shares: Mapping[str, float]
    actor: float

    def slot(self, stage: Memory) -> float:
        """What one slot has for itself at a stage of its worker."""
        return stage["own"] + self.actor

    @property
    def compiling(self) -> float:
        """What one slot has for itself at the worst moment of its first run."""
        compiled = self.first["compiled"]
        return self.actor + compiled["peak"] - compiled["resident"] + compiled["own"]

    def total_gib(self, own: float) -> float:
        """All wanted slots, each of which has `own` for itself, and everything else."""
        fixed = sum(self.shares.values()) - self.shares[_WORKER] - self.shares[_ACTOR]
        common = self.shares[_WORKER] - SLOTS * self.second["training"]["own"]
        return (fixed + max(0.0, common) + WANTED_SLOTS * own) / 1024


def _kind(process: psutil.Process) -> str:
    """What a process of the launch is."""
    words = process.cmdline()
    text = " ".join(words)
    if "sweeper.engine.fork_server" in text:
        parent = process.parent()
        inner = parent is not None and "sweeper.engine.fork_server" in " ".join(parent.cmdline())
        return _WORKER if inner else _SERVER
    if text.startswith("ray::SlotActor"):
        return _ACTOR
    if "sweeper.engine.ray_wave" in text:
        return "wave"
    return "supervisor" if str(SWEEP) in text else "Ray's own processes"


def _look(launch: psutil.Process) -> Iterator[tuple[str, Memory]]:
    """All processes of a launch, each with its kind."""
    for process in [launch, *launch.children(recursive=True)]:
        try:
            yield _kind(process), memory_of(process.pid)
        except (OSError, psutil.Error, KeyError):
            continue  # it is gone


def measure(folder: Path, name: str, trainer: str, steps: int) -> Measured:
    """Launch twice as many runs as slots. Raises SystemExit with the output if that fails."""
    file = folder / f"{name}.yaml"
    file.write_text(
        f"trainer: benchmarks.{trainer}\ngroup: {name}\nseeds: {2 * SLOTS}\n"
        f"parameters: {{steps_strategy: {steps}}}\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SWEEPER_SCRATCH": str(folder / "s")}
    env |= {"SWEEPER_CACHE": str(folder / "cache"), "HOME": str(folder), "JAX_PLATFORMS": "cpu"}
    command: list[str | Path] = [
        SWEEP,
        "launch",
        file,
        "--cpus",
        str(SLOTS),
        "--runs-dir",
        folder / "runs",
    ]
    looks: list[list[tuple[str, Memory]]] = []
    with (folder / f"{name}.log").open("w+") as log:
        with subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log) as process:
            launch = psutil.Process(process.pid)
            while process.poll() is None:
                looks.append(list(_look(launch)))
                time.sleep(_LOOK_S)
        log.seek(0)
        if process.returncode:
            raise SystemExit(log.read()[-3000:])
    files = (folder / "runs" / name / "runs").glob(f"*/{FILE}")
    return _measured(looks, [json.loads(file.read_text()) for file in files])


def _measured(
    looks: Sequence[Sequence[tuple[str, Memory]]], noted: Sequence[Mapping[str, Any]]
) -> Measured:
    runs: dict[int, list[Mapping[str, Memory]]] = {}
    for note in sorted(noted, key=lambda note: float(note["notes"]["begun"]["own"])):
        runs.setdefault(note["pid"], []).append(note["notes"])
    several = [notes for notes in runs.values() if len(notes) > 1]
    if not several:
        raise SystemExit("no process executed a second run")
    first, second, *_ = max(several, key=lambda notes: notes[0]["compiled"]["peak"])
    full = [look for look in looks if [kind for kind, _ in look].count(_WORKER) == SLOTS]
    middle = sorted(full, key=lambda look: sum(m["share"] for _, m in look))[len(full) // 2]
    kinds = dict.fromkeys(kind for kind, _ in middle)
    shares = {k: sum(m["share"] for kind, m in middle if kind == k) for k in kinds}
    return Measured(
        first, second, shares, statistics.mean(m["own"] for k, m in middle if k == _ACTOR)
    )


def stages(title: str, found: Measured) -> str:
    """A row per stage of a slot's first two runs."""
    lines = [f"{title:<34}  {'resident':>8}  {'share':>6}  {'own':>6}  {'peak':>6}   MiB"]
    for number, notes in (("first run", found.first), ("second run", found.second)):
        for key, words in _STAGES.items():
            m = notes[key]
            cells = f"{m['resident']:8.0f}  {m['share']:6.0f}  {m['own']:6.0f}  {m['peak']:6.0f}"
            lines.append(f"{number + ': ' + words:<34.40}  {cells}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure, print the tables; status 1 when the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__)
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="swb-", dir="/tmp") as text:
        folder = Path(text)
        cold = measure(folder, "cold", "memory_probe", asked.steps)
        warm = measure(folder, "warm", "memory_probe", asked.steps)
        alone = measure(folder, "alone", "memory_probe:alone", asked.steps)
    print(stages("compile cache empty", cold), stages("compile cache full", warm), sep="\n\n")
    print("\nshares while two slots train, MiB:")
    print("\n".join(f"  {kind:<20} {mib:6.0f}" for kind, mib in warm.shares.items()))
    # Without: each process imports by itself, and keeps what compiling has freed.
    imports = alone.first["data"]["own"] - warm.first["data"]["own"]
    rows = {
        "training, compile cache full": warm.slot(warm.second["training"]),
        "training, compile cache empty": cold.slot(cold.first["training"]),
        "compiling, all at once": cold.compiling,
        "imported alone, nothing given back": cold.slot(cold.first["compiled"]) + imports,
    }
    print(f"\none slot more has for itself, MiB; {WANTED_SLOTS} slots with all else, GiB; ratio:")
    base = rows["training, compile cache empty"]
    for words, own in rows.items():
        print(f"  {words:<36} {own:6.0f}  {warm.total_gib(own):6.1f}  {own / base:5.2f}")
    good = warm.total_gib(cold.compiling) < GOAL_GIB
    print(f"goal: {WANTED_SLOTS} slots in {GOAL_GIB} GiB: {'met' if good else 'MISSED'}")
    return 0 if good else 1
