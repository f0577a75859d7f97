"""The result of an attempt whose process is gone, from what it left."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict
from pathlib import Path

from sweeper.engine.backend import Usage, WaveProcess
from sweeper.engine.failures import DeathTraces, cause_of_death
from sweeper.engine.policy import Running
from sweeper.engine.results import Result, died_result, own_result, write_result
from sweeper.host.cgroups import oom_kills
from sweeper.records import json_fields as read
from sweeper.records.layout import RunFolder, write_atomically
from sweeper.records.metrics import first_bad_loss
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.untrusted import plain_file

__all__ = ["death_of_wave", "result_of_death"]

_STACK_LIMIT = 20_000
_TAIL_BYTES = 4096


def _take_stack(written: Path, kept: Path) -> str:
    """Keep a stack with its run if there is one; returns its head."""
    with contextlib.suppress(OSError):
        if written.stat().st_size:
            write_atomically(kept, written.read_bytes(), durable=False)
    return _head(kept)


def _head(file: Path) -> str:
    try:
        with open(file, errors="replace", opener=plain_file) as text:
            return text.read(_STACK_LIMIT)
    except OSError:
        return ""


def _last_line(log: Path) -> str:
    """The last line of a log that says anything; empty where there is none."""
    try:
        with open(log, "rb", opener=plain_file) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def result_of_death(
    process: WaveProcess,
    running: Running,
    folder: RunFolder,
    *,
    killed_for: Cause | None,
    detail: str,
    exit_status: int | None = None,
    usage: Usage | None,
    lost: bool,
    now: float,
) -> tuple[Result, bool]:
    """The result of an attempt whose process or (`lost`) whole wave is gone.

    If the attempt had written its own, that one (and True); else one made from the traces, which is
    written to the run's folder. `exit_status` and `detail` are what the wave says of it, `usage`
    what the attempt had used when it was last looked at, `now` the supervisor's clock.
    """
    status = process.status(running.run)
    # Before the training has returned, a result in its folder is the training's own invention.
    own = own_result(folder, running.run, running.attempt) if status.ended else None
    if own is not None:
        return own, True
    stack = ""
    if status.pid is not None:
        stack = _take_stack(process.stack_file(status.pid), folder.stack_file)
    if lost and killed_for is None:
        outcome, cause = Outcome.LOST, Cause(CauseKind.HOST, detail)
    else:
        outcome, cause = cause_of_death(
            DeathTraces(
                started=status.pid is not None,
                stack=stack,
                noted_exit=status.exit_code,
                exit_status=exit_status,
                killed_for=killed_for,
                oom_kills=oom_kills() - running.oom_kills,
                detail=detail,
                last_line=_last_line(folder.log_file),
            )
        )
    step = status.last_step
    bad = first_bad_loss(folder.metrics_file) if status.pid is not None else None
    if bad is not None:  # whatever it went on to do: it had diverged
        step = read.integer(bad, "step")
        said = f"loss is {bad['loss']} at step {step}; then: {cause.message}"
        outcome, cause = Outcome.DIVERGED, Cause(CauseKind.NOT_FINITE, said)
    began = running.dispatched if status.began is None else status.began
    result = died_result(
        running.run,
        running.attempt,
        outcome,
        cause,
        folder,
        wall_s=now - began,
        ended=time.time(),
        counted_step=step,
        usage=None if usage is None else asdict(usage),
    )
    with contextlib.suppress(OSError):  # the journal records it anyway
        write_result(folder, result)
    return result, False


def death_of_wave(status: int | None, tail: str) -> str:
    """How a wave child ended, by its exit status and the last that it wrote."""
    if status is not None and status < 0:  # what it wrote before has nothing to do with it
        return f"the wave ended with signal {-status}"
    return f"the wave ended with status {status}" + (f" ({tail})" if tail else "")
