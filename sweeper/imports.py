"""How the module of a trainer is found and imported; the rules are in `sweeper.trainer`."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import json
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sweeper.errors import TrainerError
from sweeper.extras import extra_of, how_to_install

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Imported", "canonical_name", "import_trainer"]

ENTRY_POINT_GROUP = "sweeper.trainers"


def canonical_name(name: str) -> str:
    """The one name of the trainer `name`, without importing it; see `sweeper.trainer`.

    Raises `TrainerError` if two distributions declare the name.
    """
    declared = _declared(name)
    return name if declared is None else declared.name


@dataclasses.dataclass(frozen=True)
class Imported:
    """What a trainer's name leads to."""

    name: str
    """Its canonical name."""
    target: Any
    shadowed: str = ""
    """Top-level package that a new process would import from somewhere else."""


def import_trainer(name: str, search: Sequence[Path]) -> Imported:
    """Import the module or object that `name` means. Raises `TrainerError`.

    `search` holds folders that are looked through right after the standard library, or for a
    declared trainer after everything else; they stay on `sys.path`.
    """
    declared = _declared(name)
    name = name if declared is None else declared.name
    module_name, _, attribute = name.partition(":")
    top = module_name.partition(".")[0]
    folders = [str(folder) for folder in search]
    _put_on_path(folders, last=declared is not None)
    if declared is None and _is_standard(top):
        raise TrainerError(
            f"trainer {name!r}: `{top}` is a module of Python's standard library, and that one is "
            f"imported: rename {_beside(top, folders) or 'yours'}"
        )
    target = _target(name, module_name, declared, folders)
    for part in attribute.split(".") if attribute else ():
        if not hasattr(target, part):
            raise TrainerError(f"trainer {name!r}: {module_name} has no attribute {part!r}")
        target = getattr(target, part)
    shadowed = declared is not None and _is_shadowed(top, [*folders, *sys.path])
    return Imported(name, target, top if shadowed else "")


def _target(name: str, module_name: str, declared: _Declared | None, folders: Sequence[str]) -> Any:
    """The module. Raises `TrainerError` whatever its import raises."""
    try:
        if declared is None:
            return importlib.import_module(module_name)
        return _import_declared(declared, module_name)
    except TrainerError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        ours = declared is not None and bool(extra_of(missing.partition(".")[0]))
        own = f"{module_name}.".startswith(f"{missing}.")
        if ours or not own:
            how = how_to_install(missing) if ours else _not_found(missing, folders)
            raise TrainerError(f"trainer {name!r}: {how}") from error
        meant = _meant(name) if declared is None else ""
        raise TrainerError(
            f"trainer {name!r}: no module named {missing!r} {_places(folders)}{meant}"
        ) from error
    except Exception as error:
        raise TrainerError(
            f"trainer {name!r}: importing it fails with {type(error).__name__}: {error}"
            f"{_hidden(error, folders)}"
        ) from error


def _not_found(missing: str, folders: Sequence[str]) -> str:
    """What to say of a module that a trainer of somebody else's imports.

    The packages of the extras are installed by the name that they are imported by; of others,
    nobody knows.
    """
    how = f": pip install {missing}" if extra_of(missing) else ""
    return f"it imports `{missing}`, which isn't {_places(folders)}{how}"


def _put_on_path(folders: Sequence[str], *, last: bool) -> None:
    """Put folders on `sys.path`, never before the standard library.

    What is imported late, here or in a package, must not be a `queue.py` or `types.py` of a user's.
    """
    if last:
        sys.path += [folder for folder in folders if folder not in sys.path]
        return
    standard = _standard_entries()
    others = [entry for entry in sys.path if entry not in standard and entry not in folders]
    own = [folder for folder in dict.fromkeys(folders) if folder not in standard]
    sys.path[:] = [*standard, *own, *others]


def _standard_entries() -> list[str]:
    """The entries of `sys.path` that are the standard library's: zipped, its folder, binaries."""
    home = Path(sysconfig.get_path("stdlib"))
    zipped = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    own = {str(home), str(Path(os.__file__).parent), str(home / "lib-dynload")}
    return [entry for entry in sys.path if entry in own or Path(entry).name == zipped]


def _is_standard(top: str) -> bool:
    if top in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(top, _standard_entries())  # that list leaves out `test`
    return spec is not None and spec.origin is not None


def _beside(top: str, folders: Sequence[str]) -> str | None:
    """The file or package `top` in the first of some folders that has one."""
    spec = PathFinder.find_spec(top, list(folders))
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)


def _places(folders: Sequence[str]) -> str:
    """Where a module was looked for, for a message."""
    here = str(Path.cwd())
    words = ["in the current directory" if item == here else f"in {item}" for item in folders]
    return f"{', '.join([*dict.fromkeys(words), 'on PYTHONPATH'])} or installed"


def _hidden(error: Exception, folders: Sequence[str]) -> str:
    """The ending of a message where a user's module was meant, and the standard one imported."""
    name = ""
    if isinstance(error, ImportError):
        name = error.name or ""
    elif isinstance(error, AttributeError):
        name = error.obj.__name__ if isinstance(error.obj, ModuleType) else ""
    file = _beside(name, folders) if name and _is_standard(name) else None
    if file is None:
        return ""
    return f"; Python imports its own module `{name}`, not {file}: rename that file"


@dataclasses.dataclass(frozen=True)
class _Declared:
    """A trainer that installed distributions declare."""

    name: str
    """Its canonical name."""
    entries: tuple[EntryPoint, ...]
    """The entry points with its module."""

    @property
    def owner(self) -> str:
        return _owner(self.entries[0])

    def homes(self) -> list[Path]:
        """Folders that may hold its top-level package; of an editable install, the sources."""
        found: dict[Path, None] = {}
        for entry in self.entries:
            if entry.dist is None:
                continue
            origin = json.loads(entry.dist.read_text("direct_url.json") or "{}")
            if origin.get("dir_info", {}).get("editable"):
                project = Path(unquote(urlsplit(origin["url"]).path))
                found |= {project / "src": None, project: None}
            found[Path(str(entry.dist.locate_file(""))).absolute()] = None
        return list(found)


def _declared(name: str) -> _Declared | None:
    """The declared trainer with the short name `name`, else with its module; imports neither."""
    known = _entry_points(tuple(sys.path))
    named = [entry for entry in known if entry.name == name]
    owners = sorted({_owner(entry) for entry in named})
    if len(owners) > 1:
        paths = " or ".join(f"`{path}`" for path in dict.fromkeys(map(_path, named)))
        raise TrainerError(
            f"trainer {name!r} is declared by two installed distributions, {' and '.join(owners)}: "
            f"write the module instead, {paths}, or uninstall one of them"
        )
    module, _, attribute = (_path(named[0]) if named else name).partition(":")
    entries = [*named, *(entry for entry in known if entry.module == module and entry not in named)]
    if not entries:
        return None
    return _Declared(f"{module}:{attribute}" if attribute else module, tuple(entries))


@functools.lru_cache(maxsize=8)
def _entry_points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """What installed distributions declare; read again if `path`, which is `sys.path`, changes."""
    from importlib.metadata import entry_points  # a few milliseconds for a hundred distributions

    found = entry_points(group=ENTRY_POINT_GROUP)
    return tuple(entry for entry in found if entry.pattern.match(entry.value))  # others are broken


def _path(entry: EntryPoint) -> str:
    return f"{entry.module}:{entry.attr}" if entry.attr else entry.module


def _owner(entry: EntryPoint) -> str:
    return "an unknown one" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _meant(name: str) -> str:
    """The ending of a message that names the declared trainer most like `name`, if any is."""
    known = _entry_points(tuple(sys.path))
    names = dict.fromkeys([*(entry.name for entry in known), *map(_path, known)])
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _import_declared(declared: _Declared, module_name: str) -> Any:
    """Import a module of a distribution. Raises `TrainerError` if it isn't the distribution's.

    Importing the top-level package from the right folder settles the rest: Python looks for
    submodules, also those imported later, in their package's folder and not on `sys.path`.
    """
    homes = declared.homes()
    top = module_name.partition(".")[0]
    spec = PathFinder.find_spec(top, [str(home) for home in homes])
    if spec is not None and spec.has_location and top not in sys.modules:
        _execute(spec)
    loaded = sys.modules.get(top)
    if spec is not None and spec.has_location and loaded is not None:
        _verify(declared, loaded, [Path(str(spec.origin))])
    target = importlib.import_module(module_name)
    _verify(declared, target, homes)
    return target


def _execute(spec: ModuleSpec) -> None:
    """Import the module that `spec` has found."""
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise


def _verify(declared: _Declared, module: Any, places: Sequence[Path]) -> None:
    """Raises `TrainerError` unless the module is one of `places` or inside one."""
    file = getattr(module, "__file__", None)
    inside = file and any(Path(file).resolve().is_relative_to(place.resolve()) for place in places)
    if not inside:
        where = file or "a folder without `__init__.py`"
        raise TrainerError(
            f"trainer {declared.name!r} belongs to the distribution {declared.owner}, but another "
            f"module `{module.__name__}` was imported, from {where}: rename that one, or "
            f"remove it from PYTHONPATH"
        )


def _is_shadowed(top: str, path: Sequence[str]) -> bool:
    """Whether `path` leads to another package than the one imported as `top`."""
    spec = PathFinder.find_spec(top, path)
    own = getattr(sys.modules[top], "__file__", None)
    if spec is None or own is None:  # found by an import hook; a namespace package
        return False
    return spec.origin is None or Path(spec.origin).resolve() != Path(own).resolve()
