"""What Tab offers: groups and run ids out of the records."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sweeper.cli import app
from sweeper.cli.common import guarded
from sweeper.records import GroupFolder


@pytest.fixture
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWEEPER_RUNS", str(tmp_path / "runs"))
    for group, run in (("first", "k3f9"), ("second", "q7m2")):
        GroupFolder(tmp_path / "runs", group).make().run(run).make()
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["status", ""], ["first", "second"]),
        (["show", ""], ["k3f9", "q7m2"]),
        (["show", "k"], ["k3f9"]),
        (["rm", "first", ""], ["first", "second", "k3f9", "q7m2"]),
        (["status", "--runs-dir", "/nowhere", ""], []),
    ],
)
def test_groups_and_run_ids_are_offered(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], words: list[str], offered: list[str]
) -> None:
    guarded(app, ["__complete", *words])
    _, _, candidates = capsys.readouterr().out.partition("\x1fbegin\n")
    lines = candidates.splitlines()
    assert [line.partition("\t")[0] for line in lines] == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(app, ["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "__complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=20)
