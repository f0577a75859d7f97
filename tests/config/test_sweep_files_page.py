"""The users' reference of sweep files says what is so: every example in it is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweeper.config import read_sweep
from sweeper.config.ranges import RANGES
from sweeper.config.resources import Resources
from sweeper.config.sweep_keys import RESERVED, WHEN, Wandb
from sweeper.errors import ConfigError

PAGE = (Path(__file__).parents[2] / "docs" / "sweep-files.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.M | re.S)
TRAINERS = Path(__file__).parent / "trainers"


def with_stand_in(text: str) -> str:
    """The example for a trainer of the same shape that imports nothing heavy."""
    text = re.sub(r"^trainer: \S+", "trainer: orbit_study", text, flags=re.M)
    return text if "trainer:" in text else text + "trainer: orbit_study\n"


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "# refused" not in text])
def test_an_example_has_as_many_runs_as_it_says(example: str, tmp_path: Path) -> None:
    said = re.match(r"# (\d+) runs", example)
    assert said is not None
    file = tmp_path / "sweep.yaml"
    file.write_text(with_stand_in(example), encoding="utf-8")
    sweep = read_sweep(file, search=[TRAINERS])
    assert sweep.count() == int(said[1])
    assert sweep.warnings == ()


def test_errors_are_reported_in_these_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (refused,) = [text for text in EXAMPLES if "# refused" in text]
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.M | re.S)
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(with_stand_in(refused), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_sweep(Path("sweep.yaml"), search=[TRAINERS])
    assert str(caught.value) == shown.rstrip("\n")


def test_every_key_is_on_the_page() -> None:
    names = [name.removesuffix("_s") for name in Resources.__dataclass_fields__]
    for name in (*RESERVED, WHEN, *names, *Wandb.__dataclass_fields__):
        assert f"`{name}`" in PAGE, name
    for name in RANGES:
        assert f"`{{{name}: " in PAGE, name


ROWS = re.findall(r"^\| `((?:segment_)?length_strategy: .*?)` \| (one value|an axis)", PAGE, re.M)


@pytest.mark.parametrize(("text", "what"), ROWS)
def test_the_table_of_lists_is_right(text: str, what: str, tmp_path: Path) -> None:
    assert len(ROWS) == 7
    file = tmp_path / "sweep.yaml"
    file.write_text(f"trainer: orbit_study\nparameters: {{{text}}}\n", encoding="utf-8")
    sweep = read_sweep(file, search=[TRAINERS])
    assert bool(sweep.axes) == (what == "an axis")
