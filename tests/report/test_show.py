"""What `sweep show` says of one run."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from sweeper.cli.text import show_text
from sweeper.engine.earlier_attempts import set_aside
from sweeper.errors import RecordError
from sweeper.records import (
    Cause,
    CauseKind,
    GroupFolder,
    JournalWriter,
    Outcome,
    RunFolder,
    append_rows,
    crashed,
    write_atomically,
)
from sweeper.records.events import Ended, Planned, Started
from sweeper.report.show import show


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that diverged, of a group with another one that waits."""
    folder = GroupFolder(tmp_path / "runs", "heads").make()
    run = folder.run("run1").make()
    append_rows(run.metrics_file, [{"step": 1, "loss": 3.0}, {"step": 2, "loss": math.nan}])
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(
            Planned(runs={"run1": {"lr": 0.1}, "run3": {"lr": 0.3}}),
            Started(run="run1", attempt=1, wave=1, slot=0),
            Ended(
                run="run1",
                attempt=1,
                outcome=Outcome.DIVERGED,
                cause=Cause(CauseKind.NOT_FINITE, "loss is nan"),
                metrics={"loss": math.nan},
                last_step=2,
            ),
        )
    return run


def test_show_gives_everything_about_one_run(run: RunFolder) -> None:
    write_atomically(run.config_file, "lr: 0.1\n")
    data = show(run)
    json.dumps(data, allow_nan=False)
    assert (data["id"], data["group"], data["outcome"]) == ("run1", "heads", "diverged")
    assert data["metrics"] == {"loss": "nan"}
    assert data["last"] == {"step": 2, "loss": "nan"}
    assert data["cause"] == {"kind": "not finite", "message": "loss is nan"}
    assert data["config"] == {"lr": 0.1}
    assert data["paths"]["metrics"] == str(run.metrics_file)
    assert data["paths"]["stack"] is None
    assert [attempt["outcome"] for attempt in data["attempts"]] == ["diverged"]
    assert data["started"] <= data["ended"] == data["attempts"][0]["ended"]


def test_every_file_of_a_run_is_listed_with_its_size(run: RunFolder) -> None:
    (run.path / "model.npz").write_bytes(b"x" * 2048)
    (run.path / "plots").mkdir()
    (run.path / "plots" / "orbit.png").write_bytes(b"y")
    (run.path / "plots" / "loop").symlink_to(run.path)
    data = show(run)
    sizes = {file["name"]: file["size_bytes"] for file in data["files"]}
    assert list(sizes) == ["metrics.jsonl", "model.npz", "plots/orbit.png"]
    assert (sizes["model.npz"], sizes["plots/orbit.png"]) == (2048, 1)
    text = show_text(data)
    assert re.search(r"^  model.npz +2 KiB$", text, re.M), text
    assert re.search(r"^ended +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d$", text, re.M), text


def test_the_files_are_those_of_the_attempt_that_decides(run: RunFolder) -> None:
    """It has been tried again since, but that attempt has no end yet."""
    write_atomically(run.log_file, "log 1")
    write_atomically(run.result_file, '{"attempt": 1, "outcome": "diverged"}')
    set_aside(run, 2)
    write_atomically(run.progress_file, '{"attempt": 2}')
    write_atomically(run.log_file, "log 2")
    data = show(run)
    assert data["paths"]["log"] == str(run.attempts / "1" / "log.txt")
    assert data["last"] == {"step": 2, "loss": "nan"}
    assert [file["name"] for file in data["files"]] == [
        "attempts/1/log.txt",
        "attempts/1/metrics.jsonl",
        "attempts/1/result.json",
        "log.txt",
        "progress.json",
    ]
    (end,) = crashed(run.group)
    assert end.log == str(run.attempts / "1" / "log.txt")


def test_a_run_that_never_started(run: RunFolder) -> None:
    never = show(run.group.run("run3"))
    assert (never["outcome"], never["config"], never["attempts"]) == ("waiting", None, [])


def test_a_run_that_is_not_in_the_journal(run: RunFolder) -> None:
    with pytest.raises(RecordError, match="knows no run"):
        show(run.group.run("other"))


@pytest.mark.parametrize(
    ("text", "config"),
    [
        # As trainings read it, by YAML 1.2: in YAML 1.1 these are a text and a truth value.
        ("lr: 1e-3\nhead: no\n", {"lr": 0.001, "head": "no"}),
        ("a: &a [*a]\n", None),
        ("- 1\n", None),
        ("a: [\n", None),
    ],
)
def test_the_config_is_read_as_sweep_files_are(
    run: RunFolder, text: str, config: dict[str, object] | None
) -> None:
    write_atomically(run.config_file, text)
    assert show(run)["config"] == config
