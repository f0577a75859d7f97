"""What a launch still has to do: jobs to come, attempts that ended, what is tried again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeper.engine.decide import Policy, failing_alike, is_starved, try_again
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["Job", "Ledger", "WaveJobs"]


@dataclass(frozen=True)
class Job:
    """A run that waits for its next attempt."""

    run: str
    attempt: int
    config: dict[str, Any]


WaveJobs = Sequence[tuple[str, tuple[Job, ...]]]
"""The packs of one wave, each with its program."""


class Ledger:
    """Hands out the jobs of each wave once, and takes back what has to be tried again.

    Runs that ran out of the host's memory are tried again last: at half as many at once, then
    alone.
    """

    def __init__(self, waves: Iterable[WaveJobs], policy: Policy, slots: int) -> None:
        self._policy = policy
        self._slots = slots
        self._to_come = deque(waves)
        self._again: list[tuple[str, Job]] = []
        self._starved: list[tuple[str, Job]] = []
        self._jobs = {
            job.run: (program, job)
            for wave in self._to_come
            for program, jobs in wave
            for job in jobs
        }
        self._ends: dict[str, list[tuple[Outcome, Cause | None]]] = {}
        self._last_ends: deque[tuple[Outcome, Cause | None]] = deque(maxlen=policy.brake_after)
        self._finished = 0
        self._finished_at_loss: dict[str, int] = {}  # by run, when it was lost first
        self._sick: str | None = None

    def has_work(self) -> bool:
        """Whether any wave is still to come."""
        return bool(self._to_come or self._again or self._starved)

    def has_planned_work(self) -> bool:
        """Whether a planned wave is still to come, retries aside."""
        return bool(self._to_come)

    def program(self, run: str) -> str:
        return self._jobs[run][0]

    def next_wave(self) -> tuple[WaveJobs, int]:
        """The next wave's packs, and how many of them may run at once."""
        if self._to_come:
            return self._to_come.popleft(), self._slots
        if self._again:
            again, self._again = self._again, []
            return [(program, (job,)) for program, job in again], self._slots
        starved, self._starved = self._starved, []
        tries = max(self._memory_deaths(job.run) for _, job in starved)
        at_once = max(1, self._slots // 2) if tries == 1 else 1
        return [(program, (job,)) for program, job in starved], at_once

    def _memory_deaths(self, run: str) -> int:
        return sum(is_starved(cause) for _, cause in self._ends.get(run, []))

    def settle(self, run: str, attempt: int, outcome: Outcome, cause: Cause | None) -> None:
        """An attempt ended; decide whether there is another one."""
        ends = self._ends.setdefault(run, [])
        ends.append((outcome, cause))
        self._last_ends.append((outcome, cause))
        self._finished += outcome is Outcome.FINISHED
        again = try_again(ends, self._policy)
        if outcome is Outcome.LOST:
            before = self._finished_at_loss.setdefault(run, self._finished)
            if not again and before == self._finished:
                why = f": {cause.headline()}" if cause else ""
                self._sick = f"run {run} was lost {len(ends)} times while none finished{why}"
        if again:
            program, job = self._jobs[run]
            job = replace(job, attempt=attempt + 1)
            self._jobs[run] = (program, job)
            (self._starved if is_starved(cause) else self._again).append((program, job))

    def give_back(self, runs: Iterable[str]) -> None:
        """Runs of a wave that ended before they were started."""
        self._again.extend(self._jobs[run] for run in runs)

    def brake_reason(self) -> str | None:
        """What the last ends have in common, if nothing has finished and all failed alike.

        Or that a run was lost as often as it is tried while none finished: no run's own fault.
        """
        if not self._policy.brake_after:
            return None
        if self._sick or self._finished:
            return self._sick
        return failing_alike(list(self._last_ends), self._policy.brake_after)
