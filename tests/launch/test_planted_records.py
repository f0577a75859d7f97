"""Records and sweep files from strangers are data: nothing in them is run or followed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from support import SWEEP, TRAINERS, Bench

from sweeper.records import GroupFolder, read_claims


def foreign(bench: Bench, run: str = "abcdefgh23", trainer: str = "evil") -> GroupFolder:
    """A stranger's records: one run that finished, and one that crashed."""
    bad = "bcdefgh234"
    return bench.plant(
        "foreign",
        {"event": "launched", "launch": "l", "trainer": trainer, "total": 2, "host": "elsewhere"},
        {"event": "planned", "runs": {run: {"width": 1}, bad: {"width": 2}}, "headline": "loss"},
        {"event": "ended", "run": bad, "attempt": 1, "outcome": "crashed"},
        {"event": "started", "run": run, "attempt": 1},
        {"event": "ended", "run": run, "attempt": 1, "outcome": "finished",
         "metrics": {"loss": 1.0}},
        {"event": "launch_ended", "launch": "l", "reason": "done"},
    )  # fmt: skip


IMPORTING = ("rerun", "retry", "evaluate")
LOOKS = ("status", "crashed", "table", "show", "diff", *IMPORTING)


def look(bench: Bench, command: str, run: str = "abcdefgh23") -> subprocess.CompletedProcess[str]:
    arguments = {
        "show": [run],
        "rerun": [run],
        "diff": [run, run],
        "evaluate": ["foreign", "--datasets", "any"],
    }.get(command, ["foreign"])
    return subprocess.run(
        ["prlimit", f"--as={4 << 30}", SWEEP, command, *arguments],
        env=bench.env,
        cwd=bench.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", LOOKS)
def test_nothing_is_imported_because_a_strangers_record_names_it(
    bench: Bench, command: str
) -> None:
    shutil.copy(TRAINERS / "evil.py", bench.path)
    folder = foreign(bench)
    folder.run("abcdefgh23").make().config_file.write_text("width: 1\n")
    said = look(bench, command)
    assert "Traceback" not in said.stderr
    assert not (bench.path / "imported").exists()
    if command in IMPORTING:
        assert said.returncode == 2
        assert "--trainer evil" in said.stderr


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CONFIGS = {
    "bomb": BOMB,
    "knot": "a: &a [*a]\n",
    "deep": "[" * 50_000,
    "call": 'a: !!python/object/apply:os.system ["touch imported"]\n',
    "nul": "a: \0\n",
}


@pytest.mark.faults
@pytest.mark.parametrize("config", CONFIGS)
def test_a_hostile_config_is_refused_with_bounded_memory(bench: Bench, config: str) -> None:
    folder = foreign(bench, trainer="models.neural_ode").run("abcdefgh23").make()
    folder.config_file.write_text(CONFIGS[config])
    for command, status in (("show", 0), ("diff", 2), ("rerun", 2)):
        said = look(bench, command)
        assert said.returncode == status, said.stderr
        assert "Traceback" not in said.stderr
        assert len(said.stdout) < 100_000
    sweep_file = bench.write("bomb", CONFIGS[config])
    said = subprocess.run(
        ["prlimit", f"--as={4 << 30}", SWEEP, "plan", sweep_file],
        env=bench.env, cwd=bench.path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    assert not (bench.path / "imported").exists()


NAMES = ("../escaped", "..", "/tmp/escaped", "a/../../escaped", "two\nlines", "x" * 300, "", "\0")


@pytest.mark.faults
@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_paths_are_refused(bench: Bench, name: str) -> None:
    before = sorted(bench.path.parent.rglob("*"))
    file = bench.write("sweep", f"trainer: sabotage\ngroup: {json.dumps(name)}\n")
    said = bench.sweep("launch", file)
    assert said.returncode == 2, said.stdout
    assert "group" in said.stderr
    if "\0" not in name:
        for command in ("status", "crashed", "table", "show", "rerun"):
            said = bench.sweep(command, name)
            assert said.returncode == 2, said.stdout
            assert "Traceback" not in said.stderr
    after = set(bench.path.parent.rglob("*"))
    assert {path.name for path in after.difference(before)} <= {"sweep.yaml", "runs"}


@pytest.mark.faults
def test_a_run_id_that_is_a_path_leads_nowhere(bench: Bench) -> None:
    """Neither looking nor launching follows it."""
    outside = bench.path / "outside"
    outside.mkdir()
    (outside / "log.txt").write_text("not a log")
    (outside / "config.yaml").write_text("secret: 1\n")
    run = "../../../outside"
    bench.plant(
        "foreign",
        {"event": "launched", "launch": "l", "trainer": "sabotage", "total": 1, "host": "other"},
        {"event": "planned", "runs": {run: {"deed": "finish"}}},
        {"event": "started", "run": run, "attempt": 1},
    )  # fmt: skip
    before = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    for command in LOOKS:
        said = look(bench, command, run)
        assert said.returncode == (0 if command in {"status", "crashed", "table"} else 2), command
        assert "Traceback" not in said.stderr
        assert "secret" not in said.stdout
    file = bench.write("sweep", "trainer: sabotage\ngroup: foreign\n")
    said = bench.sweep("launch", file, "--cpus", 1)
    assert said.returncode == 3, said.stderr  # its own run has finished, the stranger's can't
    assert bench.state("foreign").counts()["finished"] == 1
    assert "Traceback" not in said.stderr
    assert {path: path.stat().st_mtime_ns for path in outside.rglob("*")} == before


# -- Pipes and links where files should be ---------------------------------------------------------


def test_a_pipe_in_a_journal_blocks_nobody(bench: Bench) -> None:
    folder = foreign(bench)
    os.mkfifo(folder.journal_dir / "zz.jsonl")
    said = bench.sweep("status", "foreign", timeout=4)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("foreign: ")


@pytest.mark.faults
def test_a_run_that_leaves_a_pipe_for_its_metrics_stops_no_sweep(bench: Bench) -> None:
    file = bench.write("pipe", "trainer: reckless\ngroup: pipe\ndeed: [pipe, finish]\n")
    try:
        done = bench.sweep("launch", file, "--cpus", 1, timeout=40)
    finally:
        bench.sweep("status", "pipe", timeout=30)  # cleans up
    assert done.returncode == 3
    assert bench.state("pipe").counts()["finished"] == 1


@pytest.mark.faults
def test_nothing_is_written_through_links_among_records(bench: Bench) -> None:
    file = bench.write("some", "trainer: sabotage\ngroup: some\ndeed: raise\n")
    assert bench.sweep("launch", file, "--cpus", 1).returncode == 3
    (run,) = bench.state("some").runs
    folder = bench.group("some")
    outside = {name: bench.path / f"precious-{name}" for name in ("claim", "config")}
    claim = folder.claims_dir / f"{read_claims(folder).number + 1:06}.json"
    for link, name in ((claim, "claim"), (folder.run(run).config_file, "config")):
        outside[name].write_text("mine")
        link.unlink(missing_ok=True)
        link.symlink_to(outside[name])
    refused = bench.sweep("launch", file, "--cpus", 1)
    assert refused.returncode == 2
    assert "--take-over" in refused.stderr
    assert bench.sweep("launch", file, "--cpus", 1, "--take-over").returncode == 3
    assert {file.read_text() for file in outside.values()} == {"mine"}
