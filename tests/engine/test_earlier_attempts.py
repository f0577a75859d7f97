"""What earlier attempts have left: kept, bounded, and out of the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.engine.earlier_attempts import set_aside
from sweeper.records.layout import RunFolder


def attempted(folder: RunFolder, number: int, outcome: str, **files: str) -> RunFolder:
    """As after an attempt that left these files besides the usual ones."""
    folder.make()
    folder.config_file.write_text("seed: 1\n")
    folder.progress_file.write_text(json.dumps({"attempt": number}))
    folder.result_file.write_text(json.dumps({"attempt": number, "outcome": outcome}))
    folder.log_file.write_text(f"log {number}")
    for name, text in files.items():
        (folder.path / name).write_text(text)
    return folder


def tree(folder: RunFolder) -> list[str]:
    return sorted(str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "abcdefghij")


def test_an_attempt_begins_in_a_clean_folder_and_the_last_ones_files_are_kept(
    folder: RunFolder,
) -> None:
    attempted(folder, 1, "crashed", model="weights")
    (folder.path / "plots").mkdir()
    (folder.path / "plots" / "a.png").write_text("plot")
    set_aside(folder, 2)
    assert tree(folder) == [
        "attempts/1/log.txt",
        "attempts/1/model",
        "attempts/1/plots/a.png",
        "attempts/1/result.json",
        "config.yaml",
        "progress.json",
    ]


def test_ten_retries_keep_one_attempt_that_finished_and_one_that_did_not(
    folder: RunFolder,
) -> None:
    outcomes = ["crashed", "finished", "lost", *["crashed"] * 7]
    for number, outcome in enumerate(outcomes, start=1):
        attempted(folder, number, outcome)
        set_aside(folder, number + 1)
    assert [kept.path.name for kept in folder.kept_attempts()] == ["10", "2"]
    assert folder.trained().path.name == "2"


def test_the_files_of_each_attempt_are_found(folder: RunFolder) -> None:
    attempted(folder, 1, "finished")
    assert folder.of_attempt(1) == folder.trained() == folder
    set_aside(folder, 2)
    attempted(folder, 2, "crashed")
    assert folder.of_attempt(2) == folder
    assert folder.of_attempt(1) == folder.trained() == RunFolder(folder.attempts / "1")


def test_what_was_cut_short_is_gone_on_with(folder: RunFolder) -> None:
    """The supervisor died between two of the renames."""
    attempted(folder, 4, "crashed", model="weights")
    (folder.attempts / "4").mkdir(parents=True)
    folder.log_file.rename(folder.attempts / "4" / "log.txt")
    set_aside(folder, 5)
    assert [name for name in tree(folder) if name.startswith("attempts")] == [
        "attempts/4/log.txt",
        "attempts/4/model",
        "attempts/4/result.json",
    ]


def test_records_of_early_versions_and_folders_without_files_are_no_trouble(
    folder: RunFolder,
) -> None:
    folder.make()
    set_aside(folder, 1)
    assert tree(folder) == []
    folder.log_file.write_text("no number anywhere")
    set_aside(folder, 3)
    assert tree(folder) == ["attempts/2/log.txt"]


def test_a_name_that_the_training_took_does_not_stop_the_next_attempt(folder: RunFolder) -> None:
    outside = folder.path.parent.parent / "outside"
    outside.mkdir()
    attempted(folder, 1, "crashed")
    folder.attempts.symlink_to(outside)
    set_aside(folder, 2)
    assert list(outside.iterdir()) == []
    assert "attempts/1/log.txt" in tree(folder)
    (folder.path / "result.json").mkdir()
    set_aside(folder, 2)
    assert (folder.attempts / "1" / "result.json").is_dir()


WORKER = """
import os, sys
from pathlib import Path
from sweeper.engine.protocol import Task, WorkerSetup
from sweeper.engine.scratch import WaveScratch
from sweeper.engine.status_table import StatusTable
from sweeper.engine.worker import Worker

scratch, folder = map(Path, sys.argv[1:])
StatusTable.create(WaveScratch(scratch).status_table, 1)
cpus = tuple(os.sched_getaffinity(0))
worker = Worker(WorkerSetup(cpus, "benchmarks.noop", (), str(scratch), None))
task = Task(folder.name, 2, {"seed": 1}, str(folder), 0)
print(*worker.execute([task]))
"""


def test_what_cannot_be_moved_is_a_cause_and_no_dead_worker(
    folder: RunFolder, tmp_path: Path
) -> None:
    attempted(folder, 1, "crashed")
    folder.attempts.mkdir()
    (folder.attempts / "1").write_text("in the way")
    (tmp_path / "scratch" / "stacks").mkdir(parents=True)
    command = [sys.executable, "-c", WORKER, str(tmp_path / "scratch"), str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "outcome=<Outcome.CRASHED: 'crashed'>" in done.stdout
    assert f"{folder.attempts / '1'} can't be made: File exists" in done.stdout
    assert folder.log_file.read_text() == "log 1"
