"""When a launch will be done: an estimate, no promise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from sweeper.records.outcomes import SETTLED, Outcome
from sweeper.records.state import GroupState, Launch, RunState

__all__ = ["eta_range_s", "eta_s"]

# Below this a fraction says more about the start of a run than about its length.
LEAST_FRACTION = 0.02


def eta_s(
    state: GroupState, launches: Sequence[Launch], *, now: float, fractions: Mapping[str, float]
) -> float | None:
    """Seconds until `launches` have nothing left to do, or None without data to estimate from.

    A heuristic. Every run still to come is taken to last as long as the finished ones did on
    average (before any has finished: as the running ones will, by their `fractions`, which map run
    ids to [0, 1]). A running one lasts by its fraction, else for the rest of that average. The sum
    is spread evenly over the launches' slots, but nothing ends before the longest running one.
    Retries aren't foreseen.
    """
    elapsed: dict[str, float] = {}
    # Launches of early versions don't say how many runs they were to train.
    unsaid = [launch for launch in launches if launch.to_train is None]
    to_come = state.total - len(state.runs) if unsaid else 0
    to_come += sum(_not_begun(launch, state) for launch in launches)
    for run in state.runs.values():
        if run.running:
            starts = [a.started for a in run.attempts if a.running and a.started is not None]
            elapsed[run.id] = max(now - max(starts, default=now), 0.0)
        elif run.outcome not in SETTLED and any(_will_train(launch, run) for launch in unsaid):
            to_come += 1
    rests = {
        run_id: elapsed[run_id] * (1 - fraction) / fraction
        for run_id, fraction in fractions.items()
        if run_id in elapsed and fraction >= LEAST_FRACTION
    }
    walls = [
        run.wall_s
        for run in state.runs.values()
        if run.outcome is Outcome.FINISHED and run.wall_s is not None
    ]
    walls = walls or [elapsed[run_id] + rest for run_id, rest in rests.items()]
    if not to_come and not elapsed:
        return 0.0
    if not walls:
        return None
    typical = sum(walls) / len(walls)
    left = [rests.get(run_id, max(typical - spent, 0.0)) for run_id, spent in elapsed.items()]
    # A pack trains several runs on one slot.
    at_once = max(sum(launch.slots or 1 for launch in launches), len(elapsed), 1)
    rest = max((sum(left) + to_come * typical) / at_once, max(left, default=0.0))
    return rest if math.isfinite(rest) else None  # a damaged journal may hold any time


def eta_range_s(
    state: GroupState, launches: Sequence[Launch], eta: float | None
) -> tuple[float, float] | None:
    """The interval around an `eta_s` in which the end is to be expected; None where unknown.

    A heuristic: one standard deviation of the sum of what is to come to either side, with the error
    of the average that it was estimated from. It takes runs for independent of each other, so it is
    too narrow where the parameters decide how long a run takes. At least two runs must have
    finished.
    """
    walls = [
        run.wall_s
        for run in state.runs.values()
        if run.outcome is Outcome.FINISHED and run.wall_s is not None
    ]
    if eta is None or len(walls) < 2:
        return None
    at_once = max(sum(launch.slots or 1 for launch in launches), 1)
    spread, typical = statistics.stdev(walls), statistics.fmean(walls)
    number = eta * at_once / typical if typical > 0 else 0.0  # of runs that are left
    error = spread * math.sqrt(number + number**2 / len(walls)) / at_once
    return (max(eta - error, 0.0), eta + error) if math.isfinite(error) else None


def _not_begun(launch: Launch, state: GroupState) -> int:
    """How many of the runs that a launch was to train haven't started yet, as far as it says."""
    if launch.to_train is None:
        return 0
    begun = sum(
        any(a.writer == launch.writer and a.started is not None for a in run.attempts)
        for run in state.runs.values()
    )
    return max(launch.to_train - begun, 0)


def _will_train(launch: Launch, run: RunState) -> bool:
    """Whether the run is in the launch's part, and not behind it."""
    return launch.shard.holds(run.id) and all(a.writer != launch.writer for a in run.attempts)
