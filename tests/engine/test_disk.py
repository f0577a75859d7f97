"""Disks that are small or that runs fill: a sweep pauses or ends, and loses nothing.

The launches get a mount namespace of their own with small temporary file systems, so that nobody
else's disk is filled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Bench, mount_namespace, orderly

from sweeper.records.outcomes import CauseKind, Outcome
from sweeper.records.state import Wave

NAMESPACE = mount_namespace("/dev/shm")
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(
        not NAMESPACE, reason="this machine gives no mount namespaces (unshare --mount)"
    ),
]


def mischief(bench: Bench, group: str, deeds: list[str]) -> Path:
    return bench.write(
        group,
        f"trainer: mischief\ngroup: {group}\nzip: [deed, lane]\n"
        f"deed: {json.dumps(deeds)}\nlane: {list(range(len(deeds)))}\n",
    )


def test_a_launch_on_a_small_disk_is_refused(bench: Bench) -> None:
    mischief(bench, "small", ["finish"])
    result = bench.in_namespace(
        NAMESPACE,
        f"mount -t tmpfs -o size=64m none {bench.scratch}\n"
        "sweep launch small.yaml --cpus 1 || echo status $?\n"
        f"ls {bench.scratch}",
    )
    assert "nearly full" in orderly(result.stderr)
    assert str(bench.scratch) in result.stderr
    assert result.stdout.splitlines()[-1] == "status 2"  # and nothing in the scratch


def ends(bench: Bench) -> list[tuple[Outcome | None, CauseKind | None]]:
    """Outcome and kind of cause of each run, in the order in which they were planned."""
    runs = bench.state("full").runs.values()
    return [
        (run.outcome, run.cause.kind if run.cause else None)
        for run in sorted(runs, key=lambda run: int(run.axis_values["lane"]))
    ]


FINISHED = (Outcome.FINISHED, None)
NO_SPACE = (Outcome.CRASHED, CauseKind.NO_DISK_SPACE)
STOPPED = (Outcome.STOPPED, CauseKind.ASKED_TO_STOP)
WAITING = (None, None)


def test_a_full_temp_disk_pauses_the_sweep_before_it_burns_through(bench: Bench) -> None:
    mischief(bench, "full", ["finish", "fill the temp folder", "wait for stop", *["finish"] * 4])
    result = bench.in_namespace(
        NAMESPACE,
        f"mount -t tmpfs -o size=400m none {bench.scratch}\n"
        # One slot: what follows meets the full disk.
        "sweep launch full.yaml --cpus 1 || echo status $?\n"
        f"ls {bench.scratch}",
    )
    assert result.stdout.splitlines()[-1] == "status 4", orderly(result.stdout + result.stderr)
    assert "nearly full" in result.stdout
    assert ends(bench) == [FINISHED, NO_SPACE, STOPPED, *[WAITING] * 4]
    bench.assert_every_attempt_ended_once("full")
    bench.assert_nothing_is_left()


def saved(bench: Bench) -> Bench:
    """A bench of the records that a script copied to `out` before its file systems were gone."""
    copy = Bench(bench.path / "saved", bench.scratch)
    copy.path.mkdir()
    (bench.path / "out").rename(copy.path / "runs")
    return copy


def test_a_nearly_full_records_disk_pauses_the_sweep(bench: Bench) -> None:
    mischief(bench, "full", ["finish", "nearly fill its folder", "wait for stop", "finish"])
    records = bench.path / "runs"
    result = bench.in_namespace(
        NAMESPACE,
        f"mkdir {records}\nmount -t tmpfs -o size=400m none {records}\n"
        "sweep launch full.yaml --cpus 1 || echo first $?\n"
        "rm runs/full/runs/*/filler\n"
        f"cp -r {records} out",
    )
    said = orderly(result.stdout + result.stderr)
    assert "first 4" in result.stdout.splitlines(), said
    assert "nearly full" in result.stdout
    copy = saved(bench)
    assert ends(copy) == [FINISHED, FINISHED, STOPPED, WAITING]
    copy.assert_every_attempt_ended_once("full")
    bench.assert_nothing_is_left()


def test_a_full_records_disk_loses_no_end(bench: Bench) -> None:
    """The tables of the launch can't be saved; the journal, on a disk of its own here, is whole."""
    mischief(bench, "full", ["finish", "fill its folder", "finish"])
    records = bench.path / "runs"
    journal = records / "full" / "journal"
    result = bench.in_namespace(
        NAMESPACE,
        f"mkdir {records}\nmount -t tmpfs -o size=400m none {records}\n"
        # On the full disk, a journal would by chance find the rest of a page, or none.
        f"mkdir -p -m 700 {journal}\nmount -t tmpfs -o size=1m,mode=700 none {journal}\n"
        "sweep launch full.yaml --cpus 1 || echo first $?\n"
        "sweep status full --json > status.json\n"
        "rm runs/full/runs/*/filler\n"
        f"cp -r {records} out",
    )
    said = orderly(result.stdout + result.stderr)
    assert "first 3" in result.stdout.splitlines(), said
    assert f"{records / 'full' / 'results'}" in result.stderr
    assert "No space left on device" in result.stderr
    assert json.loads((bench.path / "status.json").read_text())["running"] == []
    copy = saved(bench)
    assert ends(copy)[:2] == [FINISHED, NO_SPACE]
    (full,) = [run for run in copy.state("full").runs.values() if run.axis_values["lane"] == 1]
    assert full.cause is not None
    folder = records / "full" / "runs" / full.id
    assert full.cause.message.startswith(
        f"[Errno 28] No space left on device (0 B free at {folder}, "
    )
    copy.assert_every_attempt_ended_once("full")
    bench.assert_nothing_is_left()


def test_a_journal_that_finds_no_room_ends_the_launch_and_loses_nothing(bench: Bench) -> None:
    runs = 40
    bench.write("full", f"trainer: sabotage\ngroup: full\nseeds: {runs}\n")
    journal = bench.path / "runs" / "full" / "journal"
    result = bench.in_namespace(
        NAMESPACE,
        f"mkdir -p -m 700 {journal}\n"
        # Each run takes some 600 bytes.
        f"mount -t tmpfs -o size=16k,mode=700 none {journal}\n"
        "sweep launch full.yaml --cpus 1 || echo first $?\n"
        f"mount -o remount,size=10m {journal}\n"
        "sweep status full --json > status.json\n"
        "sweep launch full.yaml --cpus 1 && echo second $?\n"
        f"cp -r {bench.path / 'runs'} out",
    )
    said = orderly(result.stdout + result.stderr)
    assert "first 2" in result.stdout.splitlines(), said
    file = r"/full/journal/\S+\.jsonl: No space left on device"
    assert re.search(file, result.stderr), said
    assert "second 0" in result.stdout.splitlines(), said
    between = json.loads((bench.path / "status.json").read_text())
    assert between["running"] == []
    assert 1 <= between["counts"]["finished"] < runs
    copy = saved(bench)
    state = copy.state("full")
    assert state.counts()["finished"] == runs
    good = [a for run in state.runs.values() for a in run.attempts if a.outcome == "finished"]
    assert len(good) == runs
    copy.assert_every_attempt_ended_once("full")
    bench.assert_nothing_is_left()


@pytest.fixture(scope="module")
def leaking(new_bench: Callable[[], Bench]) -> list[Wave]:
    """Waves whose runs leave files in the temp folder until they are replaced; one run is long."""
    bench, runs = new_bench(), 24
    bench.write(
        "it",
        "trainer: reckless\ngroup: it\nzip: [deed, seconds, seed]\n"
        f"deed: {json.dumps(['finish', *['leave files'] * runs])}\n"
        f"seconds: {[35.0, *[1.0] * runs]}\nseed: {list(range(runs + 1))}\n",
    )
    done = bench.in_namespace(
        NAMESPACE,
        f"mount -t tmpfs -o size=900m none {bench.scratch}\nsweep launch it.yaml --cpus 2",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(bench.state("it").waves, key=lambda wave: wave.number)


def test_a_wave_is_replaced_before_the_budget_for_scratch_is_reached(
    leaking: list[Wave],
) -> None:
    assert len(leaking) >= 2
    assert {wave.reason for wave in leaking} == {"done"}
    peaks = [wave.scratch_peak_bytes or 0 for wave in leaking]
    # 45 % of the 256 MiB that are the budget on this disk, then what runs left until it was seen.
    assert 0.45 * 2**28 < max(peaks) < 2**28


def test_slots_are_used_while_a_drained_wave_ends(leaking: list[Wave]) -> None:
    assert leaking[1].started is not None
    assert leaking[0].ended is not None
    assert leaking[1].started < leaking[0].ended - 5.0
