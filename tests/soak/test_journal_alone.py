"""A hundred thousand runs through the journal alone: write, fold, resume, status."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from soak.driver import Say

from sweeper.config import read_sweep
from sweeper.plan import remaining
from sweeper.records import GroupFolder, JournalWriter, crashed, fold, read_events, status
from sweeper.records.events import Ended, Event, Launched, Planned, Started
from sweeper.records.outcomes import Cause, CauseKind, Outcome

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

Timed = Callable[[str], AbstractContextManager[None]]

RUNS = 10_000 if os.environ.get("SOAK") == "short" else 100_000
BATCH = 50  # as many ends as a supervisor with short runs writes at once


@pytest.fixture
def timed(say: Say) -> Timed:
    @contextmanager
    def measure(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        say(f"{RUNS} runs: {what:<36} {time.monotonic() - began:7.2f} s")

    return measure


def events_of(ids: list[str], dice: random.Random) -> Iterator[Event]:
    """A launch that was killed near its end: 1 % crashed, 1 % have no end, 1 % no start."""
    for place, run in enumerate(ids):
        fate = dice.random()
        if fate < 0.01:
            continue
        wave = place // 1000 + 1
        yield Started(run=run, attempt=1, wave=wave, slot=place % 192)
        if fate < 0.02:
            continue
        end = Ended(
            run=run,
            attempt=1,
            outcome=Outcome.FINISHED,
            wave=wave,
            last_step=999,
            wall_s=68.0 + dice.random(),
            cpu_s=66.0,
            rss_peak_bytes=400_000_000,
        )
        if fate < 0.03:
            cause = Cause(CauseKind.EXCEPTION, "no usable segment", "ValueError", "training.py:17")
            yield replace(end, outcome=Outcome.CRASHED, cause=cause)
        else:
            metrics = {"loss": dice.random(), "mean_error": dice.random()}
            yield replace(end, metrics=metrics)


def test_a_hundred_thousand_runs(tmp_path: Path, timed: Timed, say: Say) -> None:
    file = tmp_path / "big.yaml"
    file.write_text(f"trainer: trainers.soaked\ngroup: big\nseeds: {RUNS}\n")
    folder = GroupFolder(tmp_path / "runs", "big").make()
    with timed("read the sweep, name every run"):
        sweep = read_sweep(file)
        planned = {spec.id: dict(spec.axis_values) for spec in sweep}
    ids = list(planned)
    assert len(ids) == RUNS
    events = list(events_of(ids, random.Random(7)))

    with timed("write"), JournalWriter(folder.journal_dir, "host-big") as journal:
        journal.append(Launched(launch="big", host="host", total=RUNS))
        for at in range(0, RUNS, 1000):
            journal.append(Planned(runs={run: planned[run] for run in ids[at : at + 1000]}))
        for at in range(0, len(events), BATCH):
            journal.append(*events[at : at + BATCH])
    size = sum(path.stat().st_size for path in folder.journal_dir.iterdir())

    with timed("read and fold"):
        state = fold(read_events(folder.journal_dir))
    ends = {event.run: event.outcome for event in events if isinstance(event, Ended)}
    outcomes = list(ends.values())
    counts = state.counts()
    assert counts["finished"] == outcomes.count(Outcome.FINISHED)
    assert counts["crashed"] == outcomes.count(Outcome.CRASHED)
    assert counts["waiting"] + counts["running"] + counts["interrupted"] == RUNS - len(ends)

    with timed("plan what is left"):
        plan = remaining(sweep, state.without_writers({"host-big"}))  # known to be dead
    left = {run.spec.id for wave in plan.waves for pack in wave.packs for run in pack.runs}
    assert left == {run for run in ids if ends.get(run) != "finished"}

    with timed("status"):
        told = status(folder)
    assert told["counts"]["finished"] == outcomes.count(Outcome.FINISHED)
    assert told["total"] == RUNS
    with timed("list crashed runs"):
        bad = crashed(folder)
    assert {item.id for item in bad} >= {run for run in ends if ends[run] == "crashed"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    say(f"journal {size / 1e6:.1f} MB; peak of memory {peak / 1e6:.0f} MB")
