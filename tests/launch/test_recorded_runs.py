"""Runs as the records hold them: a config that can't be used leaves out its own run only."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import folded

from sweeper.config import plain, run_id, to_yaml
from sweeper.errors import RecordError
from sweeper.launch.recorded_runs import recorded_specs
from sweeper.records import GroupFolder, GroupState
from sweeper.trainer import Trainer, load_trainer

Recorded = tuple[GroupFolder, GroupState, dict[str, Path]]

TRAINER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    alpha: float = 0.0
    steps: int = 3

def train(configs, runs): ...
"""


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    (tmp_path / "recorded_hill.py").write_text(TRAINER)
    monkeypatch.syspath_prepend(tmp_path)
    return load_trainer("recorded_hill")


@pytest.fixture
def group(tmp_path: Path, trainer: Trainer) -> Recorded:
    """A group of three runs with their configs: the folder, the state, the config files."""
    folder = GroupFolder(tmp_path / "runs", "g").make()
    files: dict[str, Path] = {}
    for alpha in (0.1, 0.2, 0.3):
        config = trainer.Config(alpha, steps=5)
        run = run_id(trainer.name, plain(config))
        files[run] = folder.run(run).make().config_file
        files[run].write_text(to_yaml(config))
    runs = {run: {"alpha": alpha} for run, alpha in zip(files, (0.1, 0.2, 0.3), strict=True)}
    return folder, folded([{"event": "planned", "runs": runs}]), files


@pytest.mark.parametrize(
    ("torn", "said"),
    [
        ("alpha: [0.2", ":1:"),  # the middle of a line
        ("alpha: 0.2\n", "another run"),  # the end of a line: what is missing gets defaults
        ("", "is empty"),
        ("alpha: 0.2\nsteps: 5\nalfa: 1\n", "alfa"),
    ],
)
def test_a_torn_config_leaves_out_its_run_and_says_so(
    trainer: Trainer, group: Recorded, torn: str, said: str
) -> None:
    folder, state, files = group
    first, second, third = files
    files[second].write_text(torn)
    recorded = recorded_specs(folder, state, trainer, list(files))
    assert list(recorded.specs) == [first, third]
    assert recorded.without_config == 0
    (reason,) = recorded.unusable
    assert second in reason
    assert said in reason


def test_a_missing_config_is_counted(trainer: Trainer, group: Recorded) -> None:
    folder, state, files = group
    first, *others = files
    files[first].unlink()
    recorded = recorded_specs(folder, state, trainer, list(files))
    assert (list(recorded.specs), recorded.without_config, recorded.unusable) == (others, 1, ())


def test_if_none_can_be_used_it_is_an_error(trainer: Trainer, group: Recorded) -> None:
    folder, state, files = group
    for file in files.values():
        file.write_text("alpha: 0.2\n")
    with pytest.raises(RecordError, match="this is another run than"):
        recorded_specs(folder, state, trainer, list(files))
