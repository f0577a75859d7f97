"""Which slot was busy when, and what each wave's Ray did meanwhile, from the journal.

Times are seconds since the first launch. Pauses in which no launch was alive are cut out, so that a
sweep that was continued after a week reads as one that never stopped.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from sweeper.records import Attempt, GroupState, Launch, Wave, fold
from sweeper.records.events import Recorded
from sweeper.records.state import EVALUATE, INTERRUPTED, RUNNING

__all__ = ["Bar", "Block", "Occupancy", "Ray", "Relaunch", "occupancy", "rarest"]

# What a journal may say; beyond this it is damaged.
_SLOTS = range(100_000)


@dataclass(frozen=True)
class Bar:
    """What a slot did from `start` to `end`: one attempt, or those of a pack or of a joined bar.

    `word` is an outcome, ``running`` or ``interrupted``; of several attempts the rarest one's.
    """

    row: int
    start: float
    end: float
    word: str
    wave: int | None = None
    attempts: int = 1


@dataclass(frozen=True)
class Ray:
    """The Ray of one wave. Waves that overlap are in different lanes.

    It starts until `ready`, waits for a slot until `began`, trains until `over`, and shuts down
    until `end`. `died`: it ended without being asked to.
    """

    number: int
    lane: int
    start: float
    ready: float
    began: float
    over: float
    end: float
    died: bool = False


@dataclass(frozen=True)
class Relaunch:
    """A launch after the first.

    `earlier` says how the one before ended (``died`` where no record says); it is None while
    another one still worked, on another host.
    """

    at: float
    pause_s: float
    earlier: str | None


@dataclass(frozen=True)
class Block:
    """Neighbouring rows: the slots of launches that follow one another."""

    hosts: tuple[str, ...]
    first: int
    count: int


@dataclass(frozen=True)
class Occupancy:
    """Bars by row and start, none overlapping another of its row. `attempts` counts by these words.

    `available_s` are the seconds of all slots while their launch was alive. They add up from
    `busy_s`, in which a slot had an attempt, `before_s` its launch's first one there (all of its
    time if there was none), `after_s` the last one, and `between_s`.
    """

    bars: tuple[Bar, ...]
    rays: tuple[Ray, ...]
    relaunches: tuple[Relaunch, ...]
    blocks: tuple[Block, ...]
    attempts: Mapping[str, int]
    runs: int
    span_s: float
    available_s: float
    busy_s: float
    before_s: float
    between_s: float
    after_s: float


@dataclass
class _Session:
    """A launch that had work, and what belongs to it."""

    launch: Launch
    end: float
    attempts: list[Attempt] = field(default_factory=list)
    waves: list[Wave] = field(default_factory=list)

    @property
    def slots(self) -> int:
        used = max((attempt.slot or 0 for attempt in self.attempts), default=-1) + 1
        return max(used, min(self.launch.slots or 0, len(_SLOTS)))


def occupancy(events: Sequence[Recorded], state: GroupState | None = None) -> Occupancy:
    """Gather it from the events of a journal, in any order; `state` is their fold, if at hand.

    An attempt lasts from its `started` to its `ended`, at most until its launch's end, which is
    the last sign of life of a launch that was killed. Launches without work are left out, and so
    are evaluations, which are no attempts.
    """
    state = fold(events) if state is None else state
    sessions = _sessions(events, state)
    shown = _clock(sessions)
    lanes = _lanes([(session.launch.started, session.end) for session in sessions])
    blocks = _blocks(sessions, lanes)
    counts = Counter(_word(a) for session in sessions for a in session.attempts)
    bars: list[Bar] = []
    shares: list[tuple[float, ...]] = [(0.0,) * 5]
    for session, lane in zip(sessions, lanes, strict=True):
        by_slot = _bars(session, counts)
        shares.append(_shares(session, by_slot.values()))
        first = blocks[lane].first
        bars += [
            replace(bar, row=first + bar.row, start=shown(bar.start), end=shown(bar.end))
            for own in by_slot.values()
            for bar in own
        ]
    available, busy, before, between, after = map(math.fsum, zip(*shares, strict=True))
    return Occupancy(
        bars=tuple(sorted(bars, key=lambda bar: (bar.row, bar.start))),
        rays=_rays(sessions, shown),
        relaunches=_relaunches(sessions, shown),
        blocks=blocks,
        attempts=counts,
        runs=sum(any(a.slot in _SLOTS for a in run.attempts) for run in state.runs.values()),
        span_s=max((shown(session.end) for session in sessions), default=0.0),
        available_s=available,
        busy_s=busy,
        before_s=before,
        between_s=between,
        after_s=after,
    )


def rarest(words: Iterable[str], counts: Mapping[str, int]) -> str:
    """What many attempts drawn as one are shown as: so a lone crash among thousands is seen."""
    return min(words, key=lambda word: (counts.get(word, 0), word))


def _word(attempt: Attempt) -> str:
    if attempt.outcome is not None:
        return str(attempt.outcome)
    return RUNNING if attempt.running else INTERRUPTED


def _sessions(events: Sequence[Recorded], state: GroupState) -> list[_Session]:
    """The launches that had work, by start."""
    attempts = [
        attempt
        for run in state.runs.values()
        for attempt in run.attempts
        if attempt.started is not None and attempt.slot in _SLOTS
    ]
    by_writer: dict[str, list[_Session]] = defaultdict(list)
    training = [launch for launch in state.launches if launch.purpose != EVALUATE]
    for launch in [*training, *_unannounced(attempts, state.launches)]:
        by_writer[launch.writer].append(_Session(launch, launch.ended or launch.started))

    def of(writer: str, moment: float | None) -> _Session | None:
        own = by_writer.get(writer)
        if not own:
            return None
        later = bisect_right(own, moment or 0.0, key=lambda session: session.launch.started)
        return own[max(later - 1, 0)]

    for attempt in attempts:
        if session := of(attempt.writer, attempt.started):
            session.attempts.append(attempt)
    for wave in state.waves:
        if session := of(wave.writer, wave.started or wave.ended):
            session.waves.append(wave)
    for writer, moment in _signs(events, attempts):
        session = of(writer, moment)
        if session is not None and session.launch.ended is None:
            session.end = max(session.end, moment)
    found = [session for own in by_writer.values() for session in own]
    for session in found:  # clocks that were set back leave no negative time
        session.end = max(session.end, session.launch.started)
    busy = [session for session in found if session.attempts or session.waves]
    return sorted(busy, key=lambda session: (session.launch.started, session.launch.writer))


def _unannounced(attempts: Iterable[Attempt], launches: Iterable[Launch]) -> list[Launch]:
    """Stand-ins for launches whose first line was lost."""
    known = {launch.writer for launch in launches}
    first: dict[str, float] = {}
    for attempt in attempts:
        if attempt.writer not in known:
            started = attempt.started or 0.0
            first[attempt.writer] = min(first.get(attempt.writer, started), started)
    return [Launch(id="", writer=writer, started=started) for writer, started in first.items()]


def _signs(events: Iterable[Recorded], attempts: Iterable[Attempt]) -> Iterable[tuple[str, float]]:
    """(writer, moment) of all that shows a launch alive.

    Its own events, and how long an attempt had worked that another launch found interrupted.
    """
    for event in events:
        yield event.writer, event.time
    for attempt in attempts:
        if attempt.started is not None and attempt.ended is not None:
            alive = attempt.started + (attempt.wall_s or 0.0)
            yield attempt.writer, min(alive, attempt.ended)


def _clock(sessions: Sequence[_Session]) -> Callable[[float], float]:
    """Unix time → seconds since the first launch in which any launch was alive."""
    starts: list[float] = []
    ends: list[float] = []
    before: list[float] = []
    for session in sessions:
        if ends and session.launch.started <= ends[-1]:
            ends[-1] = max(ends[-1], session.end)
        else:
            before.append(before[-1] + ends[-1] - starts[-1] if ends else 0.0)
            starts.append(session.launch.started)
            ends.append(session.end)

    def shown(moment: float) -> float:
        index = max(bisect_right(starts, moment) - 1, 0)
        return before[index] + min(max(moment, starts[index]), ends[index]) - starts[index]

    return shown


def _lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The first lane that is free for each of these (start, end), given by start."""
    busy_until: list[float] = []
    lanes = []
    for start, end in spans:
        lane = next((i for i, until in enumerate(busy_until) if until <= start), len(busy_until))
        busy_until[lane:] = [end, *busy_until[lane + 1 :]]
        lanes.append(lane)
    return lanes


def _blocks(sessions: Sequence[_Session], lanes: Sequence[int]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    first = 0
    for lane in range(max(lanes, default=-1) + 1):
        own = [session for session, its in zip(sessions, lanes, strict=True) if its == lane]
        hosts = dict.fromkeys(session.launch.host or "?" for session in own)
        count = max(session.slots for session in own)
        blocks.append(Block(tuple(hosts), first, count))
        first += count
    return tuple(blocks)


def _bars(session: _Session, counts: Mapping[str, int]) -> dict[int, list[Bar]]:
    """The bars of each slot that a launch has used, in unix time.

    A slot executes one pack at a time, so attempts that overlap are a pack. Only an attempt whose
    end was lost is cut where the slot's next one begins.
    """
    bars: dict[int, list[Bar]] = defaultdict(list)
    open_ends: set[int] = set()  # slots whose last bar has no recorded end
    low, high = session.launch.started, session.end
    for attempt in sorted(session.attempts, key=lambda a: (a.started or 0.0, a.ended or high)):
        start = min(max(attempt.started or 0.0, low), high)
        known = attempt.ended is not None and attempt.ended <= high
        end = max(attempt.ended or 0.0, start) if known else high
        bar = Bar(attempt.slot or 0, start, end, _word(attempt), attempt.wave)
        own = bars[bar.row]
        if own and own[-1].end > start:
            last = own.pop()
            if last.wave == bar.wave and (bar.row not in open_ends or last.start == start):
                word = rarest((last.word, bar.word), counts)
                count = last.attempts + 1
                bar = replace(last, end=max(last.end, end), word=word, attempts=count)
            else:
                own.append(replace(last, end=start))
        own.append(bar)
        (open_ends.discard if known else open_ends.add)(bar.row)
    return bars


def _shares(session: _Session, used: Collection[Sequence[Bar]]) -> tuple[float, ...]:
    """Slot-seconds of a launch: available, busy, before, between and after its bars."""
    start, end = session.launch.started, session.end
    unused = session.slots - len(used)
    return (
        session.slots * (end - start),
        math.fsum(bar.end - bar.start for own in used for bar in own),
        math.fsum(own[0].start - start for own in used) + unused * (end - start),
        math.fsum(after.start - bar.end for own in used for bar, after in pairwise(own)),
        math.fsum(end - own[-1].end for own in used),
    )


def _rays(sessions: Sequence[_Session], shown: Callable[[float], float]) -> tuple[Ray, ...]:
    rays = []
    for session in sessions:
        firsts: dict[int | None, float] = {}
        for attempt in session.attempts:
            started = attempt.started or 0.0
            firsts[attempt.wave] = min(firsts.get(attempt.wave, started), started)
        rays += [_ray(wave, session.end, firsts.get(wave.number), shown) for wave in session.waves]
    rays.sort(key=lambda ray: (ray.start, ray.number))
    lanes = _lanes([(ray.start, ray.end) for ray in rays])
    return tuple(replace(ray, lane=lane) for ray, lane in zip(rays, lanes, strict=True))


def _ray(
    wave: Wave, launch_end: float, first: float | None, shown: Callable[[float], float]
) -> Ray:
    """The phases of a wave whose first attempt started at `first`.

    The journal has the moments of its beginning and end, and, with the end, how long the phases
    took. Of a wave without an end the first attempt shows when Ray had started.
    """
    end = launch_end if wave.ended is None else wave.ended
    start = end if wave.started is None else min(wave.started, end)
    if wave.startup_s is not None:
        ready = start + wave.startup_s
    else:
        ready = end if first is None else first
    ready = min(max(ready, start), end)
    over = end if wave.shutdown_s is None else ready + (wave.training_s or 0.0)
    over = min(max(over, ready), end)
    began = over if first is None else min(max(first, ready), over)
    return Ray(
        number=wave.number,
        lane=0,
        start=shown(start),
        ready=shown(ready),
        began=shown(began),
        over=shown(over),
        end=shown(end),
        died=wave.reason not in (None, "done"),
    )


def _relaunches(
    sessions: Sequence[_Session], shown: Callable[[float], float]
) -> tuple[Relaunch, ...]:
    marks = []
    for index, session in enumerate(sessions[1:], start=1):
        began = session.launch.started
        before = max(sessions[:index], key=lambda earlier: earlier.end)
        over = before.end <= began
        marks.append(
            Relaunch(
                at=shown(began),
                pause_s=max(began - before.end, 0.0),
                earlier=(before.launch.reason or "died") if over else None,
            )
        )
    return tuple(marks)
