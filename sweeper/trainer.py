"""The contract between a training and a sweep.

A trainer is a module, or any object, with these attributes:

``Config``
    A frozen dataclass, nested as the sweep file is. Its field types drive the validation of sweep
    files, its defaults are the default config. Bounds are written with `annotated_types`
    (``lr: Annotated[float, Gt(0)]``), choices with ``Literal``.
``train(configs, runs)``
    Trains the configs, the i-th one reporting to the i-th `Run`. May return one mapping of metrics
    per run; a run without one ends with the last value of each metric it logged.
``check(config)`` (optional)
    Why valid values don't work together, as a list of sentences; empty if they do.
    Called for every run before any starts, so it must be cheap.
``program_key(config)`` (optional)
    A hashable value; runs with equal keys share a compiled program and follow each other on one
    slot. Without it every run is its own program.
``pack_size`` (optional)
    How many runs of one program `train` may get at once; default 1. The runs of a pack share a
    process, and die with it.
``evaluate(config, folder, datasets)`` (optional)
    Metrics of a trained run, from its folder, on the named datasets, without training.
``check_dataset(name)`` (optional)
    What is wrong with the name of a dataset for `evaluate`, as a list of sentences.
``headline`` (optional)
    Name of the metric that ranks runs in summaries, smaller is better; default ``"loss"``.
    With a minus before it (``"-accuracy"``) larger is better.
``maximise`` (optional)
    True says the same of a headline without a minus.
``units`` (optional)
    Units of metrics for tables and figures, by name or pattern: ``{"*/mean": "%"}``.
``preload`` (optional)
    Names of modules that workers import before their first run.

A sweep file names its trainer in one of two ways. ``package.module`` or ``package.module:object``
is imported by that name. An installed distribution may give its trainers short names too, in the
entry-point group ``sweeper.trainers``::

    [project.entry-points."sweeper.trainers"]
    neural_ode = "models.neural_ode"

Both spellings mean the same trainer. Its *canonical* name, which records keep and which run ids are
hashed from, is the module path (``models.neural_ode``): it works without the entry point too, so
ids in older records stay the same. A declared trainer always comes from its distribution, even if
the current directory or PYTHONPATH contains a module of the same name. All other trainers, and what
they import, are looked for in the current directory first.

Nothing here imports Ray or JAX.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import json
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from sweeper.errors import Diverged, TrainerError
from sweeper.formerly import Formerly

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "DEFAULT_TRAINER",
    "Diverged",
    "Formerly",
    "Run",
    "Trainer",
    "canonical_name",
    "load_trainer",
]

DEFAULT_TRAINER = "models.neural_ode"
ENTRY_POINT_GROUP = "sweeper.trainers"


class Run(Protocol):
    """What a training may use of its sweep."""

    @property
    def id(self) -> str:
        """The run's id, the same on every machine."""

    @property
    def folder(self) -> Path:
        """The run's own folder; its files are kept after the sweep."""

    def log(self, step: int, **metrics: float) -> None:
        """Record metrics at a global step, counted from 0 or 1 and never falling.

        Buffered: a row costs microseconds. Raises `Diverged` when a metric named ``loss`` is not
        finite, after having recorded it.
        """

    def save(self, name: str, writer: Callable[[Path], object]) -> Path:
        """Write the file `name` of the run's folder whole or not at all.

        `writer` gets a temporary path in the same folder, which then replaces `folder / name`.
        """

    def should_stop(self) -> bool:
        """Whether this run should end at its next step."""

    def progress(self, fraction: float) -> None:
        """Report how much is done, in [0, 1], for `sweep status`."""


class Trainer(Protocol):
    """A trainer whose optional attributes are filled in; see the module's docstring."""

    @property
    def name(self) -> str: ...

    @property
    def Config(self) -> type: ...  # noqa: N802  (the contract's name)

    @property
    def headline(self) -> str: ...

    @property
    def maximise(self) -> bool: ...

    @property
    def units(self) -> Mapping[str, str]: ...

    @property
    def pack_size(self) -> int: ...

    @property
    def preload(self) -> tuple[str, ...]: ...

    @property
    def evaluate(self) -> Callable[[Any, Path, Sequence[str]], Mapping[str, Any]] | None: ...

    def train(
        self, configs: Sequence[Any], runs: Sequence[Run]
    ) -> Sequence[Mapping[str, Any] | None] | Mapping[str, Any] | None: ...

    def check(self, config: Any) -> list[str]: ...

    def check_dataset(self, name: str) -> list[str]: ...

    @property
    def names_programs(self) -> bool: ...

    def program_key(self, config: Any) -> Hashable: ...


@dataclasses.dataclass(frozen=True)
class _FilledTrainer:
    """A user's trainer with defaults for the optional attributes."""

    name: str
    target: Any
    shadowed: str = ""
    """Top-level package that a new process would import from somewhere else."""

    @property
    def Config(self) -> type:  # noqa: N802  (the contract's name)
        config: type = self.target.Config
        return config

    @property
    def headline(self) -> str:
        return self._headline.removeprefix("-")

    @property
    def maximise(self) -> bool:
        return self._headline.startswith("-") or bool(getattr(self.target, "maximise", False))

    @property
    def _headline(self) -> str:
        return str(getattr(self.target, "headline", "loss"))

    @property
    def units(self) -> Mapping[str, str]:
        return dict(getattr(self.target, "units", {}))

    @property
    def pack_size(self) -> int:
        return int(getattr(self.target, "pack_size", 1))

    @property
    def preload(self) -> tuple[str, ...]:
        # Workers preload before they load the trainer: they would get the wrong package.
        names = tuple(getattr(self.target, "preload", ()))
        return tuple(name for name in names if name.partition(".")[0] != self.shadowed)

    @property
    def evaluate(self) -> Callable[[Any, Path, Sequence[str]], Mapping[str, Any]] | None:
        evaluate: Callable[[Any, Path, Sequence[str]], Mapping[str, Any]] | None
        evaluate = getattr(self.target, "evaluate", None)
        return evaluate

    def train(
        self, configs: Sequence[Any], runs: Sequence[Run]
    ) -> Sequence[Mapping[str, Any] | None] | Mapping[str, Any] | None:
        results: Sequence[Mapping[str, Any] | None] | Mapping[str, Any] | None = self.target.train(
            configs, runs
        )
        return results

    def check(self, config: Any) -> list[str]:
        check = getattr(self.target, "check", None)
        problems = check(config) if check else None
        if isinstance(problems, str):
            return [problems]
        return list(problems or [])

    def check_dataset(self, name: str) -> list[str]:
        check = getattr(self.target, "check_dataset", None)
        return list(check(name)) if check else []

    @property
    def names_programs(self) -> bool:
        """Whether it has a `program_key`; without one nothing is known of shared programs."""
        return hasattr(self.target, "program_key")

    def program_key(self, config: Any) -> Hashable:
        key = getattr(self.target, "program_key", None)
        result: Hashable = key(config) if key else config
        return result


def canonical_name(name: str) -> str:
    """The one name of the trainer `name`, without importing it; see the module's docstring.

    Raises `TrainerError` if two distributions declare the name.
    """
    declared = _declared(name)
    return name if declared is None else declared.name


def load_trainer(name: str, *, search: Sequence[Path] = ()) -> Trainer:
    """Import the trainer `name`: ``package.module``, ``package.module:object`` or a declared name.

    `search` holds folders that are looked through before `sys.path`, or after it for a declared
    trainer; they are put on `sys.path` for good, because a trainer may import its neighbours later.
    Raises `TrainerError`.
    """
    declared = _declared(name)
    name = name if declared is None else declared.name
    module_name, _, attribute = name.partition(":")
    folders = [folder for folder in map(str, search) if folder not in sys.path]
    sys.path[:] = [*folders, *sys.path] if declared is None else [*sys.path, *folders]
    try:
        if declared is None:
            target: Any = importlib.import_module(module_name)
        else:
            target = _import_declared(declared, module_name)
    except TrainerError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        unknown = declared is None and f"{module_name}.".startswith(f"{missing}.")
        meant = _meant(name) if unknown else ""
        raise TrainerError(
            f"trainer {name!r}: no module named {missing!r} in the current directory, on "
            f"PYTHONPATH or installed{meant}"
        ) from error
    except Exception as error:
        raise TrainerError(
            f"trainer {name!r}: importing it fails with {type(error).__name__}: {error}"
        ) from error
    for part in attribute.split(".") if attribute else ():
        if not hasattr(target, part):
            raise TrainerError(f"trainer {name!r}: {module_name} has no attribute {part!r}")
        target = getattr(target, part)
    for part in ("Config", "train"):
        if not hasattr(target, part):
            raise TrainerError(f"trainer {name!r} has no `{part}`: see docs/your-own-training.md")
    if not (isinstance(target.Config, type) and dataclasses.is_dataclass(target.Config)):
        raise TrainerError(f"trainer {name!r}: `Config` must be a dataclass")
    top = module_name.partition(".")[0]
    shadowed = declared is not None and _is_shadowed(top, [*map(str, search), *sys.path])
    return _FilledTrainer(name, target, top if shadowed else "")


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
