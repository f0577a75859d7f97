"""The scratch of a launch: what cleaners of the temp folder and dead launches do to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import Bench

from sweeper.engine import scratch as scratch_module
from sweeper.engine.budgets import free_bytes
from sweeper.engine.scratch import Scratch, reap_dead_launches
from sweeper.errors import HostError


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scratch]:
    base = Path(f"/tmp/sw-scratch-{os.getpid()}")  # short, for Ray's sockets
    monkeypatch.setenv("SWEEPER_SCRATCH", str(base))
    yield Scratch.create("abcdef01")
    shutil.rmtree(base)


def test_files_that_a_cleaner_deleted_are_written_again(scratch: Scratch) -> None:
    token = scratch.token_file.read_text()
    scratch.token_file.unlink()
    (scratch.path / "owner").unlink()
    scratch.wave(1)
    assert scratch.token_file.read_text() == token
    assert scratch.token_file.stat().st_mode & 0o777 == 0o600
    assert (scratch.path / "owner").read_text() == f"{scratch.mark}\n"


def test_each_wave_touches_the_files_that_cleaners_look_at(scratch: Scratch) -> None:
    os.utime(scratch.token_file, (0, 0))
    scratch.wave(1)
    assert scratch.token_file.stat().st_mtime > 1e9


def test_a_scratch_that_was_deleted_is_made_again(scratch: Scratch) -> None:
    token = scratch.token_file.read_text()
    shutil.rmtree(scratch.path.parent)
    wave = scratch.wave(2)
    assert [wave.path.parent.parent.stat().st_mode & 0o777, wave.tmp.is_dir()] == [0o700, True]
    assert scratch.token_file.read_text() == token


def test_a_deleted_scratch_is_not_made_again_in_the_place_of_somebody_else(
    scratch: Scratch, tmp_path: Path
) -> None:
    base = scratch.path.parent
    shutil.rmtree(base)
    base.symlink_to(tmp_path)
    try:
        with pytest.raises(HostError, match=rf"{base} isn't a folder of yours"):
            scratch.wave(2)
    finally:
        base.unlink()
        base.mkdir()  # the fixture deletes it
    assert list(tmp_path.iterdir()) == []


def test_a_flag_is_raised_where_the_folder_was_deleted(scratch: Scratch) -> None:
    wave = scratch.wave(1)
    shutil.rmtree(scratch.path)
    wave.flag(wave.stop_flag)
    assert wave.stop_flag.exists()


def test_the_free_space_of_a_deleted_scratch_is_that_of_its_parent(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "gone" / "too") > 0


@pytest.mark.parametrize("text", ["", "$HOME/s", "~/"])
def test_the_place_is_expanded_or_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SWEEPER_SCRATCH", text)
    monkeypatch.setenv("HOME", "/proc/none")
    with pytest.raises(HostError, match=r"SWEEPER_SCRATCH|/proc/none"):
        Scratch.create("abcdef02")


@pytest.mark.parametrize("shared", [False, True])
def test_a_shared_scratch_of_a_machine_of_the_same_name_is_left_alone(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    monkeypatch.setattr(scratch_module, "is_on_network", lambda path: shared)
    (scratch.path / "owner").write_text(f"{replace(scratch.mark, boot='another')}\n")
    reap_dead_launches()
    assert scratch.path.exists() is shared


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
