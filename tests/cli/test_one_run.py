"""`sweep run`: one run here and now."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support import SWEEP, Bench


def sabotage(bench: Bench, **fields: object) -> Path:
    given = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return bench.write("try", f"trainer: sabotage\n{given}")


def test_it_trains_the_first_run_and_records_nothing(bench: Bench) -> None:
    done = bench.sweep("run", sabotage(bench, seeds=3, steps=2))

    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first.endswith(", the first of 3 runs  seed=0")
    assert lines[:2] == ["deed: finish", f"temp: {os.environ.get('TMPDIR', '/tmp')}"]
    assert lines[2:5] == ["finished", "  loss  0.5", "  score  0"]
    assert lines[-1].startswith("files deleted (--folder DIR keeps them): config.yaml, metrics")
    assert not (bench.path / "runs").exists()


def test_values_and_conditions_choose_the_run(bench: Bench) -> None:
    file = sabotage(bench, seeds=3)

    done = bench.sweep("run", file, "--set", "steps=1", "--where", "seed=[1,2]")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith(", the first of 2 runs  seed=1")
    assert "  loss  0.5\n" in done.stdout  # of step 0: 1 / (0 + 1 + 1)
    unknown = bench.sweep("run", file, "--where", "sed=1")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "did you mean `seed`?" in unknown.stderr


def test_its_files_can_be_kept(bench: Bench) -> None:
    file = sabotage(bench, steps=1)

    assert bench.sweep("run", file, "--folder", "first").returncode == 0
    assert (bench.path / "first" / "model.txt").read_text() == "weights"
    assert (bench.path / "first" / "config.yaml").exists()
    again = bench.sweep("run", file, "--folder", "first")
    assert (again.returncode, again.stdout.count("\n")) == (2, 1)
    assert again.stderr == "--folder first: it isn't empty; name a new folder\n"


@pytest.mark.parametrize(
    ("deed", "status", "outcome"),
    [("raise", 1, "crashed"), ("nan", 1, "diverged"), ("sys.exit(0)", 1, "crashed")],
)
def test_an_end_is_judged_as_a_launch_judges_it(
    bench: Bench, deed: str, status: int, outcome: str
) -> None:
    done = bench.sweep("run", sabotage(bench, deed=deed), "--json")

    assert done.returncode == status
    assert json.loads(done.stdout)["outcome"] == outcome


def test_a_combination_that_cant_work_isnt_trained(bench: Bench) -> None:
    done = bench.sweep("run", sabotage(bench, steps=0))

    assert done.returncode == 2
    assert done.stderr == "this combination can't be trained: steps must be positive\n"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("object.__setattr__(config, 'width', 9)", 0, "  loss  1\n"),
        ("raise ValueError('odd')", 2, "check failed with ValueError: odd"),
    ],
)
def test_a_check_neither_changes_what_is_trained_nor_ends_in_a_traceback(
    bench: Bench, body: str, status: int, said: str
) -> None:
    (bench.path / "checked.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Config:\n"
        f"    width: int = 1\n\n\ndef check(config):\n    {body}\n\n\n"
        "def train(configs, runs):\n    return [{'loss': configs[0].width}]\n"
    )

    done = bench.sweep("run", bench.write("checked", "trainer: checked\n"))

    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_stops_at_the_next_step(bench: Bench) -> None:
    file = sabotage(bench, steps=1000, step_s=0.05)
    with subprocess.Popen(
        [SWEEP, "run", file, "--folder", "stopped"],
        env={**bench.env, "PYTHONUNBUFFERED": "1"},
        cwd=bench.path,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert "temp:" in "".join(running.stdout.readline() for _ in range(3))
        running.send_signal(signal.SIGINT)
        rest = running.communicate(timeout=60)[0]

    assert running.returncode == 130
    assert rest.splitlines()[0].startswith("stopped: stopped at a step")


def test_a_terminal_shows_a_bar(bench: Bench) -> None:
    """A real terminal: what is drawn on it passes through a pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [str(SWEEP), "run", str(sabotage(bench, steps=8, step_s=0.1))]
    env = {**bench.env, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        command, env=env, cwd=bench.path, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        drawn = b""
        while chunk := _read(ours):
            drawn += chunk
        running.wait(timeout=60)
    os.close(ours)

    text = drawn.decode()
    assert running.returncode == 0
    assert "━" in text
    assert re.search(r" \d\d%  step [1-7]  loss 0\.\d+", text)
    assert text.rstrip().endswith("metrics.jsonl, model.txt, progress.json")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""
