"""What people ask of the records: how far a group is, what went wrong, what one run did.

Everything is answered from the records alone, while a launch works or long after.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.host.identity import Host, this_host
from sweeper.records.claims import Claims, owner_lives, read_claims
from sweeper.records.code import code_of, missing_folders
from sweeper.records.eta import eta_range_s, eta_s
from sweeper.records.fold import fold
from sweeper.records.journal import read_journal
from sweeper.records.layout import GroupFolder, RunFolder
from sweeper.records.metrics import Progress, read_progress
from sweeper.records.outcomes import Cause, Outcome
from sweeper.records.state import (
    ALL_RUNS,
    EVALUATE,
    INTERRUPTED,
    RUNNING,
    WAITING,
    Chosen,
    GroupState,
    Launch,
    RunState,
)

__all__ = [
    "BadEnd",
    "Snapshot",
    "corrected",
    "crashed",
    "doubts",
    "progress_of",
    "snapshot",
    "status",
    "status_of",
    "who_lives",
]


@dataclass(frozen=True)
class Snapshot:
    """A group as it is now: the fold, corrected by which launches still live."""

    state: GroupState
    alive: Mapping[str, bool | None]  # by writer; None where this host can't know
    damaged_lines: int

    @property
    def open_launches(self) -> tuple[Launch, ...]:
        """The launches that live, or of which this host can't know it."""
        return tuple(it for it in self.state.launches if self.alive[it.writer] is not False)

    @property
    def in_doubt(self) -> tuple[Launch, ...]:
        """The launches with runs under way of which this host can't know whether they live."""
        running = _running_writers(self.state)
        doubtful = (it for it in self.open_launches if self.alive[it.writer] is None)
        return tuple(launch for launch in doubtful if launch.writer in running)


def snapshot(folder: GroupFolder, here: Host | None = None, *, take_over: bool = False) -> Snapshot:
    """Read the journal and look which of its launches live. Raises `RecordError` without one.

    With `take_over` those of which this host can't know it are dead: the user says so.
    """
    if not folder.journal_dir.is_dir():
        raise RecordError(f"no records of a group `{folder.group}` in {folder.runs_dir.absolute()}")
    journal = read_journal(folder.journal_dir)
    state = fold(journal.events)
    alive = who_lives(folder, state, here, take_over=take_over)
    return Snapshot(corrected(state, alive), alive, journal.damaged_lines)


def who_lives(
    folder: GroupFolder,
    state: GroupState,
    here: Host | None = None,
    *,
    take_over: bool = False,
) -> dict[str, bool | None]:
    """Which launches of a group still live, by writer; None where this host can't know.

    With `take_over` False stands there instead of None.
    """
    here, claims = here or this_host(), read_claims(folder)
    # Launches are in the order of their start: the last of a writer counts.
    alive = {it.writer: _launch_lives(it, claims, folder, here) for it in state.launches}
    for writer in _running_writers(state) - alive.keys():
        # Its `launched` line is torn; only its claim can say.
        owner = next((owner for owner in claims.owners if owner.writer == writer), None)
        alive[writer] = False if owner is None else owner_lives(owner, folder, here)
    return {writer: lives or False for writer, lives in alive.items()} if take_over else alive


def corrected(state: GroupState, alive: Mapping[str, bool | None]) -> GroupState:
    """The state once it is known which launches are dead."""
    dead = {writer for writer in _running_writers(state) if alive.get(writer) is False}
    return state.without_writers(dead)


def _running_writers(state: GroupState) -> set[str]:
    return {a.writer for run in state.runs.values() for a in run.attempts if a.running}


def _launch_lives(launch: Launch, claims: Claims, folder: GroupFolder, here: Host) -> bool | None:
    """Whether a launch still works; None where this host can't know.

    It is over once its claim is, be it that another launch has taken over.
    """
    if launch.ended is not None:
        return False
    owner = claims.owner(launch.id)
    if owner is not None:
        return owner_lives(owner, folder, here)
    if launch.claim is not None and claims.number >= launch.claim:
        return False
    return here.lives(launch.process)


def status(
    folder: GroupFolder,
    *,
    now: float | None = None,
    everything: bool = False,
    chosen: Chosen = ALL_RUNS,
) -> dict[str, Any]:
    """How far a group is, for `sweep status`; `now` is unix time and defaults to the clock.

    It speaks of the sweep as it was last launched, or with `everything` of all runs of the group;
    of these only of the `chosen` ones (`chosen_of`, `where`, `limit` say which), without `eta_s`.
    Returns `group`, `note` (a user's, or None), `total`, `counts` (by standing, zeroes included,
    adding up to `total`),
    `running` (a list), `eta_s` (an estimate, see `eta_s`, or None), `eta_range_s`, `wall_s`
    (how long the last launch has worked: until its end, now, or the last thing it wrote),
    `launch` (the last one, with `alive`: True, False, or None for unknown),
    `launches` (all that live or may live, likewise),
    `in_doubt` (see `doubts`), `headline`, `earlier` (how many runs of earlier sweep files are left
    out), `code` (see `code_of`), `without_folder` (the ids of finished runs whose folder is gone),
    `damaged_lines` of the journal.
    Raises `RecordError` for a group without records.
    """
    now = time.time() if now is None else now
    return status_of(folder, snapshot(folder), now=now, everything=everything, chosen=chosen)


def status_of(
    folder: GroupFolder,
    seen: Snapshot,
    *,
    now: float,
    everything: bool = False,
    chosen: Chosen = ALL_RUNS,
) -> dict[str, Any]:
    """As `status`, of what was read already."""
    whole = seen.state if everything else seen.state.as_planned()
    state = chosen.part(whole)
    launch = state.launches[-1] if state.launches else None
    alive = seen.alive[launch.writer] if launch else None
    running = [run for run in state.runs.values() if run.running]
    progress = {run.id: progress_of(folder, run) for run in running}
    fractions = {key: item.fraction for key, item in progress.items() if item.fraction is not None}
    writers = _running_writers(state)
    training = [
        item
        for item in seen.open_launches
        if item.purpose != EVALUATE
        and (seen.alive[item.writer] or item is launch or item.writer in writers)
    ]
    left_s = None
    if training and state is whole:
        left_s = eta_s(state, training, now=now, fractions=fractions)
    return {
        "group": folder.group,
        "note": state.note,
        "total": state.total,
        **chosen.plain(whole),
        "counts": state.counts(),
        "running": [_running(run, progress[run.id], now) for run in running],
        "eta_s": left_s,
        "eta_range_s": eta_range_s(state, training, left_s),
        "wall_s": _wall_s(state, launch, now if alive else None) if launch else None,
        "launch": _launch(launch, alive) if launch else None,
        "launches": [_launch(item, seen.alive[item.writer]) for item in seen.open_launches],
        "in_doubt": doubts(seen),
        "headline": state.headline,
        "earlier": 0 if everything else len(seen.state.earlier),
        "code": code_of(folder, state, watched={it.id for it in seen.open_launches}),
        "without_folder": missing_folders(folder, state.runs.values()),
        "damaged_lines": seen.damaged_lines,
    }


def doubts(seen: Snapshot) -> list[dict[str, Any]]:
    """The launches of which this host can't tell whether they live, with how many runs of theirs.

    Returns `launch`, `host`, `pid`, `job`, `started` (unix time), `running` and `message`, which
    says it all, for each.
    """
    counts = Counter(
        attempt.writer
        for run in seen.state.runs.values()
        if run.running
        for attempt in run.attempts
        if attempt.running
    )
    return [
        {
            "launch": launch.id,
            "host": launch.host,
            "pid": launch.pid,
            "job": launch.job,
            "started": launch.started,
            "running": counts[launch.writer],
            "message": _doubt(launch, counts[launch.writer]),
        }
        for launch in seen.in_doubt
        if counts[launch.writer]
    ]


def _doubt(launch: Launch, running: int) -> str:
    job = f", job {launch.job}" if launch.job else ""
    runs = "1 run of it counts" if running == 1 else f"{running} runs of it count"
    return (
        f"can't tell whether the launch on host {launch.host} (process {launch.pid}{job}) still "
        f"lives: {runs} as running; if you know that it is dead, launch with --take-over"
    )


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
    name: str | None = None
    note: str | None = None

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
            "name": self.name,
            "note": self.note,
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
        "name": run.name,
        "note": run.note,
        "axis_values": dict(run.axis_values),
        "attempt": attempt.number,
        "slot": attempt.slot,
        "fraction": progress.fraction,
        "step": progress.step,
        "restored_step": progress.restored_step,
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
        "job": launch.job,
        "shard": None if launch.shard.is_whole else str(launch.shard),
        "alive": alive,
        "started": launch.started,
        "ended": launch.ended,
        "reason": launch.reason,
        "message": launch.message,
        "cpus": launch.cpus,
        "slots": launch.slots,
        "version": launch.version,
        "trainer": launch.trainer,
    }


def _bad_end(folder: GroupFolder, run: RunState) -> BadEnd:
    files = _run_folder(folder, run)
    interrupted = run.standing == INTERRUPTED
    attempt = run.attempts[-1] if interrupted else run.deciding
    if attempt is not None:
        files = files.of_attempt(attempt.number)
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
        name=run.name,
        note=run.note,
    )


def _if_there(path: Path) -> str | None:
    return str(path) if path.exists() else None
