"""What Ray can't start without is named before it starts, with the fix."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import SWEEP, Bench, orderly

from sweeper.engine.ray_logs import telling_line
from sweeper.engine.scratch import WaveScratch
from sweeper.engine.start_needs import (
    address_space_shortage,
    file_size_shortage,
    loopback_shortage,
    open_files_shortage,
    shared_memory_shortage,
)
from sweeper.units import MIB


def test_enough_of_everything_is_no_shortage() -> None:
    assert loopback_shortage(None) is None
    assert shared_memory_shortage(64 * MIB) is None
    assert file_size_shortage(None) is None
    assert file_size_shortage(100 * MIB) is None
    assert address_space_shortage(None) is None
    assert open_files_shortage(64, 1024, 192) is None


@pytest.mark.parametrize(
    ("shortage", "fix"),
    [
        (loopback_shortage("Network is unreachable"), "`ip link set lo up`"),
        (shared_memory_shortage(None), "--shm-size=512m"),
        (file_size_shortage(100 * 1024), "`ulimit -f unlimited`"),
        (address_space_shortage(1000 * MIB), "`ulimit -v unlimited`"),
        (open_files_shortage(64, 64, 8), "`sweep launch --cpus 2`"),
    ],
)
def test_a_shortage_names_its_fix(shortage: str, fix: str) -> None:
    assert fix in shortage


def test_a_launch_without_what_ray_needs_says_so_at_once(bench: Bench) -> None:
    bench.write("some", "trainer: sabotage\ngroup: some\n")
    result = subprocess.run(
        ["prlimit", f"--fsize={100 * 1024}", SWEEP, "launch", "some.yaml"],
        env=bench.env,
        cwd=bench.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2, orderly(result.stdout)
    assert "`ulimit -f unlimited`" in orderly(result.stderr)


def write_log(scratch: WaveScratch, name: str, text: str) -> None:
    file = scratch.ray / "session_latest" / "logs" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_line_that_names_the_error_is_taken_from_rays_logs(tmp_path: Path) -> None:
    scratch = WaveScratch(tmp_path)
    head = "[2026-11-25 23:08:11,880"
    write_log(
        scratch,
        "raylet.out",
        f"{head} I 1 2] (raylet) main.cc:711: Setting node ID\n"
        f"{head} C 1 2] (raylet) dlmalloc.cc:129: Check failed: fd_ >= 0 Read-only file system\n"
        "*** StackTrace Information ***\n/lib/libc.so.6(+0x891f5)\n\n",
    )
    scratch.log.write_text("the wave's own\n")
    assert telling_line(scratch) == "dlmalloc.cc:129: Check failed: fd_ >= 0 Read-only file system"


def test_without_an_error_the_last_line_of_the_wave_counts(tmp_path: Path) -> None:
    scratch = WaveScratch(tmp_path)
    write_log(scratch, "raylet.out", "[2026-11-25 23:08:11,880 I 1 2] (raylet) main.cc:1: well\n")
    scratch.log.write_text("importing\nstill importing\n\n")
    assert telling_line(scratch) == "still importing"
