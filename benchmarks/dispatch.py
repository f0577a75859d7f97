"""The overhead of a run, compared with other tools, and the time until a sweep begins.

Every tool executes runs that do nothing, two at a time, in the way its documentation shows, with
its records. Its whole command is timed for few and for many runs: the slope is the cost of one run
when all is warm, and start and end cancel. Tools take turns, so that a busy host affects all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import ROOT, python_with
from benchmarks.rivals.first import VARIABLE

PACKAGES = ("ray[tune]", "hydra-core", "hydra-joblib-launcher", "optuna")
SWEEP = Path(sys.executable).with_name("sweep")
GOAL_MS = 5.0
GOAL_FIRST_STEP_S = 10.0


@dataclass(frozen=True)
class Tool:
    """A way to execute no-op runs. `few` and `many` are chosen for a slope of some seconds."""

    name: str
    few: int
    many: int
    command: Callable[[Path, int], Sequence[str | Path]]
    """From an empty folder and the number of runs to what is executed there."""


@dataclass(frozen=True)
class Timing:
    """One execution: its whole wall time, and when the first run began."""

    seconds: float
    first_run_s: float


@dataclass
class Measured:
    """What the rounds gave for one tool."""

    per_run_ms: list[float] = field(default_factory=list)
    first_run_s: list[float] = field(default_factory=list)


def _sweep(folder: Path, runs: int) -> Sequence[str | Path]:
    file = folder / "noop.yaml"
    file.write_text(f"trainer: benchmarks.noop\ngroup: noop\nseeds: {runs}\n")
    return _launch(file, 2, folder / "runs")


def _launch(file: Path, cpus: int, runs_dir: Path) -> Sequence[str | Path]:
    return [SWEEP, "launch", file, "--cpus", str(cpus), "--runs-dir", runs_dir]


def tools() -> tuple[Tool, ...]:
    """Ours first. Raises CalledProcessError when the others can't be installed."""
    python = python_with("dispatch", PACKAGES)

    def rival(module: str) -> Callable[[Path, int], Sequence[str | Path]]:
        return lambda _folder, runs: [python, "-m", f"benchmarks.rivals.{module}", str(runs)]

    return (
        Tool("sweep launch", 200, 3000, _sweep),
        Tool("plain Ray tasks", 500, 6000, rival("ray_tasks")),
        Tool("Optuna, SQLite", 20, 120, rival("optuna_sqlite")),
        Tool("Ray Tune", 20, 120, rival("ray_tune")),
        Tool("Hydra, joblib", 20, 120, rival("hydra_joblib")),
    )


@contextmanager
def _workplace() -> Iterator[Path]:
    """A folder with a short path, for the sockets of Ray; deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="swb-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    """Everything that a tool writes stays in `folder`, also what it puts into the home."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    (folder / "home").mkdir(exist_ok=True)
    return inherited | {
        "HOME": str(folder / "home"),
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(folder),
        "SWEEPER_SCRATCH": str(folder / "s"),
        VARIABLE: str(folder / "first"),
    }


def _execute(command: Sequence[str | Path], folder: Path, env: dict[str, str]) -> float:
    """Run to the end; its wall time. Ends the benchmark with the output when it fails."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return time.monotonic() - began


def time_once(tool: Tool, runs: int) -> Timing:
    """One execution of `runs` runs in a folder of its own."""
    with _workplace() as folder:
        command = tool.command(folder, runs)
        began = time.time()
        seconds = _execute(command, folder, _environment(folder))
        return Timing(seconds, (folder / "first").stat().st_mtime - began)


def measure(chosen: Sequence[Tool], rounds: int) -> dict[str, Measured]:
    """Tools take turns within each round."""
    measured = {tool.name: Measured() for tool in chosen}
    for number in range(1, rounds + 1):
        for tool in chosen:
            few, many = time_once(tool, tool.few), time_once(tool, tool.many)
            slope = (many.seconds - few.seconds) / (tool.many - tool.few)
            measured[tool.name].per_run_ms.append(1e3 * slope)
            measured[tool.name].first_run_s += [few.first_run_s, many.first_run_s]
            print(f"round {number}: {tool.name}: {1e3 * slope:.2f} ms a run", flush=True)
    return measured


def first_step_of_a_cached_program() -> list[float]:
    """Seconds from `sweep launch` of the quickstart to the first step logged, cold, then cached."""
    found = []
    with _workplace() as folder:
        text = (ROOT / "configs" / "sweeps" / "quickstart.yaml").read_text()
        file = folder / "one.yaml"
        # One of its runs, cut to few steps: what counts here comes before.
        file.write_text(
            text.replace("[tanh, leaky_relu]", "tanh")
            .replace("[mlp_4D, mlp_4D_signed, mlp_4D_unit_softplus]", "mlp_4D_signed")
            .replace("steps_strategy: [1000]", "steps_strategy: [50]")
            .replace("seeds: 2", "seeds: 1")
        )
        env = _environment(folder) | {"SWEEPER_CACHE": str(folder / "cache")}
        for name in ("cold", "cached"):
            began = time.time()
            _execute(_launch(file, 1, folder / name), folder, env)
            (run,) = (folder / name / "quickstart" / "runs").iterdir()
            first = json.loads((run / "metrics.jsonl").read_text().partition("\n")[0])
            started = json.loads((run / "result.json").read_text())["started"]
            found.append(started + first["time"] - began)
    return found


def _spread(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({low}–{high})"


def table(measured: dict[str, Measured]) -> str:
    """The medians with the range over the rounds, and ratios to the first tool."""
    rows = [("tool", "ms a run", "ratio", "s to the first run")]
    base = statistics.median(next(iter(measured.values())).per_run_ms)
    for name, found in measured.items():
        ratio = statistics.median(found.per_run_ms) / base
        rows.append(
            (name, _spread(found.per_run_ms, 2), f"{ratio:.2f}", _spread(found.first_run_s, 1))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def main(arguments: list[str]) -> int:
    """Measure, print the table; status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks dispatch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="tools to measure, with commas, by a part of their names")
    asked = parser.parse_args(arguments)
    words = (asked.only or "").lower().split(",")
    chosen = [tool for tool in tools() if any(word in tool.name.lower() for word in words)]
    measured = measure(chosen, asked.rounds)
    print(f"\n{table(measured)}\n")
    if chosen[0].name != "sweep launch":
        return 0
    ours = statistics.median(measured["sweep launch"].per_run_ms)
    cold, cached = first_step_of_a_cached_program()
    print(f"first step of a neural ODE after launch: {cold:.1f} s cold, {cached:.1f} s cached")
    good = ours <= GOAL_MS and cached <= GOAL_FIRST_STEP_S
    print(
        f"goals: at most {GOAL_MS:g} ms a run, {GOAL_FIRST_STEP_S:g} s to the first cached step: "
        f"{'met' if good else 'MISSED'}"
    )
    return 0 if good else 1
