"""The `Run` that a training sees."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Clock

from sweeper.engine.run_context import RunContext
from sweeper.errors import Diverged
from sweeper.records import RunFolder, read_rows


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(tmp_path: Path, clock: Clock) -> RunContext:
    return RunContext("abc", RunFolder(tmp_path), tmp_path / "stop", clock=clock)


def test_rows_are_written_in_batches(run: RunContext, clock: Clock) -> None:
    for step in range(100):
        run.log(step, loss=1.0 / (step + 1))
    assert not run.record.metrics_file.exists()
    clock.now = 2.5
    run.log(100, loss=0.5, lr=1e-3)
    rows = read_rows(run.record.metrics_file)
    assert [row["step"] for row in rows] == list(range(101))
    assert rows[-1] == {"step": 100, "time": 2.5, "loss": 0.5, "lr": 1e-3}
    assert run.metrics == {"loss": 0.5, "lr": 1e-3}


def test_a_loss_that_is_not_finite_ends_the_run_and_is_kept(run: RunContext) -> None:
    run.log(1, loss=1.0, percent=float("nan"))
    with pytest.raises(Diverged, match="loss is nan at step 2") as caught:
        run.log(2, loss=float("nan"))
    assert caught.value.step == 2  # and it is on disk: the process may not live any longer
    assert [row["step"] for row in read_rows(run.record.metrics_file)] == [1, 2]


def test_metrics_are_numbers_or_arrays_of_one(run: RunContext) -> None:
    values: dict[str, Any] = {"a": np.array([0.5]), "b": np.float32(0.25), "c": True}
    run.log(1, **values)
    assert run.metrics == {"a": 0.5, "b": 0.25, "c": 1.0}
    with pytest.raises(TypeError, match=r"log\(\) takes numbers, but the metric 'd' is None"):
        run.log(2, d=None)  # type: ignore[arg-type]


def test_threads_that_log_at_once_lose_and_double_no_row(run: RunContext) -> None:
    def log(number: int) -> None:
        for step in range(3000):
            run.log(step, **{f"m{number}": step})

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.flush()
    rows = read_rows(run.record.metrics_file)
    for number in range(4):
        assert [row["step"] for row in rows if f"m{number}" in row] == list(range(3000))


def test_save_is_whole_or_not_at_all(run: RunContext) -> None:
    run.save("model.txt", lambda path: path.write_text("old"))

    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        run.save("model.txt", fails)
    assert (run.folder / "model.txt").read_text() == "old"
    assert [file.name for file in run.folder.iterdir()] == ["model.txt"]


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "metrics.jsonl", "result.json", "log.txt", "progress.json", "stack.txt"],
)
def test_save_leaves_the_records_alone(run: RunContext, name: str) -> None:
    (run.folder / name).write_text("record")
    with pytest.raises(ValueError, match=f"'{name}', which is a file of the records"):
        run.save(name, lambda path: path.write_text("x"))
    assert (run.folder / name).read_text() == "record"


@pytest.mark.parametrize("name", ["../escape.txt", "a/b.txt", "/tmp/absolute.txt"])
def test_save_stays_in_the_folder(run: RunContext, name: str) -> None:
    with pytest.raises(ValueError, match="without folders"):
        run.save(name, lambda path: path.write_text("x"))


def test_the_stop_flag_is_seen_and_stays_seen(
    run: RunContext, clock: Clock, tmp_path: Path
) -> None:
    assert not run.should_stop()
    (tmp_path / "stop").touch()
    clock.now = 0.05
    assert not run.should_stop()  # looked a moment ago
    clock.now = 0.2
    assert run.should_stop()
    (tmp_path / "stop").unlink()
    assert run.should_stop()


def test_progress_is_told_at_most_once_a_second(run: RunContext, clock: Clock) -> None:
    run.progress(0.1)
    run.progress(0.2)
    told = json.loads(run.record.progress_file.read_text())
    assert told["fraction"] == 0.1
    clock.now = 1.0
    run.progress(7.0)
    assert json.loads(run.record.progress_file.read_text())["fraction"] == 1.0


def test_two_attempts_that_meet_in_a_folder_share_no_file(tmp_path: Path, clock: Clock) -> None:
    ghost = RunContext("abc", RunFolder(tmp_path), tmp_path / "stop", clock=clock)
    ghost.begin()
    ghost.log(1, loss=1.0)
    ghost.flush()
    successor = RunContext("abc", RunFolder(tmp_path), tmp_path / "stop", attempt=2, clock=clock)
    successor.begin()
    assert (ghost.displaced, successor.displaced) == (True, False)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    ghost.log(2, loss=1.0)
    for write in (
        ghost.flush,
        lambda: ghost.progress(0.5),
        lambda: ghost.save("model.txt", lambda path: path.write_text("old")),
    ):
        with pytest.raises(OSError, match="another attempt at this run has begun here"):
            write()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    clock.now = 5.0
    successor.progress(0.5)
    assert json.loads(successor.record.progress_file.read_text())["attempt"] == 2


def test_a_folder_that_the_training_cleared_is_still_its_own(run: RunContext) -> None:
    run.begin()
    run.record.progress_file.unlink()
    run.log(1, loss=1.0)
    run.flush()
    assert [row["step"] for row in read_rows(run.record.metrics_file)] == [1]


def test_the_first_step_is_noticed_once(tmp_path: Path) -> None:
    first: list[str] = []
    run = RunContext(
        "abc", RunFolder(tmp_path), tmp_path / "stop", at_first_step=lambda: first.append("now")
    )
    assert first == []
    run.log(0, loss=1.0)
    run.log(1, loss=0.5)
    assert first == ["now"]
