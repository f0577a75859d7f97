"""The trainer's source files: which they are, and when they count as changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeper.launch import sources
from sweeper.launch.sources import Sources, SourceWatch, record_sources, sources_of
from sweeper.records import GroupFolder
from sweeper.records.code import changed_files
from sweeper.records.events import SourcesChanged
from sweeper.trainer import Trainer, load_trainer

TRAINER = """
from dataclasses import dataclass
{imports}

@dataclass(frozen=True)
class Config:
    seed: int = 0

def train(configs, runs): ...
"""


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what the tests import: names are used again."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def lay(folder: Path, *names: str, imports: str = "") -> None:
    """Python files of these names; the first is a trainer."""
    for index, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"NUMBER = {index}\n" if index else TRAINER.format(imports=imports))


def load(folder: Path, name: str) -> Trainer:
    return load_trainer(name, search=[folder])


def test_of_a_package_all_its_files_whether_imported_or_not(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "study/deep/core.py",
        *("study/__init__.py", "study/deep/__init__.py", "study/unused.py", "beside.py"),
        *("study/.git/hook.py", "study/venv/lib/x.py", "study/__pycache__/y.py", "study/a.txt"),
    )
    (tmp_path / "study/venv/pyvenv.cfg").touch()
    found = sources_of(load(tmp_path, "study.deep.core"))
    assert sorted(found.files) == [
        "study/__init__.py",
        "study/deep/__init__.py",
        "study/deep/core.py",
        "study/unused.py",
    ]


def test_of_a_single_file_its_imported_neighbours_too(tmp_path: Path) -> None:
    lay(tmp_path, "lone.py", "near.py", "unused.py", "kit/__init__.py", imports="import near, kit")
    trainer = load(tmp_path, "lone")
    assert list(sources_of(trainer).files) == ["kit/__init__.py", "lone.py", "near.py"]
    assert "unused" not in sys.modules


def test_what_can_not_be_read_is_left_out_and_there_is_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, "many/core.py", "many/__init__.py", "many/b.py", "many/c.py", "many/d.py")
    trainer = load(tmp_path, "many.core")
    (tmp_path / "many/b.py").unlink()
    os.mkfifo(tmp_path / "many/b.py")
    assert "many/b.py" not in sources_of(trainer).files
    monkeypatch.setattr(sources, "MOST_FILES", 2)
    assert len(sources_of(trainer).files) == 2


def test_a_trainer_without_files_has_no_digest(tmp_path: Path) -> None:
    lay(tmp_path, "gone.py")
    trainer = load(tmp_path, "gone")
    del sys.modules["gone"]
    assert sources_of(trainer).digest is None


class Scene:
    """A trainer of two files, watched, with a clock."""

    def __init__(self, folder: Path) -> None:
        lay(folder, "watched.py", "helper.py", imports="import helper")
        self.folder, self.time = folder, 0.0
        self.trainer = load(folder, "watched")
        self.before = sources_of(self.trainer)
        self.watch = SourceWatch(
            self.before, clock=lambda: self.time, now=lambda: 1000.0 + self.time
        )

    def edit(self, name: str, text: str) -> None:
        """As editors do: a new file takes the place of the old one."""
        new = self.folder / f"{name}.new"
        new.write_text(text)
        new.replace(self.folder / name)

    def look(self, after_s: float = 3.0) -> SourcesChanged | None:
        self.time += after_s
        return self.watch.look()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_edit_is_reported_once_with_when_the_code_was_still_the_old_one(scene: Scene) -> None:
    assert scene.look() is None
    scene.edit("helper.py", "NUMBER = 7\n")
    change = scene.look()
    after = sources_of(scene.trainer)
    assert after.digest is not None
    assert after.digest != scene.before.digest
    assert change == SourcesChanged(
        sources=after.digest, files=("helper.py",), unchanged_until=1003.0
    )
    assert scene.look() is None
    assert scene.watch.sources.digest == after.digest


def test_a_file_that_always_changes_is_reported_so_many_times(scene: Scene) -> None:
    found = []
    for number in range(30):
        scene.edit("helper.py", f"NUMBER = {number + 100}\n")
        found.append(scene.look() is not None)
    assert found == [True] * 20 + [False] * 10


def test_looks_are_seconds_apart(scene: Scene) -> None:
    assert scene.look() is None
    scene.edit("helper.py", "NUMBER = 7\n")
    assert scene.look(0.5) is None
    assert scene.look(2.0) is not None


def test_a_file_that_was_only_touched_is_the_same_code(scene: Scene) -> None:
    os.utime(scene.folder / "watched.py", (1, 1))
    assert scene.look() is None


def test_a_file_that_is_missing_for_a_moment_is_no_change_but_what_replaces_it_is(
    scene: Scene,
) -> None:
    assert scene.look() is None
    (scene.folder / "helper.py").unlink()
    assert scene.look() is None
    scene.edit("helper.py", "NUMBER = 8\n")
    change = scene.look()
    assert change is not None
    assert change.unchanged_until == 1003.0  # not the look that found nothing


def test_the_records_list_the_files_and_name_those_that_differ(
    scene: Scene, tmp_path: Path
) -> None:
    folder = GroupFolder(tmp_path / "runs", "g").make()
    scene.edit("helper.py", "NUMBER = 7\n")
    after = sources_of(scene.trainer)
    for found in (scene.before, after, Sources()):
        record_sources(folder, found)
    digests: list[Any] = [scene.before.digest, after.digest, "../../gone"]
    assert changed_files(folder, digests) == ["helper.py"]
    assert changed_files(folder, digests[:1], after.files) == ["helper.py"]
    assert changed_files(folder, digests[:1], scene.before.files) == []
