"""A trainer that is named by its file, `./ridge.py`: the module that this is, and where it is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from sweeper.suggest import meant

__all__ = ["TrainerFile", "trainer_file"]


@dataclass(frozen=True)
class TrainerFile:
    """A trainer's file: `name` is ``module`` or ``module:object``, found in `folder`.

    The name doesn't depend on where the sweep is launched, so neither do the ids of its runs. A
    file in a package has the package's name before its own.
    """

    name: str
    folder: Path
    file: Path

    def other(self) -> str | None:
        """The file that was imported under the name, if it's another one."""
        module = sys.modules.get(self.name.partition(":")[0])
        found = getattr(module, "__file__", None)
        same = found is not None and Path(found).resolve() == self.file
        return None if same else found or "a folder without `__init__.py`"


def trainer_file(text: str, folder: Path) -> TrainerFile | None:
    """The file that `trainer: text` means, relative to `folder`; None for the name of a module.

    Raises ValueError with what to write for a file that isn't there or can't be a module.
    """
    path, colon, attribute = text.partition(":")
    if not path.endswith(".py") and "/" not in path:
        return None
    file = (folder / Path(path).expanduser()).resolve()
    if file.is_dir() and (file / "__init__.py").is_file():
        file = file / "__init__.py"
    if not file.is_file():
        near = meant(file.name, (one.name for one in _python_files(file.parent)))
        raise ValueError(f"no such file, seen from {folder.resolve()}{near}")
    if file.suffix != ".py":
        raise ValueError("the file of a trainer ends in `.py`")
    names = [] if file.name == "__init__.py" else [file.stem]
    place = file.parent
    while (place / "__init__.py").is_file():
        names.insert(0, place.name)
        place = place.parent
    odd = [name for name in names if not name.isidentifier()]
    if odd:
        better = "".join(char if char.isalnum() else "_" for char in odd[0])
        raise ValueError(
            f"`{odd[0]}` can't be the name of a Python module: rename it, to `{better}` say"
        )
    return TrainerFile(".".join(names) + colon + attribute, place, file)


def _python_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.py"))
    except OSError:
        return []
