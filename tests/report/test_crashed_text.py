"""What `sweep crashed` prints: `RENEW_GOLDEN=1 pytest tests/report` renews the golden texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeper.cli.text import crashed_text
from sweeper.diagnosis.explain import crash_groups
from sweeper.records import GroupFolder, JournalWriter, write_atomically
from sweeper.records.events import Ended, Launched, Planned
from sweeper.records.outcomes import Cause, Outcome

AXES: dict[str, list[Any]] = {
    "data.dataset_name": [f"complex_TBP_planar_{n}_train" for n in (1, 10)],
    "parameters.segment_length_strategy": [[4], [18], [200]],
    "parameters.activation": ["tanh", "leaky_relu"],
    "parameters.lr": [0.001, 0.01, 0.1],
    "parameters.seed": [0, 1],
}


def end_of(
    number: int, dataset: str, segment: list[int], activation: str, lr: float
) -> tuple[str, dict[str, str] | None]:
    if segment == [200] and dataset.endswith("_1_train"):
        message = f"no segment of 200 points in orbit {number}"
        where = {"type": "ValueError", "place": "models/orbits.py:88"}
        return "crashed", {"kind": "exception", "message": message, **where}
    if (lr == 0.1 and activation == "tanh") != (number in {15, 68}):
        message = f"loss is nan at step {10 * number}"
        return "diverged", {"kind": "not finite", "message": message}
    if number in {8, 44, 63}:
        said = "killed from outside (the process vanished without a trace)"
        return "crashed", {"kind": "signal", "type": "SIGKILL", "message": said}
    if number in {70, 71}:
        return "stopped", {"kind": "asked to stop", "message": "the launch was stopped"}
    return "finished", None


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GroupFolder:
    """A group with an exact cause, a tendency, one without a condition, and two runs stopped."""
    monkeypatch.chdir(tmp_path)  # so that the paths in the texts are the same anywhere
    folder = GroupFolder(Path("runs"), "heads").make()
    points = [dict(zip(AXES, v, strict=True)) for v in itertools.product(*AXES.values())]
    runs = {f"run{i:04d}": point for i, point in enumerate(points)}
    with JournalWriter(folder.journal_dir, "w", clock=lambda: 1000.0) as journal:
        journal.append(
            Launched(launch="L", total=len(runs)),
            Planned(runs=runs),
        )
        for number, (run, point) in enumerate(runs.items()):
            outcome, cause = end_of(number, *list(point.values())[:4])
            journal.append(
                Ended(
                    run=run,
                    attempt=1,
                    outcome=Outcome(outcome),
                    cause=Cause.from_plain(cause) if cause else None,
                    last_step=10 * number if outcome == "diverged" else None,
                )
            )
            if outcome == "crashed":
                write_atomically(folder.run(run).make().log_file, "what it printed")
                write_atomically(folder.run(run).config_file, "x: 1\n")
    return folder


def test_causes_first_then_their_runs(
    heads: GroupFolder, golden: Callable[[str, str], None]
) -> None:
    golden("crashed.txt", crashed_text(crash_groups(heads)))


def test_twenty_runs_of_a_cause_are_listed_and_all_if_asked_for(heads: GroupFolder) -> None:
    answer = crash_groups(heads)
    exact = max(answer["causes"], key=lambda cause: cause["outcome"] == "crashed" and cause["runs"])
    answer["causes"].remove(exact)
    (most,) = (cause for cause in answer["causes"] if cause["runs"] > 10)
    most["ids"] = [*most["ids"], *exact["ids"]]
    most["runs"] = len(most["ids"])
    short, whole = crashed_text(answer), crashed_text(answer, everything=True)
    left_out = most["ids"][20:]
    assert left_out
    assert f"… and {len(left_out)} more diverged for this cause: see --all\n" in short
    assert "--all" not in whole
    for run in answer["runs"]:
        listed = f"\n{run['id']}  {run['outcome']}  "
        assert listed in whole
        assert (listed in short) == (run["id"] not in left_out)


def test_nothing_crashed(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path / "runs", "g").make()
    assert crashed_text(crash_groups(folder)) == "g: every run that has ended is finished\n"


def test_all_crashed(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path / "runs", "g").make()
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(Planned(runs={"a": {"x": 1}, "b": {"x": 2}}))
        for run in "ab":
            journal.append(Ended(run=run, outcome=Outcome.TIMED_OUT, attempt=1))
    text = crashed_text(crash_groups(folder))
    assert text.startswith(
        "g: 2 runs without a good outcome, 1 cause\n"
        "\n"
        "2 timed out: unknown cause\n"
        "    when      every run that has ended: 2 of 2 timed out\n"
        "    example   a\n"
    )
