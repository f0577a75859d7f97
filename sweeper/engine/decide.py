"""The supervisor's decisions, pure: what to start, what to kill, what to try again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweeper.records.outcomes import Cause, CauseKind, Outcome

__all__ = [
    "Policy",
    "Running",
    "next_wave_is_due",
    "overstayed",
    "start_is_late",
    "try_again",
]

# A lost run is retried by itself this often; then the host, not the run, needs a look.
LOST_RETRIES = 2
# On a host with 192 slots that all start at once, and on a slow file system, starts take minutes.
START_LIMIT_S = 300.0


@dataclass(frozen=True)
class Policy:
    """What the sweep file's `resources` ask of the supervisor."""

    timeout_s: float | None = None
    retries: int = 0
    lost_retries: int = LOST_RETRIES


@dataclass(frozen=True)
class Running:
    """An attempt under way. `began` is when its start mark was seen, None before that."""

    run: str
    attempt: int
    slot: int
    dispatched: float
    began: float | None = None


def try_again(ends: Sequence[tuple[Outcome, Cause | None]], policy: Policy) -> bool:
    """Whether a run whose attempts of this launch ended as `ends` gets another attempt."""
    outcome = ends[-1][0]
    same = sum(1 for past, _ in ends if past == outcome)
    match outcome:
        case Outcome.LOST:
            return same <= policy.lost_retries
        case Outcome.CRASHED | Outcome.TIMED_OUT:
            return same <= policy.retries
        case _:
            return False


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


def start_is_late(
    ready: bool, age_s: float, running: Mapping[str, Running], now: float
) -> str | None:
    """Why a wave must be given up: Ray or a worker of it hasn't started in time."""
    if not ready and age_s > START_LIMIT_S:
        return f"Ray hadn't started after {START_LIMIT_S:g} s"
    for run in running.values():
        if run.began is None and now - run.dispatched > START_LIMIT_S:
            return f"the worker of run {run.run} hadn't started after {START_LIMIT_S:g} s"
    return None


def next_wave_is_due(active: Sequence[tuple[int, int]], slots: int) -> bool:
    """Whether to start the next wave's Ray now, given (waiting, running) of each active wave.

    Due when nothing is active, or when the only active wave has no more than one round of runs
    waiting: then the start-up hides behind the last runs. Never more than two Rays at once.
    """
    match active:
        case []:
            return True
        case [(waiting, _)]:
            return waiting <= slots
        case _:
            return False
