"""One real sweep of runs that harm what they were given: process, folder, streams, memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support import Bench, of_kind
from trainers.mischief import FLOOD_BYTES, found_state

from sweeper.records import GroupState, RunFolder, RunState, read_rows
from sweeper.records.events import Ended, Recorded, Started

pytestmark = pytest.mark.faults

GROUP = "mischief"
# The runs of a lane follow each other on one slot: a run harms its successor, if anybody.
LANES = (
    ("loop for ever in jax",),
    ("stop itself", "finish"),
    ("ignore signals",),
    ("allocate in jax", "finish"),
    ("hold a lock", "finish"),
    ("flood stdout", "finish"),
    ("result is a folder",),
    ("result is a folder, then die",),
    ("folder is a file, then die",),
    ("remove its folder", "finish"),
    ("remove its folder, then die",),
    ("close stdout and stderr", "finish"),
    ("close everything", "finish"),
    ("spoil the process", "finish"),
    ("leave a thread", "finish"),
    ("leave a hidden child",),
    ("fork", "finish"),
    ("write by logging", "write by logging again"),
    ("log odd metrics",),
    ("log no number", "finish"),
    ("raise control characters",),
    ("raise a long message",),
    ("forge a result, then die",),
)
LATE = "timeout of 8 s"
ENDS = {
    # deed: outcome, kind of cause, type, part of the message; all others finish
    "loop for ever in jax": ("timed out", "time limit", None, LATE),
    "stop itself": ("timed out", "time limit", None, LATE),
    "ignore signals": ("timed out", "time limit", None, LATE),
    "allocate in jax": ("crashed", "out of memory", "jax.errors.JaxRuntimeError", "RESOURCE_EXH"),
    "hold a lock": ("crashed", "exception", "RuntimeError", "raised with the lock in its hand"),
    "result is a folder": ("crashed", "exception", "IsADirectoryError", "result.json"),
    "result is a folder, then die": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "folder is a file, then die": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "remove its folder": ("crashed", "exception", "FileNotFoundError", "folder is gone"),
    "remove its folder, then die": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "log no number": ("crashed", "exception", "TypeError", "takes numbers"),
    "raise control characters": ("crashed", "exception", "ValueError", "red"),
    "forge a result, then die": ("crashed", "signal", "SIGKILL", "killed by SIGKILL"),
    "raise a long message": ("crashed", "exception", "ValueError", "long long"),
}
MOST_LOGGED = 64e6
DEEDS = tuple(deed for lane in LANES for deed in lane if deed != "finish")
# A worker that gave up its place after a harmless run would make these tests vacuous.
SAME_PROCESS = ("write by logging", "write by logging again")


class Swept(NamedTuple):
    bench: Bench
    result: subprocess.CompletedProcess[str]
    events: list[Recorded]
    state: GroupState

    def run(self, deed: str, lane_of: str | None = None) -> RunState:
        lane = _lane(lane_of or deed)
        values = {"deed": deed, "lane": lane}
        return next(run for run in self.state.runs.values() if run.axis_values == values)

    def folder(self, deed: str, lane_of: str | None = None) -> RunFolder:
        return self.bench.group(GROUP).run(self.run(deed, lane_of).id)


def _lane(deed: str) -> int:
    return next(index for index, lane in enumerate(LANES) if deed in lane)


@pytest.fixture(scope="module")
def swept(new_bench: Callable[[], Bench]) -> Swept:
    bench = new_bench()
    pairs = [(deed, number) for number, lane in enumerate(LANES) for deed in lane]
    file = bench.write(
        GROUP,
        f"trainer: mischief\ngroup: {GROUP}\nzip: [deed, lane]\n"
        "resources: {timeout: 8 s, memory_per_run: 1500 MB}\n"
        f"deed: {json.dumps([deed for deed, _ in pairs])}\nlane: {[lane for _, lane in pairs]}\n",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONIOENCODING", "utf-8:strict")  # as in a terminal of en_US.UTF-8
        result = bench.sweep("launch", file, "--cpus", 2)
    return Swept(bench, result, bench.events(GROUP), bench.state(GROUP))


@pytest.mark.parametrize("deed", DEEDS)
def test_every_end_has_its_outcome_and_cause(swept: Swept, deed: str) -> None:
    outcome, kind, name, message = ENDS.get(deed, ("finished", None, None, ""))
    run = swept.run(deed)
    assert run.outcome == outcome, (run.cause, swept.result.stdout, swept.result.stderr)
    if kind is not None:
        assert run.cause is not None
        assert (run.cause.kind, run.cause.type) == (kind, name)
        assert message in run.cause.message
        assert len(run.cause.message) < 1000


@pytest.mark.parametrize("deed", [lane[0] for lane in LANES if "finish" in lane])
def test_whoever_comes_next_finishes(swept: Swept, deed: str) -> None:
    follower = swept.run("finish", lane_of=deed)
    assert follower.outcome == "finished", follower.cause
    log = swept.folder("finish", lane_of=deed).log_file.read_text()
    assert log.splitlines()[0] == f"lane {_lane(deed)}: finish"


def test_the_sweep_ends_in_order(swept: Swept) -> None:
    assert swept.result.returncode == 3, swept.result.stdout + swept.result.stderr
    assert "Traceback" not in swept.result.stdout + swept.result.stderr
    assert {wave.reason for wave in swept.state.waves} == {"done"}


def test_each_run_is_executed_exactly_once(swept: Swept) -> None:
    started = Counter(event.run for event in of_kind(Started, swept.events))
    ended = Counter(event.run for event in of_kind(Ended, swept.events))
    assert set(started.values()) == {1}
    assert started == ended
    assert started.keys() == swept.state.runs.keys()


def test_a_flood_of_output_is_cut(swept: Swept) -> None:
    log = swept.folder("flood stdout").log_file
    assert log.stat().st_size < MOST_LOGGED < FLOOD_BYTES
    with log.open() as lines:
        assert next(lines) == f"lane {_lane('flood stdout')}: flood stdout\n"


def test_a_run_finds_its_process_as_the_first_one_did(swept: Swept) -> None:
    found = found_state(swept.folder("finish", lane_of="spoil the process").path)
    found.pop("pid")
    calm = {"cwd": str(swept.bench.path), "umask": 0o077, "environ": None, "interrupt": True}
    assert found == calm


def test_what_a_run_logs_lands_in_its_own_log(swept: Swept) -> None:
    folders = [swept.folder(deed) for deed in SAME_PROCESS]
    assert len({found_state(folder.path)["pid"] for folder in folders}) == 1
    for folder in folders:
        logged = [line for line in folder.log_file.read_text().splitlines() if "logged" in line]
        assert logged == [f"logged by run {folder.id}"]


def test_a_thread_that_goes_on_writes_into_no_other_log(swept: Swept) -> None:
    for lane in LANES:
        for deed in {*lane} - {"leave a thread"}:
            folder = swept.folder(deed, lane_of=lane[0])
            if folder.log_file.is_file():
                with folder.log_file.open(errors="replace") as log:
                    assert "ticks" not in log.read(1_000_000), deed


def test_a_fork_leaves_one_record(swept: Swept) -> None:
    assert [row["step"] for row in read_rows(swept.folder("fork").metrics_file)] == [0, 1, 2]


def test_odd_metrics_are_kept_and_come_back(swept: Swept) -> None:
    metrics = swept.run("log odd metrics").metrics
    assert metrics["with\nnewline"] == 2.0
    assert metrics["n" * 10_000] == 8.0
    assert metrics["numpy"] == 0.5
    assert metrics["tiny"] == 5e-324
    assert metrics["inf"] == math.inf
    assert metrics["7"] == 1.0
    rows = read_rows(swept.folder("log odd metrics").metrics_file)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    # What the training calls `time` doesn't replace ours.
    assert all(row["time"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        (("status", GROUP), "utf-8:strict"),
        (("crashed", GROUP), "utf-8:strict"),
        (("crashed", GROUP), "ascii"),
        (("table", GROUP, "--metrics", "with\nnewline,\x1b[2Jescape"), "utf-8:strict"),
        (("show", "log odd metrics"), "utf-8:strict"),
    ],
)
def test_odd_characters_are_shown_harmlessly(
    swept: Swept, command: tuple[str, ...], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command breaks on them, and none hands a terminal what it would obey."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    if command[0] == "show":
        command = ("show", swept.run(command[1]).id)
    said = swept.bench.sweep(*command)
    assert said.returncode == 0, said.stderr
    assert not _obeyed_by_terminals(said.stdout)


def test_the_launch_shows_odd_characters_harmlessly(swept: Swept) -> None:
    assert not _obeyed_by_terminals(swept.result.stdout)


def _obeyed_by_terminals(text: str) -> set[str]:
    controls = {chr(code) for code in (*range(32), *range(127, 160))} - {"\n"}
    bidirectional = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    return set(text) & (controls | bidirectional)


def test_nothing_of_the_launch_is_left(swept: Swept) -> None:
    swept.bench.assert_nothing_is_left()


def test_a_child_that_hides_is_ended(swept: Swept) -> None:
    name = (swept.folder("leave a hidden child").path / "child.txt").read_bytes()
    assert [pid for pid in _pids() if name in _arguments(pid)] == []


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  (names)


def _arguments(pid: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def test_records_are_private_whatever_a_run_did(swept: Swept) -> None:
    files = swept.bench.group(GROUP).path.rglob("*")
    assert [file for file in files if file.lstat().st_mode & 0o077] == []
