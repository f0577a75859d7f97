"""What a launch still has to do: jobs to come, ended attempts, retries."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sweeper.engine.bad_values import BadValues, HeldValues, values_of
from sweeper.engine.policy import Policy, failing_alike, is_starved, try_again
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["Job", "JobQueue", "WaveJobs"]


@dataclass(frozen=True)
class Job:
    """A run that waits for its next attempt.

    It may go on from a checkpoint of attempt `restore_since` or of a later one.
    """

    run: str
    attempt: int
    config: dict[str, Any]
    axis_values: Mapping[str, Any] = field(default_factory=dict)
    restore_since: int = 0


WaveJobs = Sequence[tuple[str, tuple[Job, ...]]]
"""The packs of one wave, each with its program."""


class JobQueue:
    """Hands out the jobs of each wave once, and takes back what has to be tried again.

    Retries come last. Runs that ran out of the host's memory are tried at half as many at once,
    then alone. Runs that were lost twice are tried alone too: if such a run kills its wave, no
    other run dies with it.

    Runs with values that fail alike (see `BadValues`) are held back: they come after all others, if
    a run with such a value has finished by then. `proven` are the axis values of runs that finished
    in earlier launches.
    """

    def __init__(
        self,
        waves: Iterable[WaveJobs],
        policy: Policy,
        slots: int,
        proven: Iterable[Mapping[str, Any]] = (),
    ) -> None:
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
        self._values = {run: values_of(job.axis_values) for run, (_, job) in self._jobs.items()}
        self._open = set(self._jobs)
        self._bad_values = BadValues(policy.hold_after, proven)
        self._held: set[str] = set()
        self._places = {run: place for place, run in enumerate(self._jobs)}
        self._ends: dict[str, list[tuple[Outcome, Cause | None]]] = {}
        self._last_ends: deque[tuple[str, Outcome, Cause | None]] = deque(maxlen=policy.brake_after)
        self._last_walls: deque[float] = deque(maxlen=policy.brake_after)
        self._finished = 0
        self._finished_at_loss: dict[str, int] = {}  # by run, when it was lost first
        self._sick: str | None = None

    def has_work(self) -> bool:
        """Whether any wave is still to come; what is held back isn't."""
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
        *,
        wall_s: float = 0.0,
        running: Mapping[str, float] | None = None,
    ) -> None:
        """An attempt ended after `wall_s`; decide whether there is another one.

        `running` maps the runs under way to the seconds since they began.
        """
        ends = self._ends.setdefault(run, [])
        ends.append((outcome, cause))
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
        else:
            self._open.discard(run)
        if not (again and is_starved(cause)):  # fewer at a time, it may have room
            self._suspect(run, (outcome, cause), wall_s, running or {})
        if not self._bad_values.is_first(self._values[run]):
            self._last_ends.append((run, outcome, cause))
            self._last_walls.append(wall_s)

    def _suspect(
        self,
        run: str,
        end: tuple[Outcome, Cause | None],
        wall_s: float,
        running: Mapping[str, float],
    ) -> None:
        """Look whether a value is to blame for how this run ended, and sort the line anew."""
        before = self._bad_values.held
        self._bad_values.note(
            run,
            self._values[run],
            end,
            wall_s,
            running=[(self._values[other], age_s) for other, age_s in running.items()],
            open_values=(self._values[other] for other in self._open),
        )
        if self._bad_values.held != before or self._is_bad(run):
            self._sort()
        # While nothing has finished, the brake counts the ends that the first value can't explain.
        left = [end for end in self._last_ends if not self._is_first(end[0])]
        if len(left) < len(self._last_ends):
            self._last_ends.clear()
            self._last_ends.extend(left)

    def _is_bad(self, run: str) -> bool:
        return self._bad_values.holds(self._values[run])

    def _is_first(self, run: str) -> bool:
        return self._bad_values.is_first(self._values[run])

    def _sort(self) -> None:
        """Put aside what is held back by now, and take up again what no longer is."""
        waves, self._to_come = self._to_come, deque()
        for packs, at_once in waves:
            kept = [(program, self._not_bad(jobs)) for program, jobs in packs]
            if any(jobs for _, jobs in kept):
                self._to_come.append(([pack for pack in kept if pack[1]], at_once))
        for again in self._again.values():
            again[:] = [(program, job) for program, job in again if self._not_bad((job,))]
        released = {run for run in self._held if not self._is_bad(run)}
        self._held -= released
        self.give_back(released, last=True)

    def _not_bad(self, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        bad = {job.run for job in jobs if self._is_bad(job.run)}
        self._held |= bad
        return tuple(job for job in jobs if job.run not in bad)

    def held_back(self, waiting: Collection[str]) -> set[str]:
        """Which of these runs a wave must give back."""
        return {run for run in waiting if self._is_bad(run)} if self._bad_values.held else set()

    def held(self) -> dict[HeldValues, int]:
        """The values that are held back, each with how many runs wait for their sake."""
        counts = dict.fromkeys(self._bad_values.held, 0)
        for run in self._open & self._held:
            counts[next(it for it in counts if it.values <= self._values[run])] += 1
        return counts

    def held_reason(self) -> str | None:
        """What was held back to the end, and why; None where nothing was."""
        parts = [
            f"{count} {'run' if count == 1 else 'runs'} with {held} held back: {held.why}"
            for held, count in self.held().items()
            if count
        ]
        if not parts:
            return None
        return (
            f"{'; '.join(parts)}. Fix the cause and launch again, or launch with `--no-brake` to "
            f"train them all the same"
        )

    def give_back(self, runs: Iterable[str], *, last: bool = False) -> None:
        """Runs of a wave that weren't started, in any order: they come next, or `last`."""
        placed = sorted(runs, key=self._places.__getitem__)
        self._held.update(run for run in placed if self._is_bad(run))
        left = [self._jobs[run] for run in placed if run not in self._held]
        if left:
            at_once = min(self._at_once.get(job.run, self._slots) for _, job in left)
            wave = [(program, (job,)) for program, job in left], at_once
            self._to_come.append(wave) if last else self._to_come.appendleft(wave)

    def sick_reason(self) -> str | None:
        """That a run was lost as often as it is tried while none finished: no run's own fault."""
        return self._sick if self._policy.pause_when_sick else None

    def brake_reason(self) -> str | None:
        """What the last ends have in common, if nothing has finished and all failed alike."""
        if self._finished or not self._policy.brake_after:
            return None
        ends = [(outcome, cause) for _, outcome, cause in self._last_ends]
        return failing_alike(ends, self._policy.brake_after)

    def longest_of_last_s(self) -> float:
        """How long the longest of those last ends took."""
        return max(self._last_walls, default=0.0)
