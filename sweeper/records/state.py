"""The state of a group, as `sweeper.records.fold` reads it out of the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sweeper.host.identity import ProcessIdentity
from sweeper.records.outcomes import Cause, Outcome
from sweeper.records.shards import WHOLE, Shard

__all__ = [
    "ALL_RUNS",
    "STANDINGS",
    "WORTH_RETRYING",
    "Attempt",
    "Chosen",
    "CodeChange",
    "GroupState",
    "Launch",
    "RunState",
    "Wave",
]

RUNNING, INTERRUPTED, WAITING = "running", "interrupted", "waiting"

EVALUATE = "evaluate"  # the purpose of a launch that trains nothing

# Standings after which another attempt may end otherwise: who diverged would do so again, and what
# is invalid never starts.
WORTH_RETRYING = frozenset(
    {
        *(str(it) for it in (Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.LOST, Outcome.STOPPED)),
        INTERRUPTED,
    }
)

# What a run can be counted under, in the order of summaries: its outcome, or one of three others.
STANDINGS = (*(str(outcome) for outcome in Outcome), INTERRUPTED, RUNNING, WAITING)


@dataclass(frozen=True)
class Attempt:
    """One execution of a run, identified by (run, writer, number)."""

    number: int
    writer: str
    wave: int | None = None
    slot: int | None = None
    started: float | None = None  # unix time
    ended: float | None = None
    outcome: Outcome | None = None
    cause: Cause | None = None
    last_step: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    rss_peak_bytes: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    running: bool = False  # started, not ended, and its launch has not ended
    again: bool = False  # of a launch that trains runs again whatever their outcome
    sources: tuple[str, ...] = ()  # digest of the code that trained it; several: one of these
    restored_step: int | None = None  # of the checkpoint that it went on from, once it has ended


@dataclass(frozen=True)
class RunState:
    """What is known of one run; `attempts` are in the order of their starts."""

    id: str
    axis_values: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)  # all other parameters, as planned with
    attempts: tuple[Attempt, ...] = ()
    deciding: Attempt | None = None  # the attempt whose outcome is the run's
    evaluated: Mapping[str, float] = field(default_factory=dict)  # metrics of later evaluations
    name: str | None = None  # what its sweep file calls it
    note: str | None = None  # a user's

    @property
    def outcome(self) -> Outcome | None:
        return self.deciding.outcome if self.deciding else None

    @property
    def cause(self) -> Cause | None:
        return self.deciding.cause if self.deciding else None

    @property
    def last_step(self) -> int | None:
        return self.deciding.last_step if self.deciding else None

    @property
    def wall_s(self) -> float | None:
        return self.deciding.wall_s if self.deciding else None

    @property
    def metrics(self) -> Mapping[str, float]:
        """The final metrics of the deciding attempt, and those of evaluations after it.

        Empty for a run that has not ended.
        """
        return {**self.deciding.metrics, **self.evaluated} if self.deciding else {}

    @property
    def running(self) -> bool:
        finished = self.outcome is Outcome.FINISHED
        return any(a.running and (a.again or not finished) for a in self.attempts)

    @property
    def interrupted(self) -> bool:
        """Whether the last attempt neither runs nor has an end: its launch is over."""
        last = self.attempts[-1] if self.attempts else None
        open_end = last is not None and last.outcome is None
        # What was invalid is tried again once its check passes; these two only if somebody says so.
        settled = self.outcome in (Outcome.FINISHED, Outcome.DIVERGED)
        for_good = settled and last is not None and not last.again
        return open_end and not self.running and not for_good

    @property
    def standing(self) -> str:
        """One of `STANDINGS`: what the run is counted under."""
        if self.running:
            return RUNNING
        if self.interrupted:
            return INTERRUPTED
        return str(self.outcome) if self.outcome else WAITING


@dataclass(frozen=True)
class CodeChange:
    """The trainer's files changed while a launch ran; see the journal's `SourcesChanged`."""

    sources: str
    files: tuple[str, ...]
    unchanged_until: float  # unix time


@dataclass(frozen=True)
class Launch:
    """One `sweep launch`; `ended` stays None for a launch that was killed."""

    id: str
    writer: str
    started: float
    process: ProcessIdentity = field(default_factory=ProcessIdentity)
    job: str | None = None
    shard: Shard = WHOLE
    claim: int | None = None  # the number of the file that claims it; None before there were such
    cpus: int | None = None
    slots: int | None = None
    version: str | None = None
    purpose: str = "train"  # train, retry or evaluate
    total: int | None = None
    to_train: int | None = None  # runs that it was to train at its start
    trainer: str | None = None
    sweep_sha: str | None = None
    sources: str | None = None  # digest of the trainer's files at its start
    code_changes: tuple[CodeChange, ...] = ()  # while it ran
    resources: Mapping[str, Any] = field(default_factory=dict)  # as the journal has them, unchecked
    renamed: Mapping[str, str] = field(default_factory=dict)  # new keys of parameters by old ones
    ended: float | None = None
    reason: str | None = None
    message: str | None = None  # what it said at its end

    @property
    def host(self) -> str | None:
        return self.process.host

    @property
    def pid(self) -> int | None:
        return self.process.pid


@dataclass(frozen=True)
class Wave:
    """One Ray session of a launch."""

    number: int
    writer: str
    runs: int | None = None
    slots: int | None = None
    started: float | None = None
    ended: float | None = None
    startup_s: float | None = None
    training_s: float | None = None
    shutdown_s: float | None = None
    scratch_peak_bytes: int | None = None
    processes_reaped: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class GroupState:
    """Everything the journal says. `runs` are in the order in which they were last planned.

    `earlier` names those of them that the sweep no longer had when it was last launched: its file,
    or a default behind it, has changed since. `total` counts them too; `as_planned` does not.
    """

    total: int = 0
    runs: Mapping[str, RunState] = field(default_factory=dict)
    earlier: frozenset[str] = frozenset()
    launches: tuple[Launch, ...] = ()
    waves: tuple[Wave, ...] = ()
    headline: str | None = None
    maximise: bool = False  # whether the largest headline is the best, not the smallest
    units: Mapping[str, str] = field(default_factory=dict)  # of metrics, by name or pattern
    last_time: float | None = None  # of the last event
    note: str | None = None  # a user's, on the group

    @property
    def renamed(self) -> Mapping[str, str]:
        """The new keys of renamed parameters; the runs have them already, their files don't."""
        return self.launches[-1].renamed if self.launches else {}

    @property
    def last_training(self) -> Launch | None:
        """The last launch that trained, or was to train; None before the first."""
        launches = (item for item in reversed(self.launches) if item.purpose != EVALUATE)
        return next(launches, None)

    def as_planned(self) -> GroupState:
        """The sweep as it was last launched: without the runs that only earlier files had."""
        if not self.earlier:
            return self
        runs = {run_id: run for run_id, run in self.runs.items() if run_id not in self.earlier}
        last = self.last_training
        total = max(len(runs), (last.total or 0) if last else 0)
        return replace(self, total=total, runs=runs, earlier=frozenset())

    def counts(self) -> dict[str, int]:
        """Runs by standing, zeroes included; they add up to `total`."""
        counts = dict.fromkeys(STANDINGS, 0)
        for run in self.runs.values():
            counts[run.standing] += 1
        counts[WAITING] += self.total - len(self.runs)
        return counts

    def without_writers(self, dead: Collection[str]) -> GroupState:
        """The state once it is known that the launches of these writers are dead."""
        if not dead:
            return self
        runs = {
            run_id: replace(run, attempts=tuple(_stopped(a, dead) for a in run.attempts))
            if run.running
            else run
            for run_id, run in self.runs.items()
        }
        return replace(self, runs=runs)


@dataclass(frozen=True)
class Chosen:
    """The runs that an answer is about: `where` and `limit` as they were given.

    `of` makes the state that has only these runs; None, that of all.
    """

    where: tuple[str, ...] = ()
    limit: int | None = None
    of: Callable[[GroupState], GroupState] | None = None

    def part(self, state: GroupState) -> GroupState:
        """The state with these runs only."""
        return state if self.of is None else self.of(state)

    def plain(self, state: GroupState) -> dict[str, Any]:
        """What answers say: `chosen_of` is how many runs there are to choose from, or None."""
        of = None if self.of is None else state.total
        return {"chosen_of": of, "where": list(self.where), "limit": self.limit}


ALL_RUNS = Chosen()


def _stopped(attempt: Attempt, dead: Collection[str]) -> Attempt:
    return replace(attempt, running=False) if attempt.writer in dead else attempt
