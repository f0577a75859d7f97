"""The supervisor's side of one wave: its process, pipes, scratch and end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sweeper.engine.policy import Drain, Running
from sweeper.engine.protocol import LineReader, WaveSpec, send
from sweeper.engine.scratch import WaveScratch
from sweeper.engine.status_table import RunStatus, StatusTable
from sweeper.host.cpus import Slot
from sweeper.host.facts import folder_size
from sweeper.host.processes import (
    ProcessMark,
    kill_all,
    marked_processes,
    usage_of,
)

__all__ = ["WaveProcess"]

_LOG_TAIL = 600
_EXIT_WAIT_S = 5.0
_STACK_WAIT_S = 0.3


@dataclass
class WaveProcess:
    """One wave child as its supervisor sees it."""

    number: int
    mark: ProcessMark
    scratch: WaveScratch
    process: subprocess.Popen[bytes]
    events: LineReader
    waiting: set[str]
    """Runs that were handed over and not started yet."""
    rows: Mapping[str, int]
    """The row of each run in the status table."""
    status_table: StatusTable
    at_once: int
    """How many of its runs may be running at the same time."""
    running: dict[str, Running] = field(default_factory=dict)
    granted: set[int] = field(default_factory=set)
    born: float = field(default_factory=time.monotonic)
    startup_s: float | None = None
    shutdown_s: float | None = None
    last_end: float | None = None
    failure: str | None = None
    scratch_peak: int = 0
    limit_told: int | None = None
    ends: int = 0
    ends_wall_s: float = 0.0
    usage: dict[str, dict[str, float]] = field(default_factory=dict)
    """What each running run had used when it was looked at last."""

    @classmethod
    def start(
        cls,
        number: int,
        mark: ProcessMark,
        scratch: WaveScratch,
        *,
        spec: WaveSpec,
        env: Mapping[str, str],
        at_once: int,
    ) -> WaveProcess:
        """Start the wave child in a session of its own."""
        spec_file = scratch.path / "spec.json"
        spec.write(spec_file)
        rows = {attempt.run: attempt.row for _, attempts in spec.packs for attempt in attempts}
        table = StatusTable.create(scratch.status_table, len(rows))
        ours, theirs = os.pipe()
        with scratch.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sweeper.engine.ray_wave", str(spec_file), str(theirs)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                pass_fds=[theirs],
                start_new_session=True,
            )
        os.close(theirs)
        return cls(
            number, mark, scratch, process, LineReader(ours), set(rows), rows, table, at_once
        )

    @property
    def ready(self) -> bool:
        return self.startup_s is not None

    def grant(self, slot: Slot) -> None:
        """Let the wave use a slot."""
        self.granted.add(slot.index)
        self._say({"do": "grant", "slot": slot.index, "cpus": list(slot.cpus)})

    def limit(self, slots: int) -> None:
        """Have the wave give slots back, as runs end, until it holds at most so many."""
        if slots != self.limit_told:
            self.limit_told = slots
            self._say({"do": "limit", "slots": slots})

    def stop(self) -> None:
        """Start nothing more; ask what runs to end at its next step."""
        self._set(self.scratch.stop_flag)

    def drain(self) -> None:
        """Start nothing more; let what runs end by itself."""
        self._set(self.scratch.drain_flag)

    def _set(self, flag: Path) -> None:
        try:
            flag.touch()
        except OSError as error:  # a full disk, just when the sweep wants to stop
            self.failure = f"can't ask the wave to stop: {error.strerror}"
            self.process.kill()

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        # A broken pipe: it died, and the end of its event stream tells the rest.
        with contextlib.suppress(BrokenPipeError):
            send(self.process.stdin.fileno(), message)

    def read(self) -> list[dict[str, Any]]:
        """Messages that have arrived."""
        return list(self.events.read())

    def measure_scratch(self) -> int:
        """Disk space of the wave's scratch now; remembers the peak."""
        now, _ = folder_size(self.scratch.path)
        self.scratch_peak = max(self.scratch_peak, now)
        return now

    def noted(self, run: str) -> RunStatus:
        """What `run` has noted in the status table so far."""
        return self.status_table.read(self.rows[run])

    def sample(self, run: str) -> None:
        """Note what a run has used so far, for the case that it can't tell at its end."""
        row = self.noted(run)
        used = None if row.pid is None else usage_of(row.pid)
        if used is not None:
            cpu_s, peak = used
            cpu_s = round(max(0.0, cpu_s - row.cpu_before_s), 4)
            self.usage[run] = {"cpu_s": cpu_s, "rss_peak_bytes": peak}

    def kill_workers(self, runs: Collection[str]) -> set[str]:
        """Let the workers of `runs` write their stacks, then kill them; the runs so ended.

        A run that is over anyway is left out: each process is halted before the last look, so that
        it can't begin another run meanwhile.
        """
        ours = {process.pid for process in marked_processes(self._is_ours)} if runs else set()
        pids = {run: pid for run in runs if (pid := self.noted(run).pid) in ours and pid}
        for run, pid in pids.items():
            self.sample(run)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
        if pids:
            time.sleep(_STACK_WAIT_S)
        ended = set()
        for run, pid in pids.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                over = self.noted(run).ended
                os.kill(pid, signal.SIGCONT if over else signal.SIGKILL)
                ended |= set() if over else {run}
        return ended

    def _is_ours(self, mark: ProcessMark) -> bool:
        return mark == self.mark

    def _descendants(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        if self.process.returncode is None:  # else its pid may be somebody else's by now
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(self.process.pid)
                found |= {p.pid: p for p in [child, *child.children(recursive=True)]}
        found |= {process.pid: process for process in marked_processes(self._is_ours)}
        return list(found.values())

    def log_tail(self) -> str:
        """The end of what the wave child wrote, on one line."""
        try:
            return " ".join(self.scratch.log.read_text(errors="replace")[-_LOG_TAIL:].split())
        except OSError:
            return ""

    def exit_status(self) -> int | None:
        """How the wave child ended, once its event stream has; None if it won't."""
        try:
            return self.process.wait(timeout=_EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            return None

    def kill_processes(self) -> int:
        """SIGKILL everything of the wave; returns how many there were."""
        killed, _ = kill_all(self._descendants)
        return killed

    def note_end(self, wall_s: float) -> None:
        """A run of the wave ended after so many seconds."""
        self.last_end = time.monotonic()
        self.ends += 1
        self.ends_wall_s += wall_s

    def drain_state(self) -> Drain:
        """How far the wave is, for the decision on the next one."""
        run_s = self.ends_wall_s / self.ends if self.ends else None
        return Drain(len(self.waiting), run_s, self.startup_s or 0.0)

    def silent_s(self, now: float) -> float:
        """How long the wave has had nothing left to do but to shut down."""
        busy = self.waiting or self.running or self.granted or self.last_end is None
        return 0.0 if busy or self.last_end is None else now - self.last_end

    def costs(self) -> dict[str, Any]:
        """What the wave took, for the journal: seconds before, in and after training; disk."""
        training = (self.last_end or time.monotonic()) - self.born - (self.startup_s or 0.0)
        return {
            "wave": self.number,
            "startup_s": _rounded(self.startup_s),
            "training_s": _rounded(training),
            "shutdown_s": _rounded(self.shutdown_s),
            "scratch_peak_bytes": self.scratch_peak,
        }

    def reap(self) -> int:
        """End every process of the wave and delete its scratch; returns how many were killed."""
        self.measure_scratch()
        killed = self.kill_processes()
        self.process.wait()
        os.close(self.events.descriptor)
        self.status_table.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        shutil.rmtree(self.scratch.path, ignore_errors=True)
        return killed


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
