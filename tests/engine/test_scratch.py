"""What dead launches leave on a host is ended and removed, and nothing else is."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace

import pytest
from support import Bench

from sweeper.engine.scratch import Scratch, reap_dead_launches


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
