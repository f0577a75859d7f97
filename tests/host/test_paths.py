"""Paths from variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.errors import HostError
from sweeper.host.paths import expanded


@pytest.mark.parametrize(
    "text", ["runs", "/data/runs", "a~b", "a$", "price $5", " odd name", "a/~"]
)
def test_a_plain_path_stays_as_it_is(text: str) -> None:
    assert expanded(text, "X") == Path(text)


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/runs", "X") == tmp_path / "runs"
    assert expanded("~", "X") == tmp_path


@pytest.mark.parametrize(
    "text", ["", "  ", "$HOME/runs", "${HOME}/runs", "/data/$USER", "~nobody-here/x"]
)
def test_what_means_no_path_is_refused_by_name(text: str) -> None:
    with pytest.raises(HostError, match="SWEEPER_RUNS"):
        expanded(text, "SWEEPER_RUNS")
