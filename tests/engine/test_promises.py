"""Promises to people who sweep: what is told of each run, when a sweep pauses, what stays alone.

Real launches. Where a fault of the host is needed (the kernel's count of kills, little memory, a
small disk), the launch gets a mount namespace of its own in which the files that tell it are ours.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support import SWEEP, Bench, ended, mount_namespace, of_kind, wait_until
from trainers.sabotage import Config

from sweeper.config import plain, run_id, to_yaml
from sweeper.engine.environment import wave_environment
from sweeper.records import GroupFolder
from sweeper.records.events import Ended, Launched, Recorded, Started

# A trainer of these tests; what it is told to do, it does at once.
ACTOR = """
import os, signal, tempfile, time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
KILLS = Path("/sys/fs/cgroup/memory/memory.oom_control")
preload = ("stillborn",)
pack_size = 3 if (HERE / "packs").exists() else 1


@dataclass(frozen=True)
class Config:
    deed: Literal["finish", "kill the wave", "starve", "eat", "leave files", "pipe"] = "finish"
    seconds: float = 0.0
    seed: int = 0


def program_key(config):
    return 0 if pack_size > 1 else config


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def train(configs, runs):
    config, run = configs[0], runs[0]
    for one in runs:
        one.log(0, loss=1.0)
    if pack_size > 1 and any(one.seed == 1 for one in configs):
        raise ValueError("seed 1 is no good")
    if config.deed == "kill the wave":
        os.kill(parent(os.getppid()), signal.SIGKILL)
        time.sleep(60)
    if config.deed == "leave files":
        (Path(tempfile.gettempdir()) / f"left-{run.id}").write_bytes(bytes(12 << 20))
    if config.deed == "eat":
        eaten = b"x" * (300 << 20)
    if config.deed == "pipe":
        (run.folder / "metrics.jsonl").unlink(missing_ok=True)
        os.mkfifo(run.folder / "metrics.jsonl")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(config.seconds)
    if config.deed == "starve":  # as the kernel would
        number = int(KILLS.read_text().split()[1])
        KILLS.write_text(f"oom_kill {number + 1}\\n")
        os.kill(os.getpid(), signal.SIGKILL)
"""
STILLBORN = """
import os, signal
from pathlib import Path
if Path(__file__).with_name("sick").exists():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def acting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench with the trainer `actor`."""
    (bench.path / "actor.py").write_text(ACTOR)
    (bench.path / "stillborn.py").write_text(STILLBORN)
    found = f"{bench.path}:{bench.env['PYTHONPATH']}"
    monkeypatch.setattr(Bench, "env", {**bench.env, "PYTHONPATH": found})
    return bench


def at_most_at_once(events: Iterable[Recorded], wave: int) -> int:
    running, most = 0, 0
    for recorded in events:
        event = recorded.event
        if isinstance(event, Started | Ended) and event.wave == wave:
            running += 1 if isinstance(event, Started) else -1
            most = max(most, running)
    return most


def attempts(bench: Bench, group: str, deed: str) -> list[tuple[str | None, str | None]]:
    """Outcome and kind of cause of each attempt at the only run with this deed."""
    runs = bench.state(group).runs.values()
    (run,) = [run for run in runs if run.axis_values["deed"] == deed]
    return [
        # None while it runs.
        (a.outcome.value if a.outcome else None, a.cause.kind.value if a.cause else None)
        for a in run.attempts
    ]


# -- The record of each run ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(new_bench: Callable[[], Bench]) -> dict[str, list[dict[str, Any]]]:
    """By deed, what the journal and result.json tell of its run."""
    bench = new_bench()
    deeds = ["finish", "raise", "kill", "hang"]
    file = bench.write(
        "told",
        # Who is killed can't measure itself, and is looked at once a second.
        "trainer: sabotage\ngroup: told\nresources: {timeout: 5 s}\nsteps: 12\nstep_s: 0.2\n"
        f"deed: {json.dumps(deeds)}\n",
    )
    done = bench.sweep("launch", file, "--cpus", 2)
    assert done.returncode == 3, done.stderr
    found = {}
    for run in bench.state("told").runs.values():
        (event,) = [event for event in ended(bench.events("told")) if event.run == run.id]
        result = json.loads(bench.group("told").run(run.id).result_file.read_text())
        found[run.axis_values["deed"]] = [asdict(event), result]
    return found


@pytest.mark.parametrize(
    "deed",
    [
        "finish",
        "raise",
        "kill",
        "hang",
    ],
)
def test_memory_and_cpu_time_of_each_run_are_recorded(
    measured: dict[str, list[dict[str, Any]]], deed: str
) -> None:
    for record in measured[deed]:
        assert 20e6 < record["rss_peak_bytes"] < 2e9
        assert 0.0 <= record["cpu_s"] < 60.0


def test_trainings_are_not_given_the_key_of_the_mirror(tmp_path: Path) -> None:
    """What a training prints of its environment lands in a log that may be shared."""
    env = wave_environment(
        {"WANDB_API_KEY": "secret", "HOME": "/"},
        mark="m",
        token_file=tmp_path / "token",
        tmp=tmp_path,
        cpus_per_run=1,
    )
    assert "secret" not in env.values()


# -- Brake and retries -----------------------------------------------------------------------------


@pytest.mark.faults
def test_the_brake_pauses_and_the_sweep_goes_on_when_asked(bench: Bench) -> None:
    file = bench.write("brake", "trainer: sabotage\ngroup: brake\ndeed: raise\nseeds: 12\n")
    first = bench.sweep("launch", file, "--cpus", 2)
    assert first.returncode == 4, first.stdout + first.stderr
    assert "paused: the last 8 runs all ended as crashed" in first.stdout
    assert "ValueError: asked to raise" in first.stdout
    counts = bench.state("brake").counts()
    assert 8 <= counts["crashed"] < 12
    assert counts["waiting"] + counts["stopped"] == 12 - counts["crashed"]
    assert bench.state("brake").launches[-1].reason == "paused"
    assert bench.marked_processes() == []
    again = bench.sweep("launch", file, "--cpus", 2, "--no-brake")
    assert again.returncode == 3, again.stdout + again.stderr
    assert bench.state("brake").counts()["crashed"] == 12


def launch_sick(acting: Bench, *, some_finished: bool) -> int:
    """Workers die before their runs begin; then all is well again. The sick launch's status."""
    text = "trainer: actor\ngroup: sick\nseeds: 2\n"
    if some_finished:
        done = acting.sweep("launch", acting.write("sick", text), "--cpus", 2)
        assert done.returncode == 0, done.stderr
    file = acting.write("sick", text.replace("2", "6"))
    (acting.path / "sick").touch()
    # Ray doesn't always tell of a worker that died so early: then its wave is given up after 300 s.
    sick = acting.sweep("launch", file, "--cpus", 2, timeout=800)
    assert "died before" in sick.stdout + sick.stderr
    assert "Traceback" not in sick.stdout + sick.stderr
    assert acting.marked_processes() == []
    (acting.path / "sick").unlink()
    well = acting.sweep("launch", file, "--cpus", 2)
    assert well.returncode == 0, well.stdout + well.stderr
    assert acting.state("sick").counts()["finished"] == 6
    return sick.returncode


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_runs_that_die_before_they_begin_pause_the_sweep(acting: Bench) -> None:
    assert launch_sick(acting, some_finished=False) == 4


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_runs_that_die_before_they_begin_pause_a_sweep_that_had_finished_runs(
    acting: Bench,
) -> None:
    assert launch_sick(acting, some_finished=True) == 4


@pytest.fixture(scope="module")
def killer(new_bench: Callable[[], Bench]) -> Bench:
    """After a sweep in which one run kills its whole wave whenever it is tried."""
    bench = new_bench()
    (bench.path / "actor.py").write_text(ACTOR)
    deeds = "zip: [deed, seconds]\ndeed: [finish, kill the wave]\nseconds: [4, 0]\n"
    file = bench.write("killer", f"trainer: actor\ngroup: killer\n{deeds}")
    done = bench.sweep("launch", file, "--cpus", 2)
    assert done.returncode in {3, 4}, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert bench.marked_processes() == []
    return bench


@pytest.mark.faults
def test_a_lost_run_is_tried_again_twice_and_no_more(killer: Bench) -> None:
    assert attempts(killer, "killer", "kill the wave") == [("lost", "host")] * 3


@pytest.mark.faults
def test_who_ran_beside_a_run_that_kills_its_wave_finishes(killer: Bench) -> None:
    assert attempts(killer, "killer", "finish")[-1] == ("finished", None)


# -- Memory and disk of the host -------------------------------------------------------------------


NAMESPACE = mount_namespace("/sys/fs/cgroup")
needs_namespace = pytest.mark.skipif(
    not NAMESPACE, reason="this machine gives no mount namespaces (unshare --mount)"
)
OUR_CGROUP = (
    "mount -t tmpfs none /sys/fs/cgroup\nmkdir /sys/fs/cgroup/memory\ncd /sys/fs/cgroup/memory\n"
)


def in_namespace(bench: Bench, script: str) -> subprocess.CompletedProcess[str]:
    bench.scratch.mkdir(mode=0o700, exist_ok=True)
    there = f"{script}\ncd {shlex.quote(str(bench.path))}\n"
    return subprocess.run(
        [*NAMESPACE, "sh", "-ec", f"{there}exec {shlex.quote(str(SWEEP))} launch it.yaml --cpus 2"],
        env=bench.env,
        cwd=bench.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.faults
@needs_namespace
def test_what_the_kernel_killed_for_memory_is_tried_again_with_fewer_beside_it(
    acting: Bench,
) -> None:
    acting.write(
        "it",
        "trainer: actor\ngroup: it\nzip: [deed, seconds, seed]\n"
        "deed: [finish, starve, starve]\nseconds: [0, 1.5, 1.5]\nseed: [0, 1, 2]\n",
    )
    done = in_namespace(acting, f"{OUR_CGROUP}echo 'oom_kill 0' > memory.oom_control")
    assert done.returncode == 3, done.stdout + done.stderr
    state, events = acting.state("it"), acting.events("it")
    for run in state.runs.values():
        found = [(a.outcome, a.cause and a.cause.kind.value) for a in run.attempts]
        wanted = [("crashed", "out of memory")] * 3
        assert found == ([("finished", None)] if run.axis_values["seed"] == 0 else wanted)
    # Half of two slots is one, as is alone.
    assert [at_most_at_once(events, wave) for wave in (1, 2, 3)] == [2, 1, 1]


@pytest.fixture(scope="module")
def hungry(new_bench: Callable[[], Bench]) -> Bench:
    """Two launches on a host whose memory carries one of their runs."""
    if not NAMESPACE:
        pytest.skip("this machine gives no mount namespaces (unshare --mount)")
    bench = new_bench()
    (bench.path / "actor.py").write_text(ACTOR)
    little = (
        f"{OUR_CGROUP}echo 900000000 > memory.limit_in_bytes\necho 0 > memory.usage_in_bytes\n"
        "printf 'total_inactive_file 0\\ntotal_active_file 0\\n' > memory.stat\n"
    )
    for runs in (7, 10):
        bench.write("it", f"trainer: actor\ngroup: it\ndeed: eat\nseconds: 0.5\nseeds: {runs}\n")
        done = in_namespace(bench, little)
        assert done.returncode == 0, done.stdout + done.stderr
    return bench


def starts_beside_others(events: list[Recorded]) -> list[bool]:
    """For each start of one writer, whether another run was going on."""
    running: set[str] = set()
    beside = []
    for recorded in events:
        match recorded.event:
            case Started(run=run):
                beside.append(bool(running))
                running.add(run)
            case Ended(run=run):
                running.discard(run)
    return beside


def of_launch(bench: Bench, number: int) -> list[Recorded]:
    events = bench.events("it")
    launches = [recorded for recorded in events if isinstance(recorded.event, Launched)]
    writer = sorted(launches, key=lambda recorded: recorded.time)[number].writer
    return sorted((e for e in events if e.writer == writer), key=lambda e: e.seq)


@pytest.mark.faults
def test_as_many_runs_at_once_as_finished_ones_were_seen_to_need(hungry: Bench) -> None:
    # Two begin before anything is known, and their slots go on before the first end is heard of.
    assert starts_beside_others(of_launch(hungry, 0))[4:] == [False] * 3


@pytest.mark.faults
def test_a_later_launch_knows_what_runs_need(hungry: Bench) -> None:
    assert not any(starts_beside_others(of_launch(hungry, 1)))


@pytest.fixture(scope="module")
def leaking(new_bench: Callable[[], Bench]) -> Bench:
    """Runs leave files in the temp folder, until the wave has to be replaced; one is long."""
    if not NAMESPACE:
        pytest.skip("this machine gives no mount namespaces (unshare --mount)")
    bench = new_bench()
    (bench.path / "actor.py").write_text(ACTOR)
    runs = 24
    bench.write(
        "it",
        "trainer: actor\ngroup: it\nzip: [deed, seconds, seed]\n"
        f"deed: {json.dumps(['finish', *['leave files'] * runs])}\n"
        f"seconds: {[35.0, *[1.0] * runs]}\nseed: {list(range(runs + 1))}\n",
    )
    done = in_namespace(bench, f"mount -t tmpfs -o size=900m none {bench.scratch}")
    assert done.returncode == 0, done.stdout + done.stderr
    return bench


@pytest.mark.faults
def test_a_wave_is_replaced_before_the_budget_for_scratch_is_reached(leaking: Bench) -> None:
    waves = leaking.state("it").waves
    assert len(waves) >= 2
    assert {wave.reason for wave in waves} == {"done"}
    peaks = [wave.scratch_peak_bytes or 0 for wave in waves]
    # 45 % of the 256 MiB that are the budget on this disk, then what runs left until it was seen.
    assert 0.45 * 2**28 < max(peaks) < 2**28


@pytest.mark.faults
def test_slots_are_used_while_a_drained_wave_ends(leaking: Bench) -> None:
    waves = sorted(leaking.state("it").waves, key=lambda wave: wave.number)
    assert waves[1].started is not None
    assert waves[0].ended is not None
    assert waves[1].started < waves[0].ended - 5.0


# -- sweep retry -----------------------------------------------------------------------------------


@pytest.mark.faults
def test_retry_trains_what_was_interrupted_and_nothing_else(bench: Bench) -> None:
    file = bench.write(
        "slow", "trainer: sabotage\ngroup: slow\nsteps: 40\nstep_s: 0.05\nseeds: 5\n"
    )
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: len(of_kind(Started, bench.events("slow"))) >= 3,
        state=lambda: bench.events("slow"),
    )
    busy = bench.sweep("retry", "slow", "--trainer", "sabotage")
    assert busy.returncode == 2
    launch.send_signal(signal.SIGKILL)
    launch.communicate()
    before = bench.state("slow")
    left = sum(run.outcome is None and bool(run.attempts) for run in before.runs.values())
    untouched = {run.id for run in before.runs.values() if not run.attempts}
    assert left
    assert untouched
    done = bench.sweep("retry", "slow", "--trainer", "sabotage", "--cpus", "2")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith(f"slow: {left} runs to train again\n")
    after = bench.state("slow")
    assert {run.id for run in after.runs.values() if not run.attempts} == untouched
    assert after.counts()["finished"] == 5 - len(untouched)


RUN = run_id("sabotage", plain(Config()))


def crashed_records(bench: Bench, **resources: object) -> GroupFolder:
    """Records of one run that crashed, as a launch leaves them or a stranger forges them."""
    folder = GroupFolder(bench.path / "runs", "some").make()
    events: list[dict[str, Any]] = [
        {"event": "launched", "launch": "l", "trainer": "sabotage", "total": 1, "host": "other",
         "resources": resources},
        {"event": "planned", "runs": {RUN: {"seed": 0}}},
        {"event": "started", "run": RUN, "attempt": 1},
        {"event": "ended", "run": RUN, "attempt": 1, "outcome": "crashed",
         "cause": {"kind": "exception", "message": "no", "type": "ValueError"}},
        {"event": "launch_ended", "launch": "l", "reason": "done"},
    ]  # fmt: skip
    lines = [
        json.dumps({"v": 1, "writer": "w", "seq": seq, "time": 1000.0 + seq, **event})
        for seq, event in enumerate(events)
    ]
    (folder.journal_dir / "w.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def retry_some(bench: Bench) -> str:
    """What `sweep retry` complains of."""
    said = bench.sweep("retry", "some", "--trainer", "sabotage", timeout=20)
    assert said.returncode == 2, said.stdout
    assert "Traceback" not in said.stderr
    assert len(of_kind(Launched, bench.events("some"))) == 1
    return said.stderr


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"timeout_s": -1.0}, "no resources"),
        ({"timeout_s": "nan"}, "journal of group `some`"),
        ({"cpus_per_run": 0}, "journal of group `some`"),
        ({"memory_per_run": "much"}, "journal of group `some`"),
    ],
)
def test_forged_resources_are_refused(
    bench: Bench, resources: dict[str, object], words: str
) -> None:
    folder = crashed_records(bench, **resources)
    folder.run(RUN).make().config_file.write_text(to_yaml(Config()))
    assert words in retry_some(bench)


def test_a_config_that_is_another_runs_is_not_trained_under_this_ones_name(bench: Bench) -> None:
    folder = crashed_records(bench)
    folder.run(RUN).make().config_file.write_text("seed: 1\n")
    assert "this is another run" in retry_some(bench)


def test_a_run_whose_folder_is_gone_did_start(bench: Bench) -> None:
    crashed_records(bench)
    assert "ever started" not in retry_some(bench)


@pytest.mark.faults
def test_who_shared_a_pack_with_a_run_that_raises_finishes_when_tried_again(
    acting: Bench,
) -> None:
    (acting.path / "packs").touch()
    file = acting.write("packs", "trainer: actor\ngroup: packs\nseeds: 3\n")
    assert acting.sweep("launch", file, "--cpus", 1).returncode == 3
    acting.sweep("retry", "packs", "--trainer", "actor", "--cpus", "1")
    assert acting.state("packs").counts()["finished"] == 2


# -- What others, or runs, have put into the folders -----------------------------------------------


@pytest.mark.parametrize("command", ["status", "retry"])
def test_a_pipe_among_records_blocks_nobody(bench: Bench, command: str) -> None:
    folder = crashed_records(bench)
    if command == "status":
        os.mkfifo(folder.journal_dir / "zz.jsonl")
        assert bench.sweep("status", "some", timeout=4).returncode in {0, 2}
    else:
        os.mkfifo(folder.run(RUN).make().config_file)
        said = bench.sweep("retry", "some", "--trainer", "sabotage", timeout=4)
        assert said.returncode == 2


@pytest.mark.faults
def test_a_run_that_leaves_a_pipe_for_its_metrics_stops_no_sweep(acting: Bench) -> None:
    file = acting.write("pipe", "trainer: actor\ngroup: pipe\ndeed: [pipe, finish]\n")
    try:
        done = acting.sweep("launch", file, "--cpus", 1, timeout=40)
    finally:
        acting.sweep("status", "pipe", timeout=30)  # cleans up
    assert done.returncode == 3
    assert acting.state("pipe").counts()["finished"] == 1


@pytest.mark.faults
def test_nothing_is_written_through_links_among_records(bench: Bench) -> None:
    file = bench.write("some", "trainer: sabotage\ngroup: some\ndeed: raise\n")
    assert bench.sweep("launch", file, "--cpus", 1).returncode == 3
    (run,) = bench.state("some").runs
    folder = bench.group("some")
    outside = {name: bench.path / f"precious-{name}" for name in ("lock", "config")}
    for link, name in ((folder.lock_file, "lock"), (folder.run(run).config_file, "config")):
        outside[name].write_text("mine")
        link.unlink()
        link.symlink_to(outside[name])
    bench.sweep("launch", file, "--cpus", 1)
    assert {file.read_text() for file in outside.values()} == {"mine"}


# -- Who may read records --------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


def launch_with_umask(bench: Bench, umask: int, *options: str) -> dict[str, int]:
    """Launch and evaluate as a user who has set this umask; modes of all records."""
    file = bench.write("open", "trainer: sabotage\ngroup: open\n")
    before = os.umask(umask)
    try:
        assert bench.sweep("launch", file, "--cpus", 1, *options).returncode == 0
        names = ("--datasets", "set1", "--trainer", "sabotage", "--cpus", "1")
        assert bench.sweep("evaluate", "open", *names).returncode == 0
    finally:
        os.umask(before)
    return modes(bench.path / "runs")


@pytest.mark.faults
def test_records_are_private_whatever_the_umask(bench: Bench) -> None:
    found = launch_with_umask(bench, 0o000)
    assert found
    assert {path: oct(mode) for path, mode in found.items() if mode & 0o077} == {}


@pytest.mark.faults
def test_shared_records_are_open_whatever_the_umask(bench: Bench) -> None:
    found = launch_with_umask(bench, 0o077, "--shared")
    assert {path: oct(mode) for path, mode in found.items() if not mode & 0o040} == {}


def test_sharing_leaves_what_links_lead_to_alone(bench: Bench) -> None:
    outside = bench.path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "secret").touch(mode=0o600)
    folder = GroupFolder(bench.path / "runs", "some").make()
    (folder.path / "link").symlink_to(outside)
    (folder.runs_folder / "file").symlink_to(outside / "secret")
    folder.make(shared=True)
    assert stat.S_IMODE(folder.runs_folder.stat().st_mode) == 0o750
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700
    assert stat.S_IMODE((outside / "secret").stat().st_mode) == 0o600
