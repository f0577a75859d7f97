"""What people ask of the records: how far a group is, what went wrong, what one run did.

Everything is answered from the records alone, while a launch works or long after.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.host.processes import host_name, process_lives
from sweeper.records import lock
from sweeper.records.eta import eta_s
from sweeper.records.fold import fold
from sweeper.records.journal import read_journal
from sweeper.records.layout import GroupFolder, RunFolder
from sweeper.records.metrics import Progress, read_progress
from sweeper.records.outcomes import Cause, Outcome
from sweeper.records.state import (
    EVALUATE,
    INTERRUPTED,
    RUNNING,
    WAITING,
    GroupState,
    Launch,
    RunState,
)

__all__ = ["BadEnd", "Snapshot", "crashed", "launch_lives", "progress_of", "snapshot", "status"]


@dataclass(frozen=True)
class Snapshot:
    """A group as it is now: the fold, corrected by which launches still live."""

    state: GroupState
    alive: Mapping[str, bool | None]  # by writer; None where this host can't know
    damaged_lines: int


def snapshot(folder: GroupFolder) -> Snapshot:
    """Read the journal and look which of its launches live. Raises `RecordError` without one."""
    if not folder.journal_dir.is_dir():
        raise RecordError(f"no records of a group `{folder.group}` in {folder.runs_dir.absolute()}")
    journal = read_journal(folder.journal_dir)
    state = fold(journal.events)
    alive: dict[str, bool | None] = {}
    for launch in state.launches:
        # Launches are in the order of their start: the last of a writer counts.
        alive[launch.writer] = launch_lives(launch, folder.lock_file)
    running = {a.writer for run in state.runs.values() for a in run.attempts if a.running}
    for writer in running - alive.keys():
        # Its `launched` line is torn; only the lock can say.
        alive[writer] = lock.is_held(folder.lock_file)
    dead = {writer for writer in running if alive[writer] is False}
    return Snapshot(state.without_writers(dead), alive, journal.damaged_lines)


def launch_lives(launch: Launch, lock_file: Path) -> bool | None:
    """Whether a launch still works; None if it ran on another host, which this one can't ask."""
    if launch.ended is not None:
        return False
    owner = lock.owner(lock_file)
    if owner and (owner.host, owner.pid) == (launch.host, launch.pid) and lock.is_held(lock_file):
        return launch.pid_start in (None, owner.pid_start)
    if launch.host != host_name():
        return None
    return launch.pid is not None and process_lives(launch.pid, launch.pid_start)


def status(
    folder: GroupFolder, *, now: float | None = None, everything: bool = False
) -> dict[str, Any]:
    """How far a group is, for `sweep status`; `now` is unix time and defaults to the clock.

    It speaks of the sweep as it was last launched, or with `everything` of all runs of the group.
    Returns `group`, `total`, `counts` (by standing, zeroes included, adding up to `total`),
    `running` (a list), `eta_s` (an estimate, see `eta_s`, or None), `wall_s` (how long the last
    launch has worked: until its end, now, or the last thing it wrote), `launch` (the last one, with
    `alive`: True, False, or None for unknown), `headline`, `earlier` (how many runs of earlier
    sweep files are left out), `damaged_lines` of the journal.
    Raises `RecordError` for a group without records.
    """
    now = time.time() if now is None else now
    seen = snapshot(folder)
    state = seen.state if everything else seen.state.as_planned()
    launch = state.launches[-1] if state.launches else None
    alive = seen.alive[launch.writer] if launch else None
    running = [run for run in state.runs.values() if run.running]
    progress = {run.id: progress_of(folder, run) for run in running}
    fractions = {key: item.fraction for key, item in progress.items() if item.fraction is not None}
    works = launch is not None and launch.ended is None and alive is not False
    trains = works and launch is not None and launch.purpose != EVALUATE
    return {
        "group": folder.group,
        "total": state.total,
        "counts": state.counts(),
        "running": [_running(run, progress[run.id], now) for run in running],
        "eta_s": eta_s(state, launch, now=now, fractions=fractions) if launch and trains else None,
        "wall_s": _wall_s(state, launch, now if alive else None) if launch else None,
        "launch": _launch(launch, alive) if launch else None,
        "headline": state.headline,
        "earlier": 0 if everything else len(seen.state.earlier),
        "damaged_lines": seen.damaged_lines,
    }


@dataclass(frozen=True)
class BadEnd:
    """A run that has ended without being finished, as `crashed` lists it.

    `outcome` is its standing; `cause` is None where none is known, as for a run whose launch died
    under it. `attempts` counts them; `log` and `stack` are paths of files that exist.
    """

    id: str
    outcome: str
    cause: Cause | None = None
    last_step: int | None = None
    attempts: int = 1
    log: str | None = None
    stack: str | None = None
    axis_values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str | None:
        """The kind of its cause, or ``interrupted``."""
        if self.outcome == INTERRUPTED:
            return INTERRUPTED
        return str(self.cause.kind) if self.cause else None

    @property
    def message(self) -> str:
        """The message of its cause, on one line."""
        if self.outcome == INTERRUPTED:
            return "its launch ended before this run did"
        return " ".join(self.cause.message.split()) if self.cause else ""

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return {
            "id": self.id,
            "outcome": self.outcome,
            "cause": self.kind,
            "message": self.message,
            "type": self.cause.type if self.cause else None,
            "place": self.cause.place if self.cause else None,
            "last_step": self.last_step,
            "attempts": self.attempts,
            "log": self.log,
            "stack": self.stack,
            "axis_values": dict(self.axis_values),
        }


def crashed(folder: GroupFolder, state: GroupState | None = None) -> list[BadEnd]:
    """Every run that has ended without being finished, by cause, outcome and id.

    Diverged and invalid ones are among them, each under its outcome, and those whose launch died
    under them, as ``"interrupted"``. A run that is being tried again right now is not.
    `state` holds the runs to look at; None means those of the sweep as it was last launched.
    Raises `RecordError` for a group without records.
    """
    leave_out = {RUNNING, WAITING, str(Outcome.FINISHED)}
    state = state or snapshot(folder).state.as_planned()
    runs = [run for run in state.runs.values() if run.standing not in leave_out]
    ends = [_bad_end(folder, run) for run in runs]
    return sorted(ends, key=lambda end: (end.kind or "", end.outcome, end.id))


def progress_of(folder: GroupFolder, run: RunState) -> Progress:
    """The progress of the last attempt; what an earlier one left in the file doesn't count."""
    progress = read_progress(_run_folder(folder, run).progress_file)
    started = run.attempts[-1].started if run.attempts else None
    if started is not None and progress.time is not None and progress.time < started:
        return Progress(None, None, None)
    return progress


def _run_folder(folder: GroupFolder, run: RunState) -> RunFolder:
    """The folder of a run in the journal; for an id that is none, one that doesn't exist."""
    try:
        return folder.run(run.id)
    except RecordError:
        return RunFolder(folder.runs_folder / "no-such-run")


def _running(run: RunState, progress: Progress, now: float) -> dict[str, Any]:
    attempt = next(a for a in reversed(run.attempts) if a.running)
    since = None if attempt.started is None else max(now - attempt.started, 0.0)
    return {
        "id": run.id,
        "axis_values": dict(run.axis_values),
        "attempt": attempt.number,
        "slot": attempt.slot,
        "fraction": progress.fraction,
        "step": progress.step,
        "since_s": since,
    }


def _wall_s(state: GroupState, launch: Launch, now: float | None) -> float:
    moments = [launch.ended, now, state.last_time, launch.started]
    end = next(moment for moment in moments if moment is not None)
    return max(end - launch.started, 0.0)


def _launch(launch: Launch, alive: bool | None) -> dict[str, Any]:
    return {
        "id": launch.id,
        "host": launch.host,
        "pid": launch.pid,
        "alive": alive,
        "started": launch.started,
        "ended": launch.ended,
        "reason": launch.reason,
        "cpus": launch.cpus,
        "slots": launch.slots,
        "version": launch.version,
        "trainer": launch.trainer,
    }


def _bad_end(folder: GroupFolder, run: RunState) -> BadEnd:
    files = _run_folder(folder, run)
    interrupted = run.standing == INTERRUPTED
    return BadEnd(
        id=run.id,
        outcome=run.standing,
        # An earlier attempt may have a cause of its own; an interrupted one has none that is known.
        cause=None if interrupted else run.cause,
        last_step=progress_of(folder, run).step if interrupted else run.last_step,
        attempts=len(run.attempts),
        log=_if_there(files.log_file),
        stack=_if_there(files.stack_file),
        axis_values=run.axis_values,
    )


def _if_there(path: Path) -> str | None:
    return str(path) if path.exists() else None
