"""What the supervisor knows about a running wave."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sweeper.engine.backend import Usage, WaveProcess
from sweeper.engine.policy import Drain, Running
from sweeper.engine.protocol import Grant, Limit
from sweeper.host.cpus import Slot
from sweeper.records.events import WaveEnded

__all__ = ["ActiveWave"]


@dataclass
class ActiveWave:
    """Runs, slots and times of one wave; `now` is always the supervisor's clock in seconds."""

    number: int
    process: WaveProcess
    waiting: set[str]
    """Runs that were handed over and not started yet."""
    logs: Mapping[str, Path]
    """The log of each of its runs."""
    at_once: int
    """How many of its runs may be running at the same time."""
    born: float
    running: dict[str, Running] = field(default_factory=dict)
    granted: set[int] = field(default_factory=set)
    startup_s: float | None = None
    shutdown_s: float | None = None
    last_end: float | None = None
    failure: str | None = None
    stopping: bool = False
    scratch_peak: int = 0
    limit_sent: int | None = None
    withheld: set[str] = field(default_factory=set)
    ends: int = 0
    ends_wall_s: float = 0.0
    usage: dict[str, Usage] = field(default_factory=dict)
    """What each running run had used when it was last looked at."""

    @property
    def ready(self) -> bool:
        return self.startup_s is not None

    def grant(self, slot: Slot) -> None:
        """Let the wave use a slot."""
        self.granted.add(slot.index)
        self.process.send(Grant(slot.index, slot.cpus))

    def limit(self, slots: int) -> None:
        """Have the wave give slots back, as runs end, until it holds at most so many."""
        if slots != self.limit_sent:
            self.limit_sent = slots
            self.process.send(Limit(slots))

    def stop(self) -> None:
        """Start nothing more; ask what runs to end at its next step."""
        if not self.stopping:
            self.stopping = True
            self._ask(self.process.stop)

    def drain(self) -> None:
        """Start nothing more; let what runs end by itself."""
        self._ask(self.process.drain)

    def withhold(self, runs: set[str]) -> None:
        """Have the wave give back those of these runs that still wait in it."""
        if not runs <= self.withheld:
            self.withheld |= runs
            with contextlib.suppress(OSError):  # a full disk: then it trains them
                self.process.withhold(self.withheld)

    def _ask(self, ask: Callable[[], None]) -> None:
        try:
            ask()
        except OSError as error:  # a full disk, just when the sweep wants to stop
            self.give_up(f"can't ask the wave to stop: {error.filename}: {error.strerror}")

    def give_up(self, failure: str) -> None:
        """Kill the wave, once, for a reason to record."""
        if self.failure is None:
            self.failure = failure
            self.process.kill()

    def sample(self, run: str) -> None:
        """Note when a run began and what it has used, in case its process dies."""
        running = self.running[run]
        if running.began is None:
            self.running[run] = replace(running, began=self.process.status(run).began)
        used = self.process.usage(run)
        if used is not None:
            self.usage[run] = used

    def note_end(self, run: str, wall_s: float, now: float) -> None:
        """A run ended and reported its result after `wall_s` seconds."""
        self.running.pop(run, None)
        self.usage.pop(run, None)
        self.last_end = now
        self.ends += 1
        self.ends_wall_s += wall_s

    def drain_state(self) -> Drain:
        """The progress of the wave, for the decision on the next one."""
        run_s = self.ends_wall_s / self.ends if self.ends else None
        return Drain(len(self.waiting), run_s, self.startup_s or 0.0)

    def silent_s(self, now: float) -> float:
        """For how many seconds the wave has had nothing left to do but shut down."""
        busy = self.waiting or self.running or self.granted or self.last_end is None
        return 0.0 if busy or self.last_end is None else now - self.last_end

    def measure_scratch(self) -> int:
        """Disk space of the wave's scratch now; remembers the peak."""
        size = self.process.scratch_bytes()
        self.scratch_peak = max(self.scratch_peak, size)
        return size

    def ended(self, reason: str, processes_reaped: int, now: float) -> WaveEnded:
        """The journal's event of its end: seconds before, in and after training; disk space."""
        training = (self.last_end or now) - self.born - (self.startup_s or 0.0)
        return WaveEnded(
            wave=self.number,
            reason=reason,
            processes_reaped=processes_reaped,
            startup_s=_rounded(self.startup_s),
            training_s=_rounded(training),
            shutdown_s=_rounded(self.shutdown_s),
            scratch_peak_bytes=self.scratch_peak,
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
