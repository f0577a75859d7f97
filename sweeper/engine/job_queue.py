"""What a launch still has to do: jobs to come, ended attempts, retries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeper.engine.policy import Policy, failing_alike, is_starved, try_again
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["Job", "JobQueue", "WaveJobs"]


@dataclass(frozen=True)
class Job:
    """A run that waits for its next attempt."""

    run: str
    attempt: int
    config: dict[str, Any]


WaveJobs = Sequence[tuple[str, tuple[Job, ...]]]
"""The packs of one wave, each with its program."""


class JobQueue:
    """Hands out the jobs of each wave once, and takes back what has to be tried again.

    Retries come last. Runs that ran out of the host's memory are tried at half as many at once,
    then alone. Runs that were lost twice are tried alone too: if such a run kills its wave, no
    other run dies with it.
    """

    def __init__(self, waves: Iterable[WaveJobs], policy: Policy, slots: int) -> None:
        self._policy = policy
        self._slots = slots
        self._to_come = deque((wave, slots) for wave in waves)
        # Retries by how many of them may run at once, in this order.
        self._again: dict[int, list[tuple[str, Job]]] = {slots: [], max(1, slots // 2): [], 1: []}
        self._at_once: dict[str, int] = {}
        self._jobs = {
            job.run: (program, job)
            for wave, _ in self._to_come
            for program, jobs in wave
            for job in jobs
        }
        self._places = {run: place for place, run in enumerate(self._jobs)}
        self._ends: dict[str, list[tuple[Outcome, Cause | None]]] = {}
        self._last_ends: deque[tuple[Outcome, Cause | None]] = deque(maxlen=policy.brake_after)
        self._last_walls: deque[float] = deque(maxlen=policy.brake_after)
        self._finished = 0
        self._finished_at_loss: dict[str, int] = {}  # by run, when it was lost first
        self._sick: str | None = None

    def has_work(self) -> bool:
        """Whether any wave is still to come."""
        return bool(self._to_come or any(self._again.values()))

    def has_planned_work(self) -> bool:
        """Whether a planned wave is still to come, retries aside."""
        return bool(self._to_come)

    def program(self, run: str) -> str:
        return self._jobs[run][0]

    def next_wave(self) -> tuple[WaveJobs, int]:
        """The next wave's packs, and how many of them may run at once."""
        if self._to_come:
            return self._to_come.popleft()
        at_once = next(number for number, jobs in self._again.items() if jobs)
        again, self._again[at_once] = self._again[at_once], []
        return [(program, (job,)) for program, job in again], at_once

    def _limit(self, ends: Sequence[tuple[Outcome, Cause | None]]) -> int:
        """How many such runs may be tried again at once."""
        outcome, cause = ends[-1]
        if is_starved(cause):
            deaths = sum(is_starved(past) for _, past in ends)
            return max(1, self._slots // 2) if deaths == 1 else 1
        losses = sum(past is Outcome.LOST for past, _ in ends)
        return 1 if outcome is Outcome.LOST and losses > 1 else self._slots

    def settle(
        self,
        run: str,
        attempt: int,
        outcome: Outcome,
        cause: Cause | None,
        wall_s: float = 0.0,
    ) -> None:
        """An attempt ended; decide whether there is another one."""
        ends = self._ends.setdefault(run, [])
        ends.append((outcome, cause))
        self._last_ends.append((outcome, cause))
        self._last_walls.append(wall_s)
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
            self._at_once[run] = at_once = self._limit(ends)
            self._again[at_once].append((program, job))

    def give_back(self, runs: Iterable[str]) -> None:
        """Runs of a wave that ended before they were started, in any order."""
        left = [self._jobs[run] for run in sorted(runs, key=self._places.__getitem__)]
        if left:
            at_once = min(self._at_once.get(job.run, self._slots) for _, job in left)
            self._to_come.appendleft(([(program, (job,)) for program, job in left], at_once))

    def sick_reason(self) -> str | None:
        """That a run was lost as often as it is tried while none finished: no run's own fault."""
        return self._sick if self._policy.pause_when_sick else None

    def brake_reason(self) -> str | None:
        """What the last ends have in common, if nothing has finished and all failed alike."""
        if self._finished or not self._policy.brake_after:
            return None
        return failing_alike(list(self._last_ends), self._policy.brake_after)

    def longest_of_last_s(self) -> float:
        """How long the longest of those last ends took."""
        return max(self._last_walls, default=0.0)
