"""The fold: events of a journal → state of the group.

Resume, status, reports and tests share this one function, so they can't disagree. It is pure, it
doesn't depend on the order in which events are handed over, and no event makes it raise: what it
doesn't understand it leaves out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeper.records import events as read
from sweeper.records.events import Event
from sweeper.records.outcomes import Outcome
from sweeper.records.state import Attempt, GroupState, Launch, RunState, Wave

__all__ = ["fold"]

Kinds = Mapping[str, Sequence[Event]]


def fold(events: Iterable[Event]) -> GroupState:
    """The state after these events, given in any order; a repeated event counts once.

    A run that finished once stays finished. Otherwise the latest end by (time, writer, sequence)
    decides. Runs that were planned from an older text of the sweep file and never started are left
    out, because nothing will ever start them.
    """
    ordered = read.ordered(events)
    kinds: dict[str, list[Event]] = defaultdict(list)
    for event in ordered:
        kinds[read.text(event, "event") or ""].append(event)
    launches = _launches(kinds)
    planned, abandoned = _planned(kinds, launches)
    attempts = _attempts(kinds)
    evaluations: dict[str, list[Event]] = defaultdict(list)
    for event in kinds["evaluated"]:
        evaluations[read.text(event, "run") or ""].append(event)
    runs = {
        run_id: _run(
            run_id, planned.get(run_id, {}), attempts.get(run_id, ()), evaluations.get(run_id, ())
        )
        for run_id in dict.fromkeys([*planned, *attempts])
        if run_id in attempts or run_id not in abandoned
    }
    announced = (launches[-1].total or 0) if launches else 0
    headlines = [read.text(event, "headline") for event in kinds["planned"]]
    return GroupState(
        total=max(len(runs), announced),
        runs=runs,
        launches=launches,
        waves=_waves(kinds),
        headline=next((name for name in reversed(headlines) if name), None),
        units=_units(kinds),
        last_time=max((read.time_of(event) for event in ordered), default=None),
    )


def _units(kinds: Kinds) -> dict[str, str]:
    """The units that were planned with; those of later plans win."""
    units: dict[str, str] = {}
    for event in kinds["planned"]:
        told = event.get("units")
        if isinstance(told, Mapping):
            units |= {key: value for key, value in told.items() if isinstance(value, str)}
    return units


def _launches(kinds: Kinds) -> tuple[Launch, ...]:
    """The launches by their start."""
    ends: dict[tuple[str, str], Event] = {}
    for event in kinds["launch_ended"]:
        ends[read.writer_of(event), read.text(event, "launch") or ""] = event
    launches: dict[tuple[str, str], Launch] = {}
    for event in kinds["launched"]:
        key = read.writer_of(event), read.text(event, "launch") or ""
        end, resources = ends.get(key), event.get("resources")
        launches[key] = Launch(
            id=key[1],
            writer=key[0],
            started=read.time_of(event),
            host=read.text(event, "host"),
            pid=read.integer(event, "pid"),
            pid_start=read.text(event, "pid_start"),
            cpus=read.integer(event, "cpus"),
            slots=read.integer(event, "slots"),
            version=read.text(event, "version"),
            total=read.integer(event, "total"),
            trainer=read.text(event, "trainer"),
            sweep_sha=read.text(event, "sweep_sha"),
            resources=resources if isinstance(resources, Mapping) else {},
            ended=None if end is None else read.time_of(end),
            reason=None if end is None else read.text(end, "reason"),
        )
    return tuple(sorted(launches.values(), key=lambda item: (item.started, item.writer, item.id)))


def _planned(
    kinds: Kinds, launches: Sequence[Launch]
) -> tuple[dict[str, Mapping[str, Any]], set[str]]:
    """Axis values of every run that was planned, and the runs that the latest text has no more."""
    texts: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for event in kinds["launched"]:
        texts[read.writer_of(event)].append(
            (read.sequence_of(event), read.text(event, "sweep_sha"))
        )
    latest = launches[-1].sweep_sha if launches else None
    planned: dict[str, Mapping[str, Any]] = {}
    wanted: set[str] = set()
    for event in kinds["planned"]:
        runs = event.get("runs")
        if not isinstance(runs, Mapping):
            continue
        values = {
            str(key): value if isinstance(value, Mapping) else {} for key, value in runs.items()
        }
        planned.update(values)
        before = [
            item for item in texts[read.writer_of(event)] if item[0] < read.sequence_of(event)
        ]
        text = max(before, key=lambda item: item[0])[1] if before else None
        if latest is None or text is None or text == latest:
            wanted.update(values)
    return planned, planned.keys() - wanted


def _waves(kinds: Kinds) -> tuple[Wave, ...]:
    """The waves by (writer, number)."""
    parts: dict[tuple[str, int], dict[str, Event]] = defaultdict(dict)
    for kind in ("wave_started", "wave_ended"):
        for event in kinds[kind]:
            number = read.integer(event, "wave")
            if number is not None:
                parts[read.writer_of(event), number][kind] = event
    waves = []
    for (writer, number), part in sorted(parts.items()):
        start, end = part.get("wave_started", {}), part.get("wave_ended", {})
        runs = start.get("runs")
        waves.append(
            Wave(
                number=number,
                writer=writer,
                runs=len(runs) if isinstance(runs, list) else read.integer(start, "runs"),
                slots=read.integer(start, "slots"),
                started=read.time_of(start) if start else None,
                ended=read.time_of(end) if end else None,
                startup_s=read.real(end, "startup_s"),
                training_s=read.real(end, "training_s"),
                shutdown_s=read.real(end, "shutdown_s"),
                scratch_peak_bytes=read.integer(end, "scratch_peak_bytes"),
                processes_reaped=read.integer(end, "processes_reaped"),
                reason=read.text(end, "reason"),
            )
        )
    return tuple(waves)


@dataclass
class _Marks:
    """The marks of one attempt, an attempt being (writer, number) of its run."""

    start: Event | None = None
    ends: list[Event] = field(default_factory=list)


# Where an attempt's end stands in the order of all events; None before it has ended.
Position = tuple[float, str, int] | None


def _attempts(kinds: Kinds) -> dict[str, list[tuple[Attempt, Position]]]:
    """The attempts of every run that has any, by start."""
    by_run: dict[str, dict[tuple[str, int], _Marks]] = defaultdict(lambda: defaultdict(_Marks))
    for event in kinds["started"]:
        run_id = read.text(event, "run")
        if run_id is not None:
            by_run[run_id][read.writer_of(event), _number(event)].start = event
    for event in kinds["ended"]:
        run_id = read.text(event, "run")
        if run_id is not None and read.outcome(event) is not None:
            marks = by_run[run_id]
            marks[_ended_attempt(event, marks)].ends.append(event)
    goodbyes: dict[str, int] = defaultdict(lambda: -2)  # before any sequence number
    for event in kinds["launch_ended"]:
        writer = read.writer_of(event)
        goodbyes[writer] = max(goodbyes[writer], read.sequence_of(event))
    return {run_id: _attempts_of_run(marks, goodbyes) for run_id, marks in by_run.items()}


def _number(event: Event) -> int:
    number = read.integer(event, "attempt")
    return 1 if number is None else number


def _ended_attempt(event: Event, marks: Mapping[tuple[str, int], _Marks]) -> tuple[str, int]:
    """The attempt that an `ended` event speaks of.

    Usually its own writer's. A supervisor that finds the start of a dead launch closes that one
    (`lost`): then the event names the other writer as `of`, or else its own writer has no such
    start and exactly one other writer has.
    """
    number, own = _number(event), read.writer_of(event)
    of = read.text(event, "of")
    if of is not None:
        return of, number
    if (own, number) in marks and marks[own, number].start is not None:
        return own, number
    others = [key for key, mark in marks.items() if key[1] == number and mark.start is not None]
    return others[0] if len(others) == 1 else (own, number)


def _attempts_of_run(
    marks: Mapping[tuple[str, int], _Marks], goodbyes: Mapping[str, int]
) -> list[tuple[Attempt, Position]]:
    newest: dict[str, int] = {}
    for (writer, _), mark in marks.items():
        for event in [*mark.ends, *([mark.start] if mark.start else [])]:
            if read.writer_of(event) == writer:
                newest[writer] = max(newest.get(writer, -1), read.sequence_of(event))
    attempts = []
    for (writer, number), mark in marks.items():
        start = mark.start
        # The writer goes on with a run only after its attempt has ended, even if that line is torn.
        running = (
            start is not None
            and not mark.ends
            and read.sequence_of(start) >= newest[writer]
            and read.sequence_of(start) > goodbyes[writer]
        )
        attempts.append(_attempt(writer, number, mark, running))
    return sorted(attempts, key=_by_start)


def _by_start(item: tuple[Attempt, Position]) -> tuple[float, str, int]:
    attempt, _ = item
    moment = attempt.started if attempt.started is not None else attempt.ended
    return moment or 0.0, attempt.writer, attempt.number


def _attempt(writer: str, number: int, mark: _Marks, running: bool) -> tuple[Attempt, Position]:
    start: Event = mark.start or {}
    # Of several ends of one attempt a good one wins, then the latest; `ends` are in that order.
    finished = [event for event in mark.ends if read.outcome(event) is Outcome.FINISHED]
    end: Event = (finished or mark.ends or [{}])[-1]
    wave = read.integer(end, "wave")
    attempt = Attempt(
        number=number,
        writer=writer,
        wave=read.integer(start, "wave") if wave is None else wave,
        slot=read.integer(start, "slot"),
        pid=read.integer(start, "pid"),
        started=read.time_of(start) if start else None,
        ended=read.time_of(end) if end else None,
        outcome=read.outcome(end) if end else None,
        cause=read.cause(end),
        last_step=read.integer(end, "last_step"),
        wall_s=read.real(end, "wall_s"),
        cpu_s=read.real(end, "cpu_s"),
        startup_s=read.real(end, "startup_s"),
        rss_peak_bytes=read.integer(end, "rss_peak_bytes"),
        metrics=read.metrics(end),
        running=running,
    )
    return attempt, read.position(end) if end else None


def _run(
    run_id: str,
    axis_values: Mapping[str, Any],
    attempts: Sequence[tuple[Attempt, Position]],
    evaluations: Sequence[Event],
) -> RunState:
    ended = [(position, attempt) for attempt, position in attempts if position is not None]
    finished = [item for item in ended if item[1].outcome is Outcome.FINISHED]
    deciding = max(finished or ended, key=lambda item: item[0], default=None)
    return RunState(
        run_id,
        dict(axis_values),
        tuple(attempt for attempt, _ in attempts),
        deciding[1] if deciding else None,
        _evaluated(deciding[1], evaluations) if deciding else {},
    )


def _evaluated(deciding: Attempt, evaluations: Sequence[Event]) -> dict[str, float]:
    """Figures of the evaluations of the model that `deciding` left; later ones win."""
    figures: dict[str, float] = {}
    for event in evaluations:  # in the order of time
        own_model = read.time_of(event) >= (deciding.ended or 0.0)
        if own_model and read.outcome(event) is Outcome.FINISHED:
            figures |= read.metrics(event)
    return figures
