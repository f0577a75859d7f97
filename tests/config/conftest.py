"""Sweep files from text, read with the tests' own trainers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from sweeper.config import Sweep, read_sweep
from sweeper.errors import ConfigError

TRAINERS = Path(__file__).parent / "trainers"


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    """Reads a sweep file of that text; the trainer is `orbit_study` unless the text names one."""

    def read(
        text: str,
        *,
        name: str = "some.yaml",
        folder: Path = tmp_path,
        search: Sequence[Path] = (),
        **kwargs: Any,
    ) -> Sweep:
        text = dedent(text)
        if "trainer:" not in text:
            text = text.rstrip("\n") + "\ntrainer: orbit_study\n"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return read_sweep(folder / name, search=[*search, TRAINERS], **kwargs)

    return read


@pytest.fixture
def errors(
    sweep: Callable[..., Sweep], tmp_path: Path
) -> Callable[..., list[tuple[int, int, str]]]:
    """The errors of a sweep file of that text as (line, col, message)."""

    def read(text: str, **kwargs: object) -> list[tuple[int, int, str]]:
        with pytest.raises(ConfigError) as caught:
            sweep(text, **kwargs)
        return [(problem.line, problem.col, problem.message) for problem in caught.value.problems]

    return read


@pytest.fixture(scope="module")
def read_data(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[dict[str, Any]], Sweep | None]:
    """Reads a sweep given as data; None if it's refused because no run is left."""
    file = tmp_path_factory.mktemp("data") / "some.yaml"

    def read(data: dict[str, Any]) -> Sweep | None:
        file.write_text(yaml.safe_dump({"trainer": "orbit_study", **data}, sort_keys=False))
        try:
            return read_sweep(file, search=[TRAINERS])
        except ConfigError as error:
            (problem,) = error.problems
            assert "no run is left" in problem.message
            return None

    return read
