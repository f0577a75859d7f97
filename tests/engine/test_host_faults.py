"""What goes wrong around the runs: Ray's own processes, disks, limits, terminals, names of folders.

Each fault gets a small sweep of its own. Where a fault needs a full disk or a small `/dev/shm`, the
launch runs in a mount namespace of its own with small temporary file systems, so that nobody else's
disk is filled; where the machine allows no such namespace, these tests are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from support import SWEEP, Bench, ended, mount_namespace, of_kind, wait_until

from sweeper.engine.recovery import interrupted_ends
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.records import JournalWriter
from sweeper.records.events import Started

pytestmark = pytest.mark.faults

STRANGER = """
import os, ray, sys
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False,
         object_store_memory=80 * 1024**2, _temp_dir=sys.argv[1])
double = ray.remote(lambda x: 2 * x)
for line in sys.stdin:
    print(ray.get(double.remote(int(line))), flush=True)
"""


class Stranger:
    """Somebody else's Ray session and files, which no sweep may touch."""

    def __init__(self, temp: Path, scratch: Path) -> None:
        self.temp = temp
        self.planted = [temp / "precious" / "data.txt", scratch / "precious" / "data.txt"]
        for file in self.planted:
            file.parent.mkdir(parents=True)
            file.write_text("mine")
        self.process = subprocess.Popen(
            [sys.executable, "-c", STRANGER, str(temp)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def answers(self, number: int) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def stranger(new_bench: Callable[[], Bench]) -> Iterator[Stranger]:
    """Lives through all tests of this module."""
    bench = new_bench()
    temp = Path(f"/tmp/st-{os.getpid()}")
    one = Stranger(temp, bench.scratch)
    yield one
    one.close()
    subprocess.run(["rm", "-rf", temp], check=True)


def processes_of(launch: int) -> dict[int, str]:
    """Command lines of the processes below a launch's supervisor, by pid.

    By ancestry: some of Ray's processes rename themselves and write over their environment, which
    then shows no mark.
    """
    found = {}
    try:
        for process in psutil.Process(launch).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found[process.pid] = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        pass
    return found


def assert_nothing_is_left(bench: Bench) -> None:
    assert bench.marked_processes() == []
    assert bench.launches_left() == []


def assert_every_attempt_is_told(bench: Bench, group: str) -> None:
    """Each start has one end, and is of an attempt of its own."""
    events = bench.events(group)
    started = Counter((e.run, e.attempt) for e in of_kind(Started, events))
    told = Counter((e.run, e.attempt) for e in ended(events))
    assert set(started.values()) <= {1}
    assert started == told


def orderly(output: str) -> str:
    assert "Traceback" not in output
    return output


# -- Ray's own processes ---------------------------------------------------------------------------

VICTIMS = ("raylet/raylet", "gcs_server", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
# After each run that raises comes a fresh worker, which needs all of Ray.
IN_TURN = """\
trainer: sabotage
group: turn
steps: 40
step_s: 0.05
seed: [0, 1, 2]
deed: [finish, raise]
"""


class Killed(NamedTuple):
    """How a launch ended that lost a part of its Ray, and which of its processes outlived it."""

    status: int
    output: str
    left: list[int]


def kill_in_mid_wave(bench: Bench, victim: str) -> Killed:
    launch = bench.start("launch", bench.write("turn", IN_TURN), "--cpus", 2)
    wait_until(
        lambda: (
            of_kind(Started, bench.events("turn"))
            and any(victim in line for line in processes_of(launch.pid).values())
        ),
        state=lambda: (bench.events("turn"), processes_of(launch.pid)),
    )
    born = processes_of(launch.pid)
    for pid, line in born.items():
        if victim in line:
            os.kill(pid, signal.SIGKILL)
    output, _ = launch.communicate(timeout=120)
    return Killed(launch.returncode, output, [pid for pid in born if psutil.pid_exists(pid)])


@pytest.fixture(scope="module")
def killed(new_bench: Callable[[], Bench]) -> Iterator[dict[str, tuple[Bench, Future[Killed]]]]:
    """All at once: most of the time goes into Ray's time-outs."""
    with ThreadPoolExecutor(len(VICTIMS)) as pool:
        benches = {victim: new_bench() for victim in VICTIMS}
        yield {
            victim: (bench, pool.submit(kill_in_mid_wave, bench, victim))
            for victim, bench in benches.items()
        }


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_part_of_ray_costs_no_run(
    killed: dict[str, tuple[Bench, Future[Killed]]], victim: str, stranger: Stranger
) -> None:
    bench, future = killed[victim]
    status, output, left = future.result()
    assert left == []
    assert status == 3, orderly(output)
    for run in bench.state("turn").runs.values():
        expected = "finished" if run.axis_values["deed"] == "finish" else "crashed"
        assert run.outcome == expected, (run, output)
        assert all(attempt.outcome == "lost" for attempt in run.attempts[:-1])
    assert_every_attempt_is_told(bench, "turn")
    assert_nothing_is_left(bench)
    assert stranger.answers(21) == 42


def test_a_ray_that_does_not_start_ends_the_launch_in_order(bench: Bench) -> None:
    broken = bench.path / "broken"
    (broken / "ray").mkdir(parents=True)
    (broken / "ray" / "__init__.py").write_text(
        "def init(**_):\n    raise OSError('no sockets today')\n"
    )
    file = bench.write("some", "trainer: sabotage\ngroup: some\nseeds: 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Bench, "env", {**bench.env, "PYTHONPATH": f"{broken}:{bench.env['PYTHONPATH']}"}
        )
        result = bench.sweep("launch", file, "--cpus", 1)
    assert result.returncode == 2
    assert "no sockets today" in orderly(result.stderr)
    state = bench.state("some")
    assert state.counts()["waiting"] == 2
    assert all(not run.attempts for run in state.runs.values())
    assert state.launches[-1].reason == "error"
    assert_nothing_is_left(bench)


# -- Disks, memory, limits -------------------------------------------------------------------------


NAMESPACE = mount_namespace("/dev/shm")
needs_namespace = pytest.mark.skipif(
    not NAMESPACE, reason="this machine gives no mount namespaces (unshare --mount)"
)


def in_namespace(bench: Bench, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script, in which `sweep` is ours, in its own mount namespace."""
    bench.scratch.mkdir(mode=0o700, exist_ok=True)
    return subprocess.run(
        [*NAMESPACE, "sh", "-ec", script.replace("sweep ", f"{shlex.quote(str(SWEEP))} ")],
        env=bench.env,
        cwd=bench.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def mischief(bench: Bench, group: str, deeds: list[str], resources: str = "{}") -> Path:
    return bench.write(
        group,
        f"trainer: mischief\ngroup: {group}\nresources: {resources}\nzip: [deed, lane]\n"
        f"deed: {json.dumps(deeds)}\nlane: {list(range(len(deeds)))}\n",
    )


@needs_namespace
def test_a_launch_on_a_small_disk_is_refused(bench: Bench) -> None:
    mischief(bench, "small", ["finish"])
    result = in_namespace(
        bench,
        f"mount -t tmpfs -o size=64m none {bench.scratch}\n"
        "sweep launch small.yaml --cpus 1 || echo status $?\n"
        f"ls {bench.scratch}",
    )
    assert "nearly full" in orderly(result.stderr)
    assert str(bench.scratch) in result.stderr
    assert result.stdout.splitlines()[-1] == "status 2"  # and nothing in the scratch


@needs_namespace
def test_a_full_temp_disk_pauses_the_sweep_before_it_burns_through(bench: Bench) -> None:
    mischief(bench, "full", ["finish", "fill the temp folder", *["finish"] * 60])
    result = in_namespace(
        bench,
        f"mount -t tmpfs -o size=400m none {bench.scratch}\n"
        # One slot: what follows meets the full disk.
        "sweep launch full.yaml --cpus 1 || echo status $?\n"
        f"ls {bench.scratch}",
    )
    assert result.stdout.splitlines()[-1] == "status 4", orderly(result.stdout + result.stderr)
    assert "nearly full" in result.stdout
    bad = [
        run for run in bench.state("full").runs.values() if run.outcome not in (None, "finished")
    ]
    assert {(run.outcome, run.cause and run.cause.kind) for run in bad} == {
        ("crashed", "no disk space")
    }
    assert len(bad) <= 4, f"{len(bad)} of 62 runs burnt"
    assert_every_attempt_is_told(bench, "full")
    assert bench.marked_processes() == []


@needs_namespace
def test_a_full_records_disk_ends_the_launch_and_loses_nothing(bench: Bench) -> None:
    mischief(bench, "full", ["finish", "fill its folder", *["finish"] * 6])
    records = bench.path / "runs"
    result = in_namespace(
        bench,
        f"mkdir {records}\nmount -t tmpfs -o size=300m none {records}\n"
        "sweep launch full.yaml --cpus 1 || echo first $?\n"
        "rm -f runs/full/runs/*/filler\n"
        "sweep status full --json > status.json\n"
        "sweep launch full.yaml --cpus 1 || echo second $?\n"
        f"cp -r {records} out",
    )
    said = orderly(result.stdout + result.stderr)
    first = next(line for line in result.stdout.splitlines() if line.startswith("first"))
    assert first in {"first 2", "first 4"}, said
    assert "full" in said or "No space" in said
    told = json.loads((bench.path / "status.json").read_text())
    assert told["running"] == []
    assert told["counts"]["finished"] >= 1
    saved = Bench(bench.path / "out-bench", bench.scratch)
    saved.path.mkdir()
    (bench.path / "out").rename(saved.path / "runs")
    state = saved.state("full")
    finished = [run for run in state.runs.values() if run.outcome == "finished"]
    assert len(finished) >= 1
    for run in state.runs.values():
        assert run.outcome is None or run.outcome == "finished" or run.cause is not None
    # The run that fills the disk comes last now: what the journal had no room for, the next launch
    # tells before all else.
    folder = saved.group("full")
    with JournalWriter(folder.journal_dir, "next") as journal:
        journal.append(*interrupted_ends(folder, state, is_dead=lambda writer: True))
    assert_every_attempt_is_told(saved, "full")
    assert_nothing_is_left(bench)


@needs_namespace
def test_a_small_shared_memory_and_a_home_that_cannot_be_written_do_no_harm(
    bench: Bench, stranger: Stranger
) -> None:
    mischief(bench, "poor", ["finish", "tell its place"])
    result = in_namespace(
        bench,
        "mount -t tmpfs -o size=64m none /dev/shm\n"
        "mkdir home\nmount -t tmpfs -o ro none home\nexport HOME=$PWD/home\n"
        "unset XDG_CACHE_HOME SWEEPER_CACHE MPLCONFIGDIR\n"
        "sweep launch poor.yaml --cpus 2\n"
        "ls -A home",
    )
    assert result.returncode == 0, orderly(result.stdout + result.stderr)
    assert bench.state("poor").counts()["finished"] == 2
    assert_nothing_is_left(bench)
    assert stranger.answers(4) == 8


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become another user, whose limit counts"
)
def test_too_few_processes_are_told_before_anything_starts(bench: Bench) -> None:
    bench.write("some", "trainer: sabotage\ngroup: some\nseeds: 2\n")
    bench.path.chmod(0o777)
    bench.path.parent.chmod(0o755)
    user = "54321"
    result = subprocess.run(
        # The capability lets it read an environment that may lie in root's home.
        ["setpriv", "--reuid", user, "--regid", user, "--clear-groups",
         "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
         "prlimit", "--nproc=160", SWEEP, "launch", "some.yaml", "--cpus", "2"],
        env={**bench.env, "HOME": str(bench.path)},
        cwd=bench.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert result.returncode == 2, result.stdout + result.stderr
    assert "ulimit -u" in orderly(result.stderr)
    assert_nothing_is_left(bench)


# -- Signals, terminals, names ---------------------------------------------------------------------

PATIENT = "trainer: sabotage\ngroup: patient\ndeed: wait for stop\nseeds: 3\n"


def _until_two_run(bench: Bench) -> None:
    wait_until(
        lambda: len(of_kind(Started, bench.events("patient"))) == 2,
        state=lambda: bench.events("patient"),
    )


def _assert_stopped(bench: Bench) -> None:
    state = bench.state("patient")
    counts = state.counts()
    assert (counts["stopped"], counts["waiting"]) == (2, 1)
    assert state.launches[-1].reason == "stopped"
    assert_nothing_is_left(bench)


def test_a_terminated_launch_stops_in_order(bench: Bench) -> None:
    launch = bench.start("launch", bench.write("patient", PATIENT), "--cpus", 2)
    _until_two_run(bench)
    launch.terminate()
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 130, orderly(output)
    _assert_stopped(bench)


def test_a_closed_terminal_stops_the_launch_in_order(bench: Bench) -> None:
    """The terminal's end sends SIGHUP, and every later word to it fails."""
    file = bench.write("patient", PATIENT)
    ours, theirs = pty.openpty()
    launch = subprocess.Popen(
        ["setsid", "--ctty", SWEEP, "launch", file, "--cpus", "2"],
        env=bench.env,
        cwd=bench.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        _until_two_run(bench)
    finally:
        os.close(ours)
    assert launch.wait(60) == 130
    _assert_stopped(bench)


def test_a_reader_that_leaves_stops_no_sweep(bench: Bench) -> None:
    """`sweep launch … | head -1`."""
    file = bench.write("some", "trainer: sabotage\ngroup: some\nseeds: 3\n")
    launch = bench.start("launch", file, "--cpus", 2)
    assert launch.stdout is not None
    launch.stdout.readline()
    launch.stdout.close()
    assert launch.wait(timeout=60) in {0, 141}
    assert bench.state("some").counts()["finished"] == 3
    assert_nothing_is_left(bench)


def test_names_of_folders_may_hold_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = Path(f"/tmp/sw '\"\n{os.getpid()}")
    place = tmp_path / "a place; 'with' \"quotes\" $HOME `x`\nand two lines"
    place.mkdir()
    bench = Bench(place, scratch)
    try:
        file = bench.write('it\'s; a "sweep"\n*', _at("odd (place)", ["tell its place"]))
        result = bench.sweep("launch", file, "--cpus", 1)
        assert result.returncode == 0, result.stdout + result.stderr
        (run,) = bench.state("odd (place)").runs.values()
        folder = bench.group("odd (place)").run(run.id)
        told = json.loads(folder.log_file.read_text().splitlines()[-1])
        assert told["cwd"] == str(place)
        assert told["temp"].startswith(f"{scratch}/")
        assert (folder.path / "note.txt").read_text() == "kept"
        for command in (("status",), ("show", run.id), ("table", "odd (place)")):
            assert bench.sweep(*command).returncode == 0
        assert_nothing_is_left(bench)
    finally:
        subprocess.run(["rm", "-rf", scratch], check=True)


def _at(group: str, deeds: list[str]) -> str:
    return f"trainer: mischief\ngroup: {group}\ndeed: {json.dumps(deeds)}\n"


def test_an_orphan_that_lost_its_mark_is_known_by_its_open_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's agents rename themselves and, as it happens, write over the mark in doing so."""
    monkeypatch.setenv("SWEEPER_SCRATCH", str(bench.scratch))
    gone = subprocess.Popen(["true"])
    dead = Scratch.create("dead")
    (dead.path / "owner").write_text(f"{replace(dead.mark, pid=gone.pid, ticks=1)}\n")
    gone.wait()
    log = dead.path / "agent.log"
    with log.open("w") as output:
        orphan = subprocess.Popen(["sleep", "300"], stdout=output)
    bystander = subprocess.Popen(["sleep", "300"])
    try:
        reap_dead_launches()
        assert orphan.wait(timeout=5) == -signal.SIGKILL
        assert bystander.poll() is None
    finally:
        for process in (orphan, bystander):
            process.kill()
            process.wait()


def test_the_stranger_is_untouched(stranger: Stranger) -> None:
    """Last in this file, so that every fault has had its chance."""
    assert stranger.answers(50) == 100
    assert [file.read_text() for file in stranger.planted] == ["mine", "mine"]
