"""The journal survives what happens to files: kills, full disks, garbage, two writers."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import of_kind, recorded

from sweeper.errors import RecordError
from sweeper.records import GroupReader, JournalWriter, fold, read_events, read_journal
from sweeper.records.events import Ended, Launched, LaunchEnded, Recorded, Started
from sweeper.records.outcomes import Outcome

LOST = Ended(run="a", attempt=1, outcome=Outcome.LOST)


def clock_of(*times: float) -> Callable[[], float]:
    moments = iter(times)
    return lambda: next(moments)


def test_appended_events_come_back_stamped(tmp_path: Path) -> None:
    launched, started = Launched(launch="L", total=2), Started(run="a", attempt=1)
    with JournalWriter(tmp_path / "journal", "host-1", clock=clock_of(10.0, 11.5)) as journal:
        journal.append(launched, started)
        journal.append(LOST)
    assert read_events(tmp_path / "journal") == [
        Recorded(launched, "host-1", 0, 10.0),
        Recorded(started, "host-1", 1, 10.0),
        Recorded(LOST, "host-1", 2, 11.5),
    ]


def test_one_append_is_one_write_and_one_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_write, real_sync = os.write, os.fsync

    def write(fd: int, data: bytes) -> int:
        calls.append("write")
        return real_write(fd, data)

    def fsync(fd: int) -> None:
        calls.append("fsync")
        real_sync(fd)

    with JournalWriter(tmp_path, "w") as journal:
        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "fsync", fsync)
        journal.append(*(Started(run=str(index), attempt=1) for index in range(50)))
    assert calls == ["write", "fsync"]
    assert len(read_events(tmp_path)) == 50


def test_a_continued_file_goes_on_counting(tmp_path: Path) -> None:
    for _ in range(3):
        with JournalWriter(tmp_path, "w") as journal:
            journal.append(Launched(launch="L"), LaunchEnded(launch="L", reason="done"))
    assert [event.seq for event in read_events(tmp_path)] == list(range(6))


@given(st.data())
def test_a_tail_torn_at_any_byte_costs_only_itself(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    with JournalWriter(folder, "w", clock=lambda: 1000.0) as writer:
        writer.append(*(Started(run=f"rün-{index}", attempt=1) for index in range(4)))
    (file,) = folder.glob("*.jsonl")
    whole = file.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    file.write_bytes(whole[:cut])
    with JournalWriter(folder, "w") as writer:
        writer.append(replace(LOST, run="after"))
    journal = read_journal(folder)
    complete = whole[:cut].count(b"\n")
    kept = [event.run for event in of_kind(Started, journal.events)]
    # A line that lacks nothing but its line end is whole.
    assert len(kept) in (complete, complete + 1)
    assert kept == [f"rün-{index}" for index in range(len(kept))]
    assert journal.events[-1].event == replace(LOST, run="after")
    assert journal.damaged_lines <= 1
    sequence = [event.seq for event in journal.events]
    assert sequence == sorted(set(sequence))


@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b"[1]"), st.just(b"[" * 9999))))
def test_garbage_between_lines_is_counted_and_hides_nothing(
    tmp_path_factory: pytest.TempPathFactory, garbage: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    good = [{"event": "started", "run": str(index)} for index in range(len(garbage))]
    with (folder / "w.jsonl").open("wb") as file:
        for event, noise in zip(good, garbage, strict=True):
            file.write(json.dumps(event).encode() + b"\n" + noise.replace(b"\n", b"") + b"\n")
    journal = read_journal(folder)
    assert journal.events == recorded(good)
    fold(journal.events)
    noisy = [noise for noise in garbage if noise.replace(b"\n", b"").strip()]
    # Noise may by accident be an object with an event; it never is for these alphabets' sizes.
    assert journal.damaged_lines == len(noisy)


def test_a_power_cut_that_leaves_zeroes_spoils_one_line(tmp_path: Path) -> None:
    (tmp_path / "w.jsonl").write_bytes(b'{"event": "started", "run": "a"}\n' + b"\0" * 300)
    with JournalWriter(tmp_path, "w") as writer:
        writer.append(Started(run="b", attempt=1))
    journal = read_journal(tmp_path)
    assert [event.run for event in of_kind(Started, journal.events)] == ["a", "b"]
    assert journal.damaged_lines == 1


def test_what_is_no_file_in_a_journal_hides_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with JournalWriter(journal, "a") as writer:
        writer.append(Started(run="r1", attempt=1, wave=1, slot=0))
    (journal / "folder.jsonl").mkdir()
    (journal / "gone.jsonl").symlink_to("nowhere")
    os.mkfifo(journal / "pipe.jsonl")
    assert [started.run for started in of_kind(Started, read_events(journal))] == ["r1"]
    assert list(GroupReader(journal).state().runs) == ["r1"]


def test_events_of_a_newer_version_are_ignored_and_no_damage(tmp_path: Path) -> None:
    (tmp_path / "w.jsonl").write_text(
        '{"v": 9, "event": "teleported", "run": "a", "time": 1}\n'
        '{"v": 9, "event": "started", "run": "a", "attempt": 1, "where": {"new": [1]}, "time": 2}\n'
    )
    journal = read_journal(tmp_path)
    assert journal.events == [Recorded(Started(run="a", attempt=1), "", -1, 2.0)]
    assert journal.damaged_lines == 0


def test_numbers_that_are_not_finite_are_strict_json(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "w") as journal:
        journal.append(
            Ended(run="a", outcome=Outcome.DIVERGED, metrics={"loss": math.nan}, attempt=1),
            Ended(run="b", outcome=Outcome.FINISHED, metrics={"loss": -math.inf}, attempt=1),
        )
    text = (tmp_path / "w.jsonl").read_text()
    for line in text.splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    state = fold(read_events(tmp_path))
    assert math.isnan(state.runs["a"].metrics["loss"])
    assert state.runs["b"].metrics["loss"] == -math.inf


def test_a_full_disk_leaves_no_half_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) > 5:
            return real_write(fd, data[:5])
        raise OSError(28, "No space left on device")

    with JournalWriter(tmp_path, "w") as writer:
        writer.append(Started(run="a", attempt=1))
        with monkeypatch.context() as patch:
            # The first write gets through in part, the next ones end the disk.
            remaining = iter([real_write, None])
            patch.setattr(
                os,
                "write",
                lambda fd, data: full(fd, data if next(remaining, None) else data[:3]),
            )
            with pytest.raises(OSError, match="No space") as caught:
                writer.append(LOST)
            assert caught.value.filename == str(writer.path)
        writer.append(LOST)
    journal = read_journal(tmp_path)
    assert [(type(event.event), event.seq) for event in journal.events] == [
        (Started, 0),
        (Ended, 1),
    ]
    assert journal.damaged_lines == 0


def test_files_are_private(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        with JournalWriter(tmp_path / "new" / "journal", "w") as journal:
            journal.append(Launched(launch="L"))
    finally:
        os.umask(old)
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in [tmp_path / "new", tmp_path / "new" / "journal", journal.path]
    }
    assert modes == {"new": 0o700, "journal": 0o700, "w.jsonl": 0o600}


def test_a_writers_name_makes_no_path(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "journal", "../host/0:1") as journal:
        journal.append(Launched(launch="L"))
    assert journal.path.parent == tmp_path / "journal"
    assert [event.writer for event in read_events(tmp_path / "journal")] == ["../host/0:1"]


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path, "w")
    journal.close()
    with pytest.raises(RecordError, match="closed"):
        journal.append(Launched(launch="L"))


@pytest.mark.parametrize("away", ["deleted", "renamed"])
def test_a_journal_that_was_taken_away_says_so(tmp_path: Path, away: str) -> None:
    journal = tmp_path / "g" / "journal"
    journal.mkdir(parents=True)
    with JournalWriter(journal, "w") as writer:
        writer.append(Started(run="a", attempt=1))
        shutil.rmtree(journal) if away == "deleted" else journal.parent.rename(tmp_path / "h")
        for use in (writer.check, lambda: writer.append(Started(run="b", attempt=1))):
            with pytest.raises(RecordError, match=rf"{journal}/w.jsonl was moved or deleted"):
                use()


def test_what_was_appended_survives_a_kill_of_the_writer(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sweeper.records import GroupReader, JournalWriter\n"
        "from sweeper.records.events import Started\n"
        "journal = JournalWriter(Path(sys.argv[1]), 'w')\n"
        "journal.append(Started(run='a', attempt=1))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [event.run for event in of_kind(Started, read_events(tmp_path))] == ["a"]


def test_a_hundred_thousand_events_take_seconds(tmp_path: Path) -> None:
    runs = [f"run{index:07d}" for index in range(50_000)]
    began = time.process_time()
    with JournalWriter(tmp_path, "w") as journal:
        for start in range(0, len(runs), 500):
            batch = runs[start : start + 500]
            journal.append(*(Started(run=run, attempt=1) for run in batch))
            journal.append(
                *(
                    Ended(
                        run=run,
                        attempt=1,
                        outcome=Outcome.FINISHED,
                        wall_s=12.5,
                        metrics={"loss": 0.1, "test/mean": 2.0},
                    )
                    for run in batch
                )
            )
    state = fold(read_events(tmp_path))
    spent = time.process_time() - began
    assert state.counts()["finished"] == len(runs)
    assert spent < 15, f"{spent:.1f} s of processor time"  # 3 s on an idle core
