"""The supervisor's decisions, pure: what to start, what to kill, what to try again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweeper.diagnosis.failure_groups import likeness
from sweeper.records.outcomes import Cause, CauseKind, Outcome

__all__ = [
    "Drain",
    "Policy",
    "Running",
    "end_is_late",
    "failing_alike",
    "is_starved",
    "next_wave_is_due",
    "overstayed",
    "start_is_late",
    "start_limit_s",
    "try_again",
]

# A lost run is retried by itself this often; then the host, not the run, needs a look.
LOST_RETRIES = 2
# A run that the host's memory was too small for: once at half as many at a time, then alone.
STARVED_RETRIES = 2
# This many runs in a row that fail alike, before any has finished, have a common cause.
BRAKE_AFTER = 8
# A wave with two slots starts in some 6 s where its files are cached. Ray and JAX are tens of
# thousands of small files: read for the first time from a parallel file system, at milliseconds
# each, they take a minute or two however many slots there are. Workers that start at once share
# disk and CPUs, so each adds a second. A limit that is too short would keep a sweep from running;
# one that is too long only delays the end of a wave that is dead without a word.
START_LIMIT_S = 120.0
START_LIMIT_PER_SLOT_S = 1.0
LONGEST_START_LIMIT_S = 300.0
END_LIMIT_S = 60.0
# The other outcomes are data, or were asked for.
_FAILURES = {Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.LOST}


@dataclass(frozen=True)
class Policy:
    """What the sweep file's `resources` ask of the supervisor."""

    timeout_s: float | None = None
    retries: int = 0
    lost_retries: int = LOST_RETRIES
    starved_retries: int = STARVED_RETRIES
    brake_after: int = BRAKE_AFTER
    """Ends in a row with one cause, none finished, that pause the sweep; 0: never."""
    hold_after: int = BRAKE_AFTER
    """Ends with one cause that hold back a parameter value that all of them share; 0: never."""
    pause_when_sick: bool = True
    """Pause when a run is lost as often as it is tried while none finishes."""
    fresh_processes: bool = False
    """Give each pack a process of its own."""
    checkpoint_every_s: float | None = None
    """Shortest time between two checkpoints of a run; None: none are written or used."""
    overlap: bool = True
    """Start the next wave's Ray while the last one drains."""


@dataclass(frozen=True)
class Drain:
    """How far an active wave is: runs that wait, mean seconds of a run (None before the first has
    ended), and the seconds that its Ray took to start."""

    waiting: int
    run_s: float | None = None
    startup_s: float = 0.0


@dataclass(frozen=True)
class Running:
    """An attempt under way. `began` is when its start mark was seen, None before that."""

    run: str
    attempt: int
    slot: int
    dispatched: float
    began: float | None = None
    oom_kills: int = 0
    """The kernel's count of out-of-memory kills when it was dispatched."""


def try_again(ends: Sequence[tuple[Outcome, Cause | None]], policy: Policy) -> bool:
    """Whether a run whose attempts of this launch ended as `ends` gets another attempt."""
    outcome = ends[-1][0]
    same = sum(1 for past, _ in ends if past == outcome)
    match outcome:
        case Outcome.LOST:
            return same <= policy.lost_retries
        case Outcome.CRASHED if is_starved(ends[-1][1]):
            return same <= max(policy.starved_retries, policy.retries)
        case Outcome.CRASHED | Outcome.TIMED_OUT:
            return same <= policy.retries
        case _:
            return False


def is_starved(cause: Cause | None) -> bool:
    """Whether the host's memory, not the run's own limit, was the reason."""
    return cause is not None and cause.kind is CauseKind.OUT_OF_MEMORY and cause.type == "SIGKILL"


def failing_alike(ends: Sequence[tuple[Outcome, Cause | None]], number: int) -> str | None:
    """What the last `number` ends have in common if all of them failed alike, else None."""
    last = ends[-number:]
    if len(last) < number:
        return None
    outcome, cause = last[-1]
    if outcome not in _FAILURES or cause is None:
        return None
    if len({likeness(*end) for end in last}) != 1:
        return None
    where = f" at {cause.place}" if cause.place else ""
    return (
        f"the last {number} runs all ended as {outcome} and none has finished: "
        f"{cause.headline()}{where}"
    )


def overstayed(running: Mapping[str, Running], now: float, policy: Policy) -> dict[str, Cause]:
    """Runs whose time is up, with the cause to record."""
    limit = policy.timeout_s
    if limit is None:
        return {}
    cause = Cause(CauseKind.TIME_LIMIT, f"ran longer than its timeout of {limit:g} s")
    return {
        run.run: cause
        for run in running.values()
        if run.began is not None and now - run.began > limit
    }


def start_limit_s(slots: int) -> float:
    """How long Ray, and then each worker, may take to start on a host with so many slots."""
    return min(START_LIMIT_S + START_LIMIT_PER_SLOT_S * slots, LONGEST_START_LIMIT_S)


def start_is_late(
    ready: bool, age_s: float, running: Mapping[str, Running], now: float, slots: int
) -> str | None:
    """Why a wave must be given up: Ray or a worker of it hasn't started in time."""
    limit = start_limit_s(slots)
    if not ready and age_s > limit:
        return f"Ray hadn't started after {limit:g} s"
    for run in running.values():
        if run.began is None and now - run.dispatched > limit:
            return f"the worker of run {run.run} hadn't started after {limit:g} s"
    return None


def end_is_late(silent_s: float) -> str | None:
    """Why a wave that has had nothing to do for `silent_s` must be given up."""
    if silent_s > END_LIMIT_S:
        return f"Ray hadn't shut down {END_LIMIT_S:g} s after the last run"
    return None


def next_wave_is_due(active: Sequence[Drain], slots: int) -> bool:
    """Whether to start the next wave's Ray now.

    Due when nothing is active, or when the only active wave has no more than one round of runs
    waiting, or than it will have started by the time that Ray takes to start: then the start-up
    hides behind the last runs. Never more than two Rays at once.
    """
    match active:
        case []:
            return True
        case [wave]:
            started_meanwhile = wave.startup_s * slots / wave.run_s if wave.run_s else 0.0
            return wave.waiting <= max(slots, started_meanwhile)
        case _:
            return False
