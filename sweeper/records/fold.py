"""The fold: events of a journal → state of the group.

Resume, status, reports and tests share this one function, so they can't disagree. It is pure, it
doesn't depend on the order in which events are handed over, and no event makes it raise: what it
doesn't understand it leaves out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from sweeper.host.identity import ProcessIdentity
from sweeper.keys import renamed_keys
from sweeper.records.edits import annotated, without_removed
from sweeper.records.event_codec import ordered
from sweeper.records.events import (
    Ended,
    Evaluated,
    Event,
    Launched,
    LaunchEnded,
    Noted,
    Planned,
    Recorded,
    SourcesChanged,
    Started,
    WaveEnded,
    WaveStarted,
)
from sweeper.records.origins import Origins
from sweeper.records.outcomes import Outcome
from sweeper.records.shards import Shard
from sweeper.records.state import EVALUATE, Attempt, GroupState, Launch, RunState, Wave

__all__ = ["fold"]

_Events = Mapping[type[Any], Sequence[Recorded]]
_Kind = TypeVar("_Kind", bound=Event)


def fold(events: Iterable[Recorded]) -> GroupState:
    """The state after these events, given in any order; a repeated event counts once.

    A run that finished once stays finished. Otherwise the latest end by (time, writer, sequence)
    decides. A launch that trains runs again puts an end to that: once an attempt of it has ended,
    no attempt that started before it counts. Runs that the sweep no longer has
    (`GroupState.earlier`) and that never started are left out, because nothing will ever start
    them.
    """
    in_order = ordered(events)
    by_kind: dict[type[Any], list[Recorded]] = defaultdict(list)
    for recorded in without_removed(in_order):
        by_kind[type(recorded.event)].append(recorded)
    origins = Origins(_each(by_kind, Launched), _each(by_kind, SourcesChanged))
    launches = _launches(by_kind, origins)
    last = next((item for item in reversed(launches) if item.purpose != EVALUATE), None)
    planned, abandoned = _planned(by_kind, last.sweep_sha if last else None)
    planned = _with_new_keys(planned, launches[-1].renamed if launches else {})
    attempts = _attempts(by_kind, origins)
    evaluations: dict[str, list[tuple[Evaluated, Recorded]]] = defaultdict(list)
    for event, recorded in _each(by_kind, Evaluated):
        evaluations[event.run].append((event, recorded))
    runs = {
        run_id: _run(
            run_id, planned.get(run_id), attempts.get(run_id, ()), evaluations.get(run_id, ())
        )
        for run_id in dict.fromkeys([*planned, *attempts])
        if run_id in attempts or run_id not in abandoned
    }
    notes = {event.run: event.text for event, _ in _each(by_kind, Noted)}
    headlines = [event for event, _ in _each(by_kind, Planned) if event.headline]
    return GroupState(
        total=max(len(runs), (last.total or 0) if last else 0),
        runs=annotated(runs, planned, notes),
        note=notes.get(None) or None,
        earlier=frozenset(run_id for run_id in runs if run_id in abandoned),
        launches=launches,
        waves=_waves(by_kind),
        headline=headlines[-1].headline if headlines else None,
        maximise=headlines[-1].maximise if headlines else False,
        units=_units(by_kind),
        last_time=max((recorded.time for recorded in in_order), default=None),
    )


def _each(events: _Events, kind: type[_Kind]) -> Iterator[tuple[_Kind, Recorded]]:
    """The events of one kind in order, each with its stamp."""
    for recorded in events.get(kind, ()):
        yield cast("_Kind", recorded.event), recorded


def _units(events: _Events) -> dict[str, str]:
    """The units that were planned with; those of later plans win."""
    units: dict[str, str] = {}
    for event, _ in _each(events, Planned):
        units |= event.units
    return units


def _launches(events: _Events, origins: Origins) -> tuple[Launch, ...]:
    """The launches by their start."""
    ends = {
        (recorded.writer, event.launch): (event, recorded)
        for event, recorded in _each(events, LaunchEnded)
    }
    launches: dict[tuple[str, str], Launch] = {}
    for event, recorded in _each(events, Launched):
        key = recorded.writer, event.launch
        end, end_recorded = ends.get(key, (None, None))
        launches[key] = Launch(
            id=event.launch,
            writer=recorded.writer,
            started=recorded.time,
            process=ProcessIdentity(
                event.host, event.boot, event.namespace, event.machine, event.pid, event.pid_start
            ),
            job=event.job,
            shard=Shard.read(event.shard),
            claim=event.claim,
            cpus=event.cpus,
            slots=event.slots,
            version=event.version,
            purpose=event.purpose,
            total=event.total,
            to_train=event.to_train,
            trainer=event.trainer,
            sweep_sha=event.sweep_sha,
            sources=event.sources,
            code_changes=origins.code_changes(recorded.writer, recorded.seq),
            resources=event.resources,
            renamed=event.renamed,
            ended=end_recorded.time if end_recorded else None,
            reason=(end.reason or None) if end else None,
            message=end.message if end else None,
        )
    return tuple(sorted(launches.values(), key=lambda item: (item.started, item.writer, item.id)))


def _planned(events: _Events, latest: str | None) -> tuple[dict[str, Planned], set[str]]:
    """The last plan of every run that was planned, and the runs that the latest sweep lacks."""
    sweeps: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for launched, recorded in _each(events, Launched):
        sweeps[recorded.writer].append((recorded.seq, launched.sweep_sha))
    planned: dict[str, Planned] = {}
    wanted: set[str] = set()
    for event, recorded in _each(events, Planned):
        for run_id in event.runs:
            planned.pop(run_id, None)  # to the end: the order is that of the last plan
            planned[run_id] = event
        before = [item for item in sweeps[recorded.writer] if item[0] < recorded.seq]
        sweep = max(before, key=lambda item: item[0])[1] if before else None
        if latest is None or sweep is None or sweep == latest:
            wanted.update(event.runs)
    return planned, planned.keys() - wanted


def _with_new_keys(planned: dict[str, Planned], renamed: Mapping[str, str]) -> dict[str, Planned]:
    """The plans with the keys that parameters have now, by run."""
    if not renamed:
        return planned
    read = {
        id(event): replace(
            event,
            runs={run: renamed_keys(values, renamed) for run, values in event.runs.items()},
            fixed=renamed_keys(event.fixed, renamed),
        )
        for event in {id(event): event for event in planned.values()}.values()
    }
    return {run: read[id(event)] for run, event in planned.items()}


def _waves(events: _Events) -> tuple[Wave, ...]:
    """The waves by (writer, number)."""
    starts = {
        (recorded.writer, event.wave): (event, recorded.time)
        for event, recorded in _each(events, WaveStarted)
    }
    ends = {
        (recorded.writer, event.wave): (event, recorded.time)
        for event, recorded in _each(events, WaveEnded)
    }
    waves = []
    for writer, number in sorted(starts.keys() | ends.keys()):
        start, started = starts.get((writer, number), (None, None))
        end, ended = ends.get((writer, number), (None, None))
        waves.append(
            Wave(
                number=number,
                writer=writer,
                runs=start.runs if start else None,
                slots=start.slots if start else None,
                started=started,
                ended=ended,
                startup_s=end.startup_s if end else None,
                training_s=end.training_s if end else None,
                shutdown_s=end.shutdown_s if end else None,
                scratch_peak_bytes=end.scratch_peak_bytes if end else None,
                processes_reaped=end.processes_reaped if end else None,
                reason=(end.reason or None) if end else None,
            )
        )
    return tuple(waves)


@dataclass
class _Marks:
    """The marks of one attempt, an attempt being (writer, number) of its run."""

    start: tuple[Started, Recorded] | None = None
    ends: list[tuple[Ended, Recorded]] = field(default_factory=list)


_Position = tuple[float, str, int]


@dataclass(frozen=True)
class _Placed:
    """An attempt, and where its start and its end are among all events; None where unknown."""

    attempt: Attempt
    began: _Position | None
    ended: _Position | None

    @property
    def first(self) -> _Position:
        """Its start, else its end."""
        return self.began or self.ended or (0.0, "", -1)


def _attempts(events: _Events, origins: Origins) -> dict[str, list[_Placed]]:
    """The attempts of every run that has any, by start."""
    by_run: dict[str, dict[tuple[str, int], _Marks]] = defaultdict(lambda: defaultdict(_Marks))
    for start, recorded in _each(events, Started):
        by_run[start.run][recorded.writer, start.attempt].start = start, recorded
    for end, recorded in _each(events, Ended):
        marks = by_run[end.run]
        marks[_ended_attempt(end, recorded.writer, marks)].ends.append((end, recorded))
    goodbyes: dict[str, int] = defaultdict(lambda: -2)  # before any sequence number
    for _, recorded in _each(events, LaunchEnded):
        goodbyes[recorded.writer] = max(goodbyes[recorded.writer], recorded.seq)
    return {run_id: _attempts_of_run(marks, goodbyes, origins) for run_id, marks in by_run.items()}


def _ended_attempt(
    end: Ended, writer: str, marks: Mapping[tuple[str, int], _Marks]
) -> tuple[str, int]:
    """The attempt that an end belongs to.

    Usually its own writer's. A supervisor that finds the start of a dead launch closes that one
    (`lost`): then the event names the other writer as `of`, or else its own writer has no such
    start and exactly one other writer has.
    """
    number = end.attempt
    if end.of is not None:
        return end.of, number
    if (writer, number) in marks and marks[writer, number].start is not None:
        return writer, number
    others = [key for key, mark in marks.items() if key[1] == number and mark.start is not None]
    return others[0] if len(others) == 1 else (writer, number)


def _attempts_of_run(
    marks: Mapping[tuple[str, int], _Marks], goodbyes: Mapping[str, int], origins: Origins
) -> list[_Placed]:
    newest: dict[str, int] = {}
    for (writer, _), mark in marks.items():
        for _, recorded in [*mark.ends, *([mark.start] if mark.start else [])]:
            if recorded.writer == writer:
                newest[writer] = max(newest.get(writer, -1), recorded.seq)
    attempts = []
    for (writer, number), mark in marks.items():
        # The writer goes on with a run only after its attempt has ended, even if that line is torn.
        running = (
            mark.start is not None
            and not mark.ends
            and mark.start[1].seq >= newest[writer]
            and mark.start[1].seq > goodbyes[writer]
        )
        attempts.append(_attempt(writer, number, mark, running, origins))
    return sorted(attempts, key=_by_start)


def _by_start(placed: _Placed) -> tuple[float, str, int]:
    attempt = placed.attempt
    moment = attempt.started if attempt.started is not None else attempt.ended
    return moment or 0.0, attempt.writer, attempt.number


def _attempt(writer: str, number: int, mark: _Marks, running: bool, origins: Origins) -> _Placed:
    start, began = mark.start or (None, None)
    attempt = Attempt(
        number=number,
        writer=writer,
        wave=start.wave if start else None,
        slot=start.slot if start else None,
        started=began.time if began else None,
        running=running,
        again=began is not None and origins.again(began),
    )
    began_at = _position(began) if began else None
    if not mark.ends:
        sources = origins.sources(began, None) if began else ()
        return _Placed(replace(attempt, sources=sources), began_at, None)
    # Of several ends of one attempt a good one wins, then the latest; `ends` are in that order.
    finished = [item for item in mark.ends if item[0].outcome is Outcome.FINISHED]
    end, recorded = (finished or mark.ends)[-1]
    own = origins.sources(began, recorded.time) if began else ()
    ended = replace(
        attempt,
        wave=attempt.wave if end.wave is None else end.wave,
        ended=recorded.time,
        outcome=end.outcome,
        cause=end.cause,
        last_step=end.last_step,
        wall_s=end.wall_s,
        cpu_s=end.cpu_s,
        rss_peak_bytes=end.rss_peak_bytes,
        metrics=end.metrics,
        sources=tuple(dict.fromkeys((*end.restored_sources, *own))),
        restored_step=end.restored_step,
    )
    return _Placed(ended, began_at, _position(recorded))


def _position(recorded: Recorded) -> _Position:
    return recorded.time, recorded.writer, recorded.seq


def _run(
    run_id: str,
    planned: Planned | None,
    attempts: Sequence[_Placed],
    evaluations: Sequence[tuple[Evaluated, Recorded]],
) -> RunState:
    deciding = _deciding(attempts)
    return RunState(
        run_id,
        dict(planned.runs[run_id]) if planned else {},
        planned.fixed if planned else {},
        tuple(placed.attempt for placed in attempts),
        deciding,
        _evaluated(deciding, evaluations) if deciding else {},
    )


def _deciding(attempts: Sequence[_Placed]) -> Attempt | None:
    """The attempt whose outcome is the run's, of those that have ended."""
    ended = [placed for placed in attempts if placed.ended is not None]
    again = [placed for placed in ended if placed.attempt.again]
    if again:
        since = max(placed.first for placed in again)
        ended = [placed for placed in ended if placed.first >= since]
    finished = [placed for placed in ended if placed.attempt.outcome is Outcome.FINISHED]
    last = max(finished or ended, key=lambda placed: placed.ended or placed.first, default=None)
    return last.attempt if last else None


def _evaluated(
    deciding: Attempt, evaluations: Sequence[tuple[Evaluated, Recorded]]
) -> dict[str, float]:
    """Figures of the evaluations of the model that `deciding` left; later ones win."""
    figures: dict[str, float] = {}
    for event, recorded in evaluations:  # in the order of time
        own_model = recorded.time >= (deciding.ended or 0.0)
        if own_model and event.outcome is Outcome.FINISHED:
            figures |= event.metrics
    return figures
