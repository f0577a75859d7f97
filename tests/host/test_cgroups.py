"""Kills for want of memory are counted where our own processes are, not on the whole host."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.host.cgroups import oom_kills


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"job/memory.events": "oom 5\noom_kill 3\noom_group_kill 0\n"}, 3),
        ({"memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}, 2),
        ({"memory.events": "oom_kill 4\n"}, 4),  # a container's own root
        ({}, 7),  # nobody but the host counts
    ],
)
def test_kills_are_counted_in_our_own_cgroup(
    tmp_path: Path, files: dict[str, str], count: int
) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroups"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("4:memory:/job\n0::/job\n")
    (proc / "vmstat").write_text("pgfault 9\noom_kill 7\n")
    for name, text in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    assert oom_kills(proc, cgroups) == count
