"""Standard streams that are closed, full or without a size: they decide nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(sys.executable).with_name("sweep")


def shell(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("sweep", str(SWEEP), 1)],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, width in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.yaml").write_text(f"width: {width}\n")
    return tmp_path


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">&- --json"])
def test_a_closed_stream_is_as_good_as_none(folder: Path, streams: str) -> None:
    result = shell(folder, f"sweep diff a.yaml b.yaml {streams}")
    assert (result.returncode, result.stderr) == (0, "")


def test_an_error_without_a_place_to_say_it_keeps_its_status(folder: Path) -> None:
    assert shell(folder, "sweep status nope 2>&-").returncode == 2


def test_an_answer_that_a_full_disk_has_lost_is_no_success(folder: Path) -> None:
    result = shell(folder, "sweep diff a.yaml b.yaml > /dev/full")
    assert (result.returncode, "No space left" in result.stderr) == (2, True)


def test_a_terminal_without_a_size_gets_help(folder: Path) -> None:
    assert shell(folder, "sweep --help", COLUMNS="0").returncode == 0


def test_an_answer_leaves_no_warning(folder: Path) -> None:
    result = shell(folder, "sweep diff a.yaml b.yaml --json", PYTHONWARNINGS="error")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_locale_without_the_letters_of_a_name_is_named(folder: Path) -> None:
    (folder / "s.yaml").write_text("group: größe\nseeds: 1\n")
    ascii_only = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    result = shell(folder, "sweep plan s.yaml", **ascii_only)
    assert (result.returncode, "set PYTHONUTF8=1" in result.stderr) == (2, True)
    assert "Traceback" not in result.stderr
