"""The lock of a group, with a real second process that holds it and is really killed."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from sweeper.errors import BusyError
from sweeper.host.processes import process_lives, process_start
from sweeper.records import acquire, is_held
from sweeper.records import lock as lock_module

Holder: TypeAlias = tuple[Path, subprocess.Popen[str]]

HOLD = (
    "import sys; from pathlib import Path; from sweeper.records import acquire\n"
    "held = acquire(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    path = tmp_path / "my%20group" / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.communicate()


def test_a_second_launch_is_told_who_holds_the_group(holder: Holder) -> None:
    path, process = holder
    assert is_held(path)
    with pytest.raises(BusyError) as error:
        acquire(path)
    message = str(error.value)
    assert f"process {process.pid}" in message
    assert os.uname().nodename in message
    assert "`my group`" in message
    assert ", since 2" in message


def owner_pid(path: Path) -> int | None:
    owner = lock_module.owner(path)
    return None if owner is None else owner.pid


def test_the_kernel_drops_the_lock_of_a_killed_holder(holder: Holder) -> None:
    path, process = holder
    process.kill()
    process.wait()
    assert not is_held(path)
    assert owner_pid(path) == process.pid
    with acquire(path):
        assert is_held(path)
        assert owner_pid(path) == os.getpid()
    assert not is_held(path)
    assert lock_module.owner(path) is None
    assert path.exists()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        assert not is_held(tmp_path / "lock")
        child.communicate(b"\n")


def test_looking_does_not_lock(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
    acquire(tmp_path / "lock").release()
    assert not is_held(tmp_path / "lock")
    with acquire(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")
        assert is_held(tmp_path / "lock")


def test_a_pid_alone_does_not_name_a_process(holder: Holder) -> None:
    _, process = holder
    start = process_start(process.pid)
    assert start
    assert start != process_start(1)
    assert process_lives(process.pid, start)
    assert not process_lives(process.pid, start + "1")
    process.kill()
    process.wait()
    assert not process_lives(process.pid, None)


def test_without_file_locks_the_owner_decides(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, process = holder

    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert is_held(path)
    with pytest.raises(BusyError):
        acquire(path)
    process.kill()
    process.wait()
    assert not is_held(path)
    acquire(path).release()
