"""How the runs of a pack end: the one place that judges what a training returned or raised."""

from __future__ import annotations

import contextlib
import math
import reprlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweeper.engine.failures import cause_of_exception, is_divergence
from sweeper.engine.run_context import RunContext, as_number
from sweeper.errors import Diverged
from sweeper.records.outcomes import Cause, CauseKind, Outcome

__all__ = ["Ends", "Results", "ends_of"]

Results = Sequence[Mapping[str, Any] | None] | Mapping[str, Any] | None
"""What `train` may return."""

Ends = list[tuple[Outcome, Cause | None]]


def ends_of(train: Callable[[], Results], runs: Sequence[RunContext]) -> Ends:
    """Call `train` and judge it: the outcome and cause of each run; raises nothing.

    The metrics that it returns are added to those of the runs. A run that has logged a loss that
    isn't finite has diverged, however that came out or was swallowed.
    """
    try:
        _take_results(runs, train())
    except BaseException as error:
        divergence = _divergence(runs) or (error if is_divergence(error) else None)
        if divergence is not None:
            return _ends_of_divergence(divergence, runs)
        with contextlib.suppress(OSError, ValueError):  # closed, or over a limit of the training's
            traceback.print_exc()
        return [cause_of_exception(error)] * len(runs)
    divergence = _divergence(runs)
    if divergence is not None:
        return _ends_of_divergence(divergence, runs)
    stopped = Cause(CauseKind.ASKED_TO_STOP, "stopped at a step, as the sweep asked")
    return [(Outcome.STOPPED, stopped) if r.stopped else (Outcome.FINISHED, None) for r in runs]


def _divergence(runs: Sequence[RunContext]) -> Diverged | None:
    return next((run.divergence for run in runs if run.divergence is not None), None)


def _ends_of_divergence(error: BaseException, runs: Sequence[RunContext]) -> Ends:
    """Of a pack only the run that left the finite numbers diverged; the others are tried again."""
    if len(runs) == 1:
        step = error.step if isinstance(error, Diverged) else None
        runs[0].last_step = runs[0].last_step if step is None else step
        return [cause_of_exception(error)]
    other = Cause(CauseKind.HOST, "another run of its pack diverged")
    own = [run for run in runs if run.divergence is not None] or runs
    end = cause_of_exception(error)
    return [end if run in own else (Outcome.LOST, other) for run in runs]


def _take_results(runs: Sequence[RunContext], results: Results) -> None:
    """Add what `train` returned to the runs' metrics; a wrong shape is the trainer's error.

    A training of one run may return its mapping without a list around it.
    """
    if results is None:
        return
    if isinstance(results, Mapping) and len(runs) == 1:
        sys.stdout.write(
            "[`train` must return one mapping per run: took the one for the only run]\n"
        )
        results = [results]
    for run, result in zip(runs, _mappings(results, len(runs)), strict=True):
        if result is not None:
            run.metrics.update(_numbers(result))
            loss = run.metrics.get("loss", 0.0)
            if not math.isfinite(loss) and run.divergence is None:
                run.divergence = Diverged(f"the training returned loss {loss}", step=run.last_step)


def _mappings(results: Any, runs: int) -> Sequence[Mapping[str, Any] | None]:
    """What `train` returned, of the right shape. Raises TypeError otherwise."""
    rule = f"`train` must return None or one mapping per run ({runs})"
    if not isinstance(results, list | tuple):
        raise TypeError(f"{rule}, but got {_kind(results)}")
    if len(results) != runs:
        raise TypeError(f"{rule}, but got {_kind(results)} of {len(results)}")
    for result in results:
        if not isinstance(result, Mapping | None):
            raise TypeError(f"{rule}, but got {_kind(results)} with {_kind(result)}")
    return results


def _kind(value: Any) -> str:
    return type(value).__name__


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in result.items():
        try:
            numbers[str(name)] = as_number(value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"`train` must return numbers, but its metric {name!r} is {reprlib.repr(value)}"
            ) from None
    return numbers
