"""The checks before anything starts: which runs can't work, and why."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeper.records.outcomes import Cause, CauseKind

if TYPE_CHECKING:
    from sweeper.config import RunSpec
    from sweeper.trainer import Trainer

__all__ = ["failure", "invalid_cause", "reasons_against"]


def reasons_against(spec: RunSpec, trainer: Trainer) -> tuple[str, ...]:
    """Why a run can't work, each one line; empty if it can.

    What its config says of itself, else what the trainer's `check` says. A `check` that raises is
    itself the reason: it would stop the sweep otherwise, and it stops nothing but this run.
    """
    if spec.invalid:
        return tuple(_line(reason) for reason in spec.invalid)
    try:
        # A copy: what `check` changes is not what is trained.
        reasons = trainer.check(copy.deepcopy(spec.config))
        return tuple(_line(reason) for reason in reasons)
    except Exception as error:
        return (failure("check", error),)


def failure(function: str, error: Exception) -> str:
    """The reason for a trainer's function that raised."""
    return _line(f"{function} failed with {type(error).__name__}: {error}")


def invalid_cause(reasons: Sequence[str]) -> Cause:
    """The cause to record for an invalid run; equal reasons give equal causes."""
    return Cause(CauseKind.PREFLIGHT, "; ".join(reasons))


def _line(text: object) -> str:
    return " ".join(str(text).split())
