"""Every command on the records of one real sweep: the very example of docs/your-own-training.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SWEEP = Path(sys.executable).with_name("sweep")
GUIDE = ROOT / "docs" / "your-own-training.md"
TRAINER = "hill"


def run(folder: Path, *arguments: str, command: str = "sweep", **env: str) -> Any:
    return subprocess.run(
        [SWEEP.with_name(command), *arguments],
        cwd=folder,
        env={**os.environ, "SWEEPER_SCRATCH": f"/tmp/sw-{os.getpid()}-cli", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def answer(folder: Path, *arguments: str) -> Any:
    result = run(folder, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's files, written as a reader would."""
    folder = tmp_path_factory.mktemp("guide")
    files = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", GUIDE.read_text(), re.S)
    assert [name for name, _ in files] == ["hill.py", "hill-sweep.yaml"]
    for name, text in files:
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def launched(guide: Path) -> subprocess.CompletedProcess[str]:
    plan = answer(guide, "plan", "hill-sweep.yaml")
    assert (plan["group"], plan["total"], plan["to_train"]) == ("hill", 8, 8)
    assert not (guide / "runs").exists()  # planning writes nothing
    result: subprocess.CompletedProcess[str] = run(guide, "launch", "hill-sweep.yaml")
    return result


@pytest.fixture(scope="module")
def folder(guide: Path, launched: object) -> Path:
    return guide


def test_the_guide_is_true(launched: Any, folder: Path) -> None:
    assert launched.returncode == 3, launched.stdout + launched.stderr
    assert launched.stderr == ""
    counts = answer(folder, "status")["counts"]
    assert {word: n for word, n in counts.items() if n} == {"finished": 6, "diverged": 2}
    crashed = answer(folder, "crashed", "hill")["runs"]
    assert {run["axis_values"]["step_size"] for run in crashed} == {1.5}
    assert all("loss is" in run["message"] for run in crashed)


def test_the_trainer_of_the_guide_has_about_twenty_lines(guide: Path) -> None:
    lines = [line for line in (guide / "hill.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 20


def test_a_launch_ends_with_counts_the_best_and_what_to_type_next(launched: Any) -> None:
    text = launched.stdout
    assert "hill: 8 runs: 6 finished, 2 diverged" in text
    assert re.search(r"best 1: [a-z2-7]{10}  loss ", text)
    assert "sweep crashed hill" in text
    # A line per event where stdout is no terminal.
    assert len(re.findall(r"^\d\d:\d\d:\d\d +\d/8 finished ", text, re.M)) == 6


def test_results_are_saved(folder: Path) -> None:
    results = folder / "runs" / "hill" / "results"
    assert {"table.md", "table.csv"} <= {file.name for file in results.iterdir()}
    assert list(results.glob("*.png"))


def test_status_without_a_group_takes_the_latest(folder: Path) -> None:
    assert answer(folder, "status")["group"] == "hill"
    text = run(folder, "status").stdout
    assert text.startswith("hill: 6 of 8 finished; 2 diverged\n")


def test_list_crashed_runs_is_sweep_crashed(folder: Path) -> None:
    one = run(folder, "hill", command="list-crashed-runs")
    two = run(folder, "crashed", "hill")
    assert (one.returncode, one.stdout) == (0, two.stdout)
    assert "step_size=1.5" in one.stdout


def test_show_takes_the_first_characters_of_an_id(folder: Path) -> None:
    best = json.loads(run(folder, "table", "hill", "--format", "json").stdout)
    assert best
    ids = sorted(path.name for path in (folder / "runs" / "hill" / "runs").iterdir())
    shown = answer(folder, "show", ids[0][:6])
    assert shown["id"] == ids[0]
    assert shown["config"]["steps"] == 200
    assert Path(folder / shown["paths"]["log"]).exists()
    assert ids[0] in run(folder, "show", ids[0]).stdout


def test_diff_tells_only_what_differs(folder: Path) -> None:
    crashed = answer(folder, "crashed")["runs"]
    rows = answer(folder, "diff", crashed[0]["id"], crashed[1]["id"])
    assert [row["key"] for row in rows] == ["start"]
    other = folder / "other.yaml"
    other.write_text("step_size: 1.5\nsteps: 7\nstart: [3.0, -2.0]\nseed: 0\n")
    keys = {row["key"] for row in answer(folder, "diff", crashed[0]["id"], "other.yaml")}
    assert "steps" in keys
    assert "seed" not in keys


def test_a_launch_leaves_what_a_listing_needs(folder: Path) -> None:
    kept = json.loads((folder / "runs" / "hill" / "summary.json").read_text())
    assert kept["counts"] == {"finished": 6, "diverged": 2}
    [listed] = answer(folder, "list")["groups"]
    assert (listed["group"], listed["counts"]) == ("hill", kept["counts"])


def test_rerun_gives_the_same_end_without_touching_the_records(folder: Path) -> None:
    bad = answer(folder, "crashed")["runs"][0]["id"]
    before = (folder / "runs" / "hill" / "runs" / bad / "result.json").read_bytes()
    result = run(folder, "rerun", bad, "--trainer", TRAINER)
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith("diverged: loss is")
    assert (folder / "runs" / "hill" / "runs" / bad / "result.json").read_bytes() == before
    good = json.loads((folder / "runs/hill/plan.json").read_text())["first"][0]["id"]
    result = run(folder, "rerun", good, "--trainer", TRAINER)
    assert result.returncode == 0
    assert result.stdout.startswith("loss ")


def test_rerun_opens_the_debugger_where_it_crashes(folder: Path) -> None:
    bad = answer(folder, "crashed")["runs"][0]["id"]
    result = subprocess.run(
        [SWEEP, "rerun", bad, "--pdb", "--trainer", TRAINER],
        cwd=folder,
        input="p config.step_size\nup\nquit\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert "(Pdb)" in result.stdout


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_tables_in_every_format(folder: Path, kind: str) -> None:
    result = run(folder, "table", "hill", "--format", kind)
    assert result.returncode == 0, result.stderr
    assert "step_size" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["launch", "no-such.yaml"], "no-such.yaml"),
        (["status", "hil"], "did you mean `hill`?"),
        (["show", "zzzz"], "no run `zzzz`"),
        (["diff", "one"], "two or more"),
        (["lunch", "hill-sweep.yaml"], "did you mean `launch`?"),
        (["launch", "hill-sweep.yaml", "--cpus", "0"], "--cpus: expected at least 1, but got 0"),
        (["launch", "hill-sweep.yaml", "--cpus", "9999"], "--cpus 9999: this process may use"),
        (["table", "hill", "--by", "step_siz"], "step_size"),
        (["launch"], "sweep launch needs a sweep file"),
    ],
)
def test_mistakes_get_a_message_and_status_2(
    folder: Path, arguments: list[str], words: str
) -> None:
    before = sorted((folder / "runs" / "hill" / "journal").iterdir())
    result = run(folder, *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted((folder / "runs" / "hill" / "journal").iterdir()) == before


def test_a_faulty_file_is_reported_whole_and_writes_nothing(tmp_path: Path, guide: Path) -> None:
    file = tmp_path / "faulty.yaml"
    file.write_text("trainer: hill\nstep_sise: 0.1\nsteps: many\nseeds: -1\n")
    result = run(guide, "launch", str(file), "--runs-dir", str(tmp_path / "runs"))
    assert result.returncode == 2
    assert f"{file}:2:1: step_sise" in result.stderr
    assert "did you mean `step_size`?" in result.stderr
    assert f"{file}:3:8: steps" in result.stderr
    assert f"{file}:4:8: seeds" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "command",
    [
        "plan",
        "launch",
        "retry",
        "evaluate",
        "status",
        "crashed",
        "show",
        "diff",
        "rerun",
        "table",
        "doctor",
    ],
)
def test_every_command_has_help_with_examples(tmp_path: Path, command: str) -> None:
    result = run(tmp_path, command, "--help")
    assert result.returncode == 0
    assert f"sweep {command}" in result.stdout.split("For example:")[1]


@pytest.mark.parametrize("streams", ["> /dev/full", ">&-", "> /dev/full 2>&1"])
def test_a_launch_goes_on_without_a_place_for_its_words(folder: Path, streams: str) -> None:
    command = f"{SWEEP} launch hill-sweep.yaml {streams}"
    assert subprocess.run(["bash", "-c", command], cwd=folder, check=False).returncode == 3
