"""Sweep files from text, read with the tests' own trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from sweeper.config import Sweep, read_sweep
from sweeper.errors import ConfigError

TRAINERS = Path(__file__).parent / "trainers"


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    """Reads a sweep file of that text; the trainer is `orbit_study` unless the text names one."""

    def read(text: str, *, name: str = "some.yaml", folder: Path = tmp_path) -> Sweep:
        text = dedent(text)
        if "trainer:" not in text:
            text = text.rstrip("\n") + "\ntrainer: orbit_study\n"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return read_sweep(folder / name, search=[TRAINERS])

    return read


@pytest.fixture
def faults(
    sweep: Callable[..., Sweep], tmp_path: Path
) -> Callable[..., list[tuple[int, int, str]]]:
    """The faults of a sweep file of that text as (line, col, message)."""

    def read(text: str, **kwargs: object) -> list[tuple[int, int, str]]:
        with pytest.raises(ConfigError) as caught:
            sweep(text, **kwargs)
        return [(problem.line, problem.col, problem.message) for problem in caught.value.problems]

    return read
