"""What still has to be trained, in which order and together with what."""

from sweeper.plan.describe import describe
from sweeper.plan.planner import (
    Pack,
    Plan,
    PlannedRun,
    PlannedWave,
    plan_each,
    plan_runs,
    remaining,
)
from sweeper.plan.preflight import invalid_cause
from sweeper.plan.queue import Queue, choose

__all__ = [
    "Pack",
    "Plan",
    "PlannedRun",
    "PlannedWave",
    "Queue",
    "choose",
    "describe",
    "invalid_cause",
    "plan_each",
    "plan_runs",
    "remaining",
]
