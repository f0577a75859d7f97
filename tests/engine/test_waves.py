"""One real sweep in which runs end in every way, on two slots of a real Ray session."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from support import Bench, of_kind

from sweeper.records import GroupState, RunFolder, RunState, read_rows
from sweeper.records.events import Ended, Recorded, Started

GROUP = "sabotage"
ENDS = {
    # deed: outcome, kind of cause, type, part of the message
    "finish": ("finished", None, None, ""),
    "slow": ("finished", None, None, ""),
    "leave children": ("finished", None, None, ""),
    "raise": ("crashed", "exception", "ValueError", "asked to raise with a second line"),
    "raise oddly": ("crashed", "exception", "sabotage.OddError", "odd 1 2"),
    "sys.exit(0)": ("crashed", "exit", "SystemExit", "called sys.exit(0)"),
    "os._exit(0)": ("crashed", "exit", None, "called os._exit(0)"),
    "os._exit(3)": ("crashed", "exit", None, "called os._exit(3)"),
    "abort": ("crashed", "signal", "SIGABRT", "Aborted"),
    "segfault": ("crashed", "signal", "SIGSEGV", "Segmentation fault"),
    "kill": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "kill later": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "terminate": ("crashed", "signal", "SIGTERM", "ended from outside"),
    "no memory": ("crashed", "out of memory", "MemoryError", "memory_per_run"),
    "nan": ("diverged", "not finite", None, "loss is nan at step 5"),
    "nan result": ("diverged", "not finite", None, "the training returned loss nan"),
    "hang": ("timed out", "time limit", None, "timeout of 5 s"),
    "hang in native code": ("timed out", "time limit", None, "timeout of 5 s"),
    "die behind a fork": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "exit in C": ("crashed", "exit", None, "left with status 7, outside of Python"),
    "read stdin": ("finished", None, None, ""),
    "bad result": ("crashed", "exception", "TypeError", "`train` must return None or one mapping"),
}


class Swept(NamedTuple):
    bench: Bench
    result: subprocess.CompletedProcess[str]
    events: list[Recorded]
    state: GroupState
    ray_before: object

    def run(self, deed: str) -> RunState:
        return next(run for run in self.state.runs.values() if run.axis_values["deed"] == deed)

    def folder(self, deed: str) -> RunFolder:
        return self.bench.group(GROUP).run(self.run(deed).id)


def _look_at_default_ray() -> object:
    ray = Path("/tmp/ray")
    return ray.exists() and ray.stat().st_mtime_ns


@pytest.fixture(scope="module")
def swept(new_bench: Callable[[], Bench]) -> Swept:
    bench = new_bench()
    deeds = "\n".join(f"  - {deed}" for deed in ENDS)
    file = bench.write(
        GROUP,
        f"trainer: sabotage\ngroup: {GROUP}\nresources: {{timeout: 5 s, memory_per_run: 600 MB}}\n"
        f"seeds: [1]\ndeed:\n{deeds}\n",
    )
    before = _look_at_default_ray()
    result = bench.sweep("launch", file, "--cpus", 2)
    return Swept(bench, result, bench.events(GROUP), bench.state(GROUP), before)


@pytest.mark.parametrize("deed", ENDS)
def test_every_end_has_its_outcome_and_cause(swept: Swept, deed: str) -> None:
    outcome, kind, name, message = ENDS[deed]
    run = swept.run(deed)
    assert run.outcome == outcome, swept.result.stdout
    if kind is None:
        assert run.cause is None
        return
    assert run.cause is not None
    assert (run.cause.kind, run.cause.type) == (kind, name)
    assert message in run.cause.message


@pytest.mark.parametrize("deed", ENDS)
def test_the_last_step_is_known_however_a_run_ends(swept: Swept, deed: str) -> None:
    assert swept.run(deed).last_step == (5 if deed == "nan" else 4)


def test_exit_status_says_that_some_runs_ended_badly(swept: Swept) -> None:
    assert swept.result.returncode == 3, swept.result.stdout + swept.result.stderr
    assert "Traceback" not in swept.result.stdout + swept.result.stderr


def test_each_run_is_executed_exactly_once(swept: Swept) -> None:
    started = Counter(event.run for event in of_kind(Started, swept.events))
    ended = Counter(event.run for event in of_kind(Ended, swept.events))
    assert set(started.values()) == {1}
    assert started == ended
    assert started.keys() == swept.state.runs.keys()


def test_never_more_than_two_runs_at_once(swept: Swept) -> None:
    # The end of a run by SIGTERM is journalled once it is clear that the launch got none.
    late = swept.run("terminate").id
    running, most = set(), 0
    for recorded in sorted(swept.events, key=lambda recorded: recorded.seq):
        match recorded.event:
            case Started(run=run) if run != late:
                running.add(run)
            case Ended(run=run):
                running.discard(run)
        most = max(most, len(running))
    assert most == 2


@pytest.mark.parametrize("deed", ["finish", "raise", "kill later", "hang"])
def test_memory_and_cpu_time_of_each_run_are_recorded(swept: Swept, deed: str) -> None:
    """Also of who can't measure itself, as it is killed: it is looked at once a second."""
    run = swept.run(deed).id
    (event,) = [end for end in of_kind(Ended, swept.events) if end.run == run]
    result = json.loads(swept.folder(deed).result_file.read_text())
    for record in (asdict(event), result):
        assert 20e6 < record["rss_peak_bytes"] < 2e9
        assert 0.0 <= record["cpu_s"] < 60.0


def test_places_are_lines_of_the_training(swept: Swept) -> None:
    for deed in ("raise", "segfault", "abort", "no memory"):
        cause = swept.run(deed).cause
        assert cause is not None
        assert cause.place is not None
        file, line = cause.place.rsplit(":", 1)
        assert Path(file).name == "sabotage.py"
        assert int(line) > 60


def test_stacks_and_tracebacks_are_kept(swept: Swept) -> None:
    assert "ValueError: asked to raise" in swept.folder("raise").log_file.read_text()
    assert "Segmentation fault" in swept.folder("segfault").stack_file.read_text()
    # A run that was killed for overstaying shows where it hung.
    assert "_deeds" in swept.folder("hang").stack_file.read_text()
    assert "_deeds" in swept.folder("hang in native code").stack_file.read_text()
    assert not swept.folder("finish").stack_file.exists()


def test_a_finished_run_has_all_its_files(swept: Swept) -> None:
    folder = swept.folder("finish")
    assert [row["step"] for row in read_rows(folder.metrics_file)] == [0, 1, 2, 3, 4]
    deed, temp = folder.log_file.read_text().splitlines()
    assert deed == "deed: finish"
    # Temporary files of runs lie in the launch's scratch, which is gone with it.
    assert temp.startswith(f"temp: {swept.bench.scratch}/")
    assert (folder.path / "model.txt").read_text() == "weights"
    assert "deed: finish" in folder.config_file.read_text()
    assert swept.run("finish").metrics["score"] == 1.0


def test_children_of_runs_are_ended(swept: Swept) -> None:
    pids = (swept.folder("leave children").path / "children.txt").read_text().split()
    assert len(pids) == 2
    for pid in pids:
        assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).name() != "sleep"


def test_nothing_of_the_launch_is_left(swept: Swept) -> None:
    swept.bench.assert_nothing_is_left()
    assert _look_at_default_ray() == swept.ray_before


def test_records_are_private(swept: Swept) -> None:
    folder = swept.bench.group(GROUP)
    for root, _, files in os.walk(folder.path):
        assert Path(root).stat().st_mode & 0o077 == 0, root
        for file in files:
            assert (Path(root) / file).stat().st_mode & 0o077 == 0, file


def test_the_wave_reports_what_it_cost(swept: Swept) -> None:
    (wave,) = swept.state.waves
    assert wave.reason == "done"
    assert wave.startup_s is not None
    assert wave.shutdown_s is not None
    assert wave.scratch_peak_bytes is not None
    assert 0 < wave.scratch_peak_bytes < 100e6


def test_launching_again_tries_what_has_no_good_outcome_and_no_other(swept: Swept) -> None:
    """Planned only: finished and diverged runs are left alone."""
    file = swept.bench.path / f"{GROUP}.yaml"
    plan = json.loads(swept.bench.sweep("plan", file, "--json").stdout)
    bad = sum(1 for end in ENDS.values() if end[0] in {"crashed", "timed out"})
    assert (plan["total"], plan["to_train"]) == (len(ENDS), bad)
