"""`--where` and `--limit` on commands that read records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeper.cli import app
from sweeper.errors import SweeperError
from sweeper.records import Cause, CauseKind, GroupFolder, JournalWriter, Outcome
from sweeper.records.events import Ended, Planned

HEADS = ("tanh", "elu", "gelu")


@pytest.fixture
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """12 runs: three activations, two optimisers, two seeds; those of `elu` have crashed."""
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    folder = GroupFolder(tmp_path / "runs", "heads").make()
    runs = {
        f"run{i:03d}": {
            "net.activation": HEADS[i // 4],
            "optimiser": {"name": "sgd", "rate": 0.1 * (i // 2 % 2)},
            "steps": [[1], [1, 2]][i // 2 % 2],
            "seed": i % 2,
        }
        for i in range(12)
    }
    with JournalWriter(folder.journal_dir, "w") as journal:
        journal.append(Planned(runs=runs, fixed={"width": 1.0, "on": True}, headline="loss"))
        for run, values in runs.items():
            bad = values["net.activation"] == "elu"
            cause = Cause(CauseKind.EXCEPTION, "no", "KeyError") if bad else None
            outcome = Outcome.CRASHED if bad else Outcome.FINISHED
            metrics = {} if bad else {"loss": 1.0}
            journal.append(Ended(run=run, attempt=1, outcome=outcome, cause=cause, metrics=metrics))
    return folder.runs_dir


def printed(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], command: str, *arguments: str
) -> str:
    app([command, "heads", "--runs-dir", str(runs_dir), *arguments], exit_on_error=False)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        (["activation=tanh"], {"finished": 4}),
        (["activation=[tanh,elu]"], {"finished": 4, "crashed": 4}),
        (["net.activation=elu,seed=1"], {"crashed": 2}),
        (["activation=tanh,seed=1", "activation=elu,seed=0"], {"finished": 2, "crashed": 2}),
        (["optimiser.rate=0.1"], {"finished": 4, "crashed": 2}),
        (["steps=[1,2]", "activation=gelu"], {"finished": 6, "crashed": 2}),
        (["width=1,on=true"], {"finished": 8, "crashed": 4}),
        (["activation=[tanh,elu]", "--limit", "5"], {"finished": 4, "crashed": 1}),
    ],
)
def test_status_counts_the_runs_that_match(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], where: list[str], counts: dict[str, int]
) -> None:
    words = [word for text in where for word in (["--where"] if "=" in text else []) + [text]]
    answer: dict[str, Any] = json.loads(printed(runs_dir, capsys, "status", *words, "--json"))
    assert {word: count for word, count in answer["counts"].items() if count} == counts
    assert (answer["total"], answer["chosen_of"]) == (sum(counts.values()), 12)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("activatin=tanh", "`activatin` is not a key of the config; did you mean `activation`?"),
        ("activation=tanj", "`net.activation` is never `tanj` in this sweep; did you mean `tanh`?"),
        ("seed=2", "`seed` is never `2` in this sweep; it has `0`, `1`"),
        ("width=2", "`width` is never `2` in this sweep; it has `1`"),
        ("seed", "expected `key=value`, got `seed`"),
    ],
)
def test_what_holds_for_no_run_is_an_error_as_for_a_file(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], where: str, message: str
) -> None:
    with pytest.raises(SweeperError) as caught:
        printed(runs_dir, capsys, "status", "--where", where)
    assert str(caught.value) == f"--where: {message}"


def test_every_text_says_of_how_many_runs_it_speaks(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = "4 of 12 runs, where activation = elu"
    where = ("--where", "activation=elu")
    first = printed(runs_dir, capsys, "status", *where).splitlines()[0]
    assert first == f"heads: 0 of 4 finished; 4 crashed ({part})"
    first = printed(runs_dir, capsys, "crashed", *where).splitlines()[0]
    assert first == f"heads: 4 runs without a good outcome, 1 cause ({part})"
    assert part in printed(runs_dir, capsys, "table", *where).splitlines()
    first = printed(runs_dir, capsys, "status", "--limit", "3").splitlines()[0]
    assert first == "heads: 3 of 3 finished (the first 3 of 12 runs)"


def test_a_table_has_the_runs_that_match_and_prints_them_as_json(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--where", "activation=tanh")
    answer = json.loads(printed(runs_dir, capsys, "table", *arguments, "--json"))
    assert [row["runs"] for row in answer["rows"]] == [["run000", "run001"], ["run002", "run003"]]
    assert (answer["chosen_of"], answer["where"]) == (12, ["activation=tanh"])
    assert answer == json.loads(printed(runs_dir, capsys, "table", *arguments, "--format", "json"))
