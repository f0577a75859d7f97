"""Who may read records: their user alone, or with `--shared` the user's group."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support import Bench

from sweeper.records import GroupFolder


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
