"""What an attempt leaves on disk, read back into records."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.engine.failures import DeathTraces, cause_of_death
from sweeper.engine.policy import Running
from sweeper.engine.results import died_record, own_result, write_result
from sweeper.engine.status_table import RunStatus
from sweeper.host.cgroups import oom_kills
from sweeper.records.layout import RunFolder, write_atomically
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.untrusted import plain_file

if TYPE_CHECKING:
    from sweeper.engine.wave_process import WaveProcess

__all__ = ["death_of_wave", "record_of_death"]

_STACK_LIMIT = 20_000


def _death_traces(
    noted: RunStatus, stack: str, running: Running, killed_for: Cause | None, detail: str
) -> DeathTraces:
    """Collect what a vanished worker has left."""
    return DeathTraces(
        started=noted.pid is not None,
        stack=stack,
        exit_code=noted.exit_code,
        killed_for=killed_for,
        oom_kills=oom_kills() - running.oom_kills,
        detail=detail,
    )


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


def record_of_death(
    wave: WaveProcess,
    running: Running,
    folder: RunFolder,
    killed_for: Cause | None,
    detail: str,
    *,
    lost: bool,
) -> tuple[dict[str, Any], bool]:
    """The record of an attempt whose process or (`lost`) whole wave is gone.

    If the attempt had written its own, that one (and True); else one made from the traces, which is
    written to the run's folder. `detail` is what the wave says of it.
    """
    own = own_result(folder, running.run, running.attempt)
    if own is not None:
        return own, True
    noted = wave.noted(running.run)
    stack = (
        "" if noted.pid is None else _take_stack(wave.scratch.stack(noted.pid), folder.stack_file)
    )
    if lost and killed_for is None:
        outcome, cause = Outcome.LOST, Cause(CauseKind.HOST, detail)
    else:
        outcome, cause = cause_of_death(_death_traces(noted, stack, running, killed_for, detail))
    began = running.dispatched if noted.began is None else noted.began
    record = died_record(
        running.run,
        running.attempt,
        outcome,
        cause,
        folder,
        wall_s=time.monotonic() - began,
        ended=time.time(),
        counted_step=noted.last_step,
    )
    record |= wave.usage.get(running.run, {})
    with contextlib.suppress(OSError):  # the journal tells it all the same
        write_result(folder, record)
    return record, False


def death_of_wave(status: int | None, tail: str) -> str:
    """How a wave child ended, by its exit status and the last that it wrote."""
    if status is not None and status < 0:  # what it wrote before has nothing to do with it
        return f"the wave ended with signal {-status}"
    return f"the wave ended with status {status}" + (f" ({tail})" if tail else "")
