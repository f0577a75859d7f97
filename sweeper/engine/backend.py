"""What the supervisor needs of a wave, whatever executes it.

`wave_process.RayBackend` starts Ray in child processes; `scripted_backend.ScriptedBackend` plays a
script under a simulated clock, for tests and for the simulation of schedules.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sweeper.engine.protocol import Command, Message, WaveSpec
from sweeper.engine.status_table import RunStatus

__all__ = ["Backend", "Usage", "WaveProcess"]


@dataclass(frozen=True)
class Usage:
    """Processor seconds of a run so far, and the largest resident set of its process in bytes."""

    cpu_s: float
    rss_peak_bytes: int


class WaveProcess(Protocol):
    """One wave, as its supervisor sees it."""

    @property
    def closed(self) -> bool:
        """Whether its stream of messages has ended, and so its process."""

    def send(self, command: Command) -> None:
        """Give it a command; does nothing if it is gone."""

    def read(self) -> Sequence[Message]:
        """Messages that have arrived."""

    def stop(self) -> None:
        """Start nothing more; ask what runs to end at its next step. Raises OSError."""

    def drain(self) -> None:
        """Start nothing more; let what runs end by itself. Raises OSError."""

    def withhold(self, runs: Collection[str]) -> None:
        """Give back those of these runs that haven't been started. Raises OSError."""

    def status(self, run: str) -> RunStatus:
        """What a run has noted so far."""

    def usage(self, run: str) -> Usage | None:
        """What a run has used so far; None before it began and once its process is gone."""

    def stack_file(self, pid: int) -> Path:
        """What a worker wrote of its stack when it died, or when it was asked to."""

    def kill_runs(self, runs: Collection[str]) -> set[str]:
        """Kill the workers of `runs`; returns the runs that this ended, not those over anyway."""

    def kill(self) -> int:
        """Kill every process of the wave; returns how many there were."""

    def exit_status(self) -> int | None:
        """How the wave ended, once it is closed; None if its process won't go."""

    def log_tail(self) -> str:
        """The line of its logs that tells most of why it died or hangs; empty without one."""

    def scratch_bytes(self) -> int:
        """Disk space of its temporary files now."""

    def remove(self) -> int:
        """Kill what is left of it and delete its files; returns how many processes there were."""


class Backend(Protocol):
    """Starts waves and waits for their messages."""

    def start(self, number: int, spec: WaveSpec) -> WaveProcess:
        """Start wave `number`. Raises OSError when the disk is too full for its files."""

    def wait(self, timeout_s: float) -> Sequence[WaveProcess]:
        """Wait until waves have something to read, at most so long; returns those waves."""

    def kill_strays(self) -> int:
        """Kill what runs have left behind outside of any wave; returns how many there were.

        Called only while no wave is active.
        """

    def close(self) -> None:
        """Called once, when nothing is left to do."""
