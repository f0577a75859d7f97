"""The copy of a sweep file in its group's folder is the same sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.config import read_sweep

TRAINERS = Path(__file__).parent / "trainers"


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("trainer: orbit_study\nparameters: {width: [16, 32]}\n", ()),
        ("trainer: orbit_study\nparameters: {width: [16, 32]}\n", ("width=64", "seeds=2")),
        ("{trainer: orbit_study, parameters: {width: [16, 32]}}\n", ()),
        ("trainer: orbit_study\ngroup: heads\nparameters: {width: 16}\n", ("seeds=2",)),
    ],
)
def test_its_runs_and_group_are_the_same(
    text: str, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "first.yaml"
    file.write_text(text)
    (tmp_path / "default.yaml").write_text("trainer: orbit_study\nparameters: {depth: 5}\n")
    sweep = read_sweep(file, search=[TRAINERS], overrides=overrides)
    folder = tmp_path / "runs" / sweep.group
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(sweep.text)
    assert sweep.defaults_text is not None
    (folder / "default.yaml").write_text(sweep.defaults_text)

    again = read_sweep(folder / "sweep.yaml", search=[TRAINERS])

    assert (again.group, [run.id for run in again]) == (sweep.group, [run.id for run in sweep])
    assert again.text == sweep.text


def test_a_file_that_names_its_group_stays_as_it_is(tmp_path: Path) -> None:
    text = "trainer: orbit_study  # ours\ngroup: heads\n"
    (tmp_path / "first.yaml").write_text(text)

    assert read_sweep(tmp_path / "first.yaml", search=[TRAINERS]).text == text
