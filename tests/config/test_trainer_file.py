"""A trainer that a sweep file names by its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.config import Sweep, read_sweep
from sweeper.errors import ConfigError

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]
TRAINER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    alpha: float = 0.1

def train(configs, runs): ...

class Other:
    Config = Config
    def train(configs, runs): ...
"""


def put(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TRAINER)
    return file


def ids(folder: Path, trainer: str) -> list[str]:
    file = folder / "some.yaml"
    file.write_text(f"trainer: {trainer}\nalpha: [1, 2]\n")
    return [run.id for run in read_sweep(file)]


def test_it_is_found_from_anywhere_and_its_runs_are_those_of_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep: Read
) -> None:
    put(tmp_path / "ridge_by_path.py")
    folder = tmp_path / "sweeps"
    folder.mkdir()
    by_name = sweep("trainer: ridge_by_path\nalpha: [1, 2]", search=[tmp_path])
    wanted = [run.id for run in by_name]
    for place in (Path("/"), folder):
        monkeypatch.chdir(place)
        for path in ("../ridge_by_path.py", str(tmp_path / "ridge_by_path.py")):
            assert ids(folder, path) == wanted
    assert ids(tmp_path, "./ridge_by_path.py") == ids(tmp_path, "ridge_by_path.py") == wanted


def test_objects_and_packages_have_the_names_that_python_gives_them(
    tmp_path: Path, sweep: Read
) -> None:
    put(tmp_path / "packed_by_path" / "inner.py")
    put(tmp_path / "packed_by_path" / "__init__.py")
    found = sweep("trainer: ./packed_by_path/inner.py:Other")
    assert found.trainer.name == "packed_by_path.inner:Other"
    assert sweep("trainer: ./packed_by_path").trainer.name == "packed_by_path"


def test_a_default_file_may_name_it_too(tmp_path: Path, sweep: Read) -> None:
    put(tmp_path / "defaulted_by_path.py")
    (tmp_path / "default.yaml").write_text("trainer: ./defaulted_by_path.py\nalpha: 7\n")
    found = sweep("trainer: ../defaulted_by_path.py", folder=tmp_path / "sweeps")
    assert next(iter(found)).config.alpha == 7


def test_a_path_on_the_command_line_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep: Read
) -> None:
    put(tmp_path / "here" / "set_by_path.py")
    monkeypatch.chdir(tmp_path / "here")
    found = sweep("alpha: 1", overrides=["trainer=./set_by_path.py"])
    assert found.trainer.name == "set_by_path"


def test_files_that_cannot_be_a_trainer(tmp_path: Path, errors: Errors) -> None:
    put(tmp_path / "my-train.py")
    put(tmp_path / "orbit_study.py")
    start = tmp_path.resolve()
    assert errors("trainer: ./my-trian.py") == [
        (1, 10, f"trainer './my-trian.py': no such file, seen from {start}; "
         "did you mean `my-train.py`?")
    ]  # fmt: skip
    assert errors("trainer: ./my-train.py") == [
        (1, 10, "trainer './my-train.py': `my-train` can't be the name of a Python module: "
         "rename it, to `my_train` say")
    ]  # fmt: skip
    assert errors("trainer: ./some.yaml")[0][2] == (
        "trainer './some.yaml': the file of a trainer ends in `.py`"
    )


def test_another_module_of_its_name_is_an_error(tmp_path: Path) -> None:
    first = put(tmp_path / "one" / "same_by_path.py")
    put(tmp_path / "two" / "same_by_path.py")
    ids(tmp_path / "one", "./same_by_path.py")
    with pytest.raises(ConfigError) as caught:
        ids(tmp_path / "two", "./same_by_path.py")
    (problem,) = caught.value.problems
    assert problem.message == (
        "trainer './same_by_path.py': its name `same_by_path` means another module, "
        f"{first}: rename the file"
    )
