"""Exactly our own processes are found and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from support import wait_until

from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.errors import HostError
from sweeper.host.processes import (
    MARK_VARIABLE,
    ProcessMark,
    kill_all,
    kill_tree,
    marked_processes,
    process_start,
    start_ticks,
)

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(300)"]

Start = Callable[[ProcessMark | None], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start_marked(mark: ProcessMark | None) -> subprocess.Popen[bytes]:
        env = {**os.environ, **({MARK_VARIABLE: str(mark)} if mark else {})}
        process = subprocess.Popen(SLEEP, env=env, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start_marked
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def dead_mark() -> ProcessMark:
    """The mark of a supervisor that lived on this host and is gone."""
    process = subprocess.Popen(["sleep", "300"])
    ticks = start_ticks(process.pid)
    process.kill()
    process.wait()
    assert ticks is not None
    return replace(ProcessMark.of_this_process("dead/w1"), pid=process.pid, ticks=ticks)


def test_a_mark_survives_the_environment() -> None:
    mark = ProcessMark.of_this_process("ab12/w3")
    assert ProcessMark.parse(str(mark)) == mark
    assert ProcessMark.parse("rubbish") is None
    assert ProcessMark.parse("a b c d e f") is None


def test_who_is_provably_dead(dead_mark: ProcessMark) -> None:
    mine = ProcessMark.of_this_process("x")
    assert not mine.is_provably_dead()
    assert dead_mark.is_provably_dead()
    assert replace(mine, ticks=mine.ticks - 1).is_provably_dead()  # the pid was used again
    assert replace(mine, boot="another-boot").is_provably_dead()
    # A launch of another host that shares the scratch is left alone, whatever its boot id.
    assert not replace(dead_mark, host="elsewhere", boot="another-boot").is_provably_dead()
    # In another pid namespace nobody can tell: a container's launch is left alone.
    assert not replace(dead_mark, namespace="pid:[1]").is_provably_dead()


def test_only_processes_of_dead_launches_are_reaped(start: Start, dead_mark: ProcessMark) -> None:
    orphan = start(dead_mark)
    living = start(ProcessMark.of_this_process("living/w1"))
    stranger = start(None)
    assert reap_dead_launches().processes >= 1
    assert orphan.wait(timeout=10) == -9
    assert living.poll() is None
    assert stranger.poll() is None


def test_scratch_of_dead_launches_is_deleted_and_of_living_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead_mark: ProcessMark
) -> None:
    base = Path(f"/tmp/sw-test-{os.getpid()}")
    monkeypatch.setenv("SWEEPER_SCRATCH", str(base))
    try:
        living, dead = Scratch.create("living"), Scratch.create("dead")
        (dead.path / "owner").write_text(f"{dead_mark}\n")
        (base / "strange").mkdir()
        (base / "strange" / "owner").write_text("not a mark")
        assert reap_dead_launches().folders == 1
        assert living.path.is_dir()
        assert (base / "strange").is_dir()
        assert not dead.path.exists()
    finally:
        subprocess.run(["rm", "-rf", base], check=True)


def test_scratch_is_private_and_its_token_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(f"/tmp/sw-test-{os.getpid()}")
    monkeypatch.setenv("SWEEPER_SCRATCH", str(base))
    try:
        one, two = Scratch.create("one"), Scratch.create("two")
        assert [oct(p.stat().st_mode & 0o777) for p in (base, one.path, one.token_file)] == [
            "0o700",
            "0o700",
            "0o600",
        ]
        assert one.token_file.read_text() != two.token_file.read_text()
    finally:
        subprocess.run(["rm", "-rf", base], check=True)


@pytest.mark.parametrize("base", ["relative/path", "/tmp/" + "x" * 60])
def test_a_base_that_cannot_work_is_refused(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPER_SCRATCH", base)
    with pytest.raises(HostError, match="SWEEPER_SCRATCH"):
        Scratch.create("x")


def test_somebody_elses_base_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path(f"/tmp/sw-link-{os.getpid()}")
    link.symlink_to(tmp_path)
    monkeypatch.setenv("SWEEPER_SCRATCH", str(link))
    try:
        with pytest.raises(HostError, match="isn't a folder of yours"):
            Scratch.create("x")
    finally:
        link.unlink()


def test_kill_all_ends_what_forks_meanwhile() -> None:
    """A process that starts children in new sessions is ended with all of them."""
    mark = ProcessMark.of_this_process("forks/w1")
    code = (
        "import subprocess, time\n"
        "print('up', flush=True)\n"
        "while True: subprocess.Popen(['sleep', '300'], start_new_session=True); time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, MARK_VARIABLE: str(mark)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    killed, left = kill_all(lambda: marked_processes(lambda found: found == mark))
    process.wait()
    process.stdout.close()
    assert left == 0
    assert killed >= 1
    assert not list(marked_processes(lambda found: found == mark))


@pytest.fixture
def zombie() -> Iterator[tuple[int, str]]:
    """A process that has ended and that nobody has waited for: its pid and its start."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        start = process_start(process.pid)
        assert start is not None
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid, start


def test_a_zombie_is_dead(zombie: tuple[int, str]) -> None:
    pid, _ = zombie
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert start_ticks(pid) is None
    assert process_start(pid) is None


def test_this_process_lives() -> None:
    start = process_start(os.getpid())
    assert start is not None
    assert start.endswith(f"-{start_ticks(os.getpid())}")
    assert process_start(os.getpid()) == start


def test_shared_memory_of_a_killed_process_is_removed() -> None:
    """By the tracker that multiprocessing keeps for it, where that isn't killed too."""
    code = (
        "from multiprocessing.resource_tracker import _resource_tracker as tracker\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "from pathlib import Path\n"
        "import time\n"
        "memory = SharedMemory(create=True, size=64)\n"
        # Between fork and exec nothing tells it from any other child.
        "while b'resource_tracker' not in Path(f'/proc/{tracker._pid}/cmdline').read_bytes():\n"
        "    time.sleep(0.001)\n"
        "print(memory.name, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as died:
        assert died.stdout is not None
        memory = Path("/dev/shm", died.stdout.readline().strip())
        assert memory.exists()
        kill_tree(died.pid)
    wait_until(lambda: not memory.exists())
