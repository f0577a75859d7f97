"""Trainers that this user has launched are found again, and those of nobody else."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import Bench, folded

from sweeper.errors import RecordError
from sweeper.launch import known_trainers
from sweeper.launch.known_trainers import (
    Remembered,
    follow,
    remember,
    remembered,
    search_folders,
)
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.records import GroupFolder, Outcome
from sweeper.trainer import Trainer, load_trainer

HILL = """
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Config:
    rate: float = 0.1

def train(configs, runs):
    {body}
"""


@dataclass(frozen=True)
class Home:
    """A user's home, project, and records."""

    path: Path
    trainer: Trainer

    @property
    def environ(self) -> dict[str, str]:
        return {"HOME": str(self.path)}

    @property
    def group(self) -> Path:
        return self.path / "runs" / "g"

    @property
    def notes(self) -> Path:
        return self.path / ".local/state/sweeper/trainers"

    def remembered(self, **environ: str) -> Remembered | None:
        return remembered(self.group, self.trainer.name, environ or self.environ)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "project").mkdir(mode=0o700)
    (tmp_path / "project" / "known_hill.py").write_text(HILL.format(body="..."))
    monkeypatch.syspath_prepend(tmp_path)  # restores what loading adds
    found = Home(tmp_path, load_trainer("known_hill", search=[tmp_path / "project"]))
    found.group.mkdir(parents=True)
    return found


def test_what_is_remembered_follows_a_renamed_group(home: Home) -> None:
    remember(home.group, home.trainer, home.environ)
    new = home.group.rename(home.group.with_name("new"))
    follow(home.group, new, home.trainer.name, home.environ)
    assert home.remembered() is None
    assert remembered(new, home.trainer.name, home.environ) == Remembered((home.path / "project",))


def test_what_was_launched_is_remembered_with_its_folders(home: Home) -> None:
    assert home.remembered() is None
    remember(home.group, home.trainer, home.environ)
    assert home.remembered() == Remembered((home.path / "project",))
    assert remembered(home.group, "known_hill:other", home.environ) is None
    assert remembered(home.group.with_name("h"), "known_hill", home.environ) is None
    (note,) = home.notes.iterdir()
    assert oct(home.notes.stat().st_mode & 0o777) == "0o700"
    assert oct(note.stat().st_mode & 0o777) == "0o600"


def test_a_group_is_known_by_its_real_path(home: Home) -> None:
    (home.path / "link").symlink_to(home.path / "runs")
    remember(home.path / "link" / "g", home.trainer, home.environ)
    assert home.remembered() == Remembered((home.path / "project",))


def test_the_state_folder_that_is_asked_for_is_used(home: Home) -> None:
    asked = {**home.environ, "XDG_STATE_HOME": str(home.path / "mine")}
    remember(home.group, home.trainer, asked)
    assert [folder.name for folder in home.path.iterdir() if folder.name[0] in ".m"] == ["mine"]
    assert home.remembered(**asked) == Remembered((home.path / "project",))


@pytest.mark.parametrize(
    "note",
    [
        "",
        '{"group": "/x", "tra',
        "[]",
        "null",
        '{"search": ["/etc"]}',
        '{"group": "%(group)s", "trainer": "other", "search": ["/etc"]}',
        '{"group": "%(group)s", "trainer": "known_hill", "search": ["."]}',
        '{"group": "%(group)s", "trainer": "known_hill", "search": "/etc"}',
        '{"group": "%(group)s", "trainer": "known_hill", "search": [3]}',
    ],
)
def test_a_note_that_is_torn_or_of_something_else_is_none(home: Home, note: str) -> None:
    remember(home.group, home.trainer, home.environ)
    (file,) = home.notes.iterdir()
    file.write_text(note % {"group": home.group} if "%" in note else note)
    assert home.remembered() is None


@pytest.mark.parametrize("place", ["notes", "note", "above"])
def test_a_note_that_others_could_have_written_is_none(home: Home, place: str) -> None:
    remember(home.group, home.trainer, home.environ)
    (file,) = home.notes.iterdir()
    {"notes": home.notes, "note": file, "above": home.path / ".local"}[place].chmod(0o777)
    assert home.remembered() is None


def test_folders_that_others_can_write_meanwhile_are_not_trusted(home: Home) -> None:
    remember(home.group, home.trainer, home.environ)
    project = home.path / "project"
    project.chmod(0o777)
    assert home.remembered() == Remembered((project,), f"others can write {project}")


@pytest.mark.parametrize("state", ["a file", "open", "$HOME/x", "none"])
def test_a_state_folder_that_is_no_use_ends_no_launch(home: Home, state: str) -> None:
    (home.path / "a file").write_text("")
    (home.path / "open").mkdir()
    (home.path / "open").chmod(0o777)
    place = state if state.startswith("$") else str(home.path / state)
    environ = {} if state == "none" else {"XDG_STATE_HOME": place}
    remember(home.group, home.trainer, environ)
    assert remembered(home.group, home.trainer.name, environ) is None
    assert not list(home.path.rglob("*.json"))


def test_the_oldest_notes_are_dropped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_trainers, "MOST", 3)
    for number in range(5):
        remember(home.group / str(number), home.trainer, home.environ)
        for age, note in enumerate(sorted(home.notes.iterdir(), key=_number)):
            os.utime(note, (age, age))
    assert sorted(map(_number, home.notes.iterdir())) == [2, 3, 4]


def _number(note: Path) -> int:
    said: dict[str, Any] = json.loads(note.read_text())
    return int(Path(said["group"]).name)


def test_a_trainer_that_was_named_once_is_found_without_its_name_until_others_can_write_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(home.path / "state"))
    folder = GroupFolder(home.path / "runs", "g")
    state = folded([{"event": "launched", "launch": "l", "trainer": "known_hill"}])
    project = home.path / "project"
    monkeypatch.chdir(home.path)
    with pytest.raises(RecordError, match="records name it: if you trust it, add"):
        trainer_of(folder, state, None)
    monkeypatch.chdir(project)
    assert trainer_of(folder, state, "known_hill").search == (project,)
    monkeypatch.chdir(home.path)
    assert trainer_of(folder, state, None).search == (project,)
    assert trainer_of(folder, state, "known_hill").search == (home.path, project)
    project.chmod(0o777)
    said = rf"name it, nor from where you launched it \(others can write {project}\): if you trust"
    with pytest.raises(RecordError, match=said):
        trainer_of(folder, state, None)


def test_a_trainer_is_looked_for_beside_the_sweep_file_but_not_where_anybody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    file = Path("studies/sweep.yaml")
    assert search_folders(file) == (tmp_path, tmp_path / "studies")
    assert search_folders(Path("sweep.yaml")) == (tmp_path,)
    (tmp_path / "studies").chmod(0o1777)
    assert search_folders(file) == (tmp_path,)


STANDARD = ("queue", "select", "types", "token", "logging", "secrets", "random", "statistics")


def test_a_trainer_beside_the_sweep_file_is_found_from_anywhere_whatever_lies_beside(
    bench: Bench,
) -> None:
    studies = bench.path / "studies"
    studies.mkdir()
    for folder in (bench.path, studies):
        for name in STANDARD:
            (folder / f"{name}.py").write_text("raise RuntimeError('not the standard library')\n")
    body = "import uphill, secrets; runs[0].log(0, loss=uphill.loss(configs[0].rate))"
    body += "; Path(f'trained in {Path.cwd().name}').touch()"
    (studies / "train.py").write_text(HILL.format(body=body))
    (studies / "uphill.py").write_text(
        "def loss(rate):\n    if rate > 1:\n        raise ValueError('too fast')\n    return rate\n"
    )
    (studies / "sweep.yaml").write_text("trainer: train\ngroup: g\nrate: [0.5, 2.0]\n")
    planned = bench.sweep("plan", "studies/sweep.yaml")
    assert planned.returncode == 0, planned.stderr
    launched = bench.sweep("launch", "studies/sweep.yaml", "--cpus", 1)
    assert launched.returncode == 3, launched.stdout + launched.stderr
    runs = {run.outcome: run for run in bench.state("g").runs.values()}
    assert runs[Outcome.FINISHED].metrics == {"loss": 0.5}
    cause = runs[Outcome.CRASHED].cause
    assert cause is not None
    assert cause.message == "too fast"
    assert (bench.path / f"trained in {bench.path.name}").exists()

    elsewhere = Bench(bench.path / "elsewhere", bench.scratch)
    elsewhere.path.mkdir()
    records = ("--runs-dir", bench.path / "runs")
    again = elsewhere.sweep("rerun", runs[Outcome.FINISHED].id, *records)
    assert again.returncode == 2, again.stdout  # its own XDG_STATE_HOME knows nothing
    assert again.stderr.endswith("if you trust it, add\n  --trainer train\n")
    state = elsewhere.path / "state"
    state.symlink_to(bench.path / "state")
    again = elsewhere.sweep("rerun", runs[Outcome.FINISHED].id, *records)
    assert (again.returncode, again.stdout) == (0, "loss 0.5\n"), again.stderr
    retried = elsewhere.sweep("retry", "g", "--dry-run", *records)
    assert retried.returncode == 0, retried.stderr

    # The parameter is renamed: the runs keep their ids, and can be trained again as before.
    text = (studies / "train.py").read_text().replace("rate", "speed")
    (studies / "train.py").write_text(f'{text}\nrenamed = {{"rate": "speed"}}\n')
    (studies / "sweep.yaml").write_text("trainer: train\ngroup: g\nspeed: [0.5, 2.0]\n")
    planned = bench.sweep("plan", "studies/sweep.yaml", "--json")
    said = json.loads(planned.stdout)
    assert said["done"] == {"finished": 1}
    assert [run["id"] for run in said["first"]] == [runs[Outcome.CRASHED].id]
    again = elsewhere.sweep("rerun", runs[Outcome.FINISHED].id, *records)
    assert (again.returncode, again.stdout) == (0, "loss 0.5\n"), again.stderr
    retried = elsewhere.sweep("retry", "g", "--dry-run", "--json", *records)
    assert json.loads(retried.stdout)["to_train"] == 1, retried.stderr

    # Without saying so, retry and rerun complain alike.
    (studies / "train.py").write_text(text)
    for command in ("rerun", runs[Outcome.CRASHED].id), ("retry", "g"):
        refused = elsewhere.sweep(*command, *records)
        assert refused.returncode == 2
        assert refused.stderr == (
            f"{bench.path}/runs/g/runs/{runs[Outcome.CRASHED].id}/config.yaml no longer fits "
            f"trainer 'train':\nrate: unknown key\nlaunch the sweep file again\n"
        )
