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
``renamed`` (optional)
    New keys of renamed parameters by their old ones, dotted: ``{"alpha": "penalty"}``. Records with
    the old key are read as if they had the new one, and ids are hashed with the old key, so that
    finished runs are recognised. Add it with the rename: what is trained under the new key before
    has another id. A key that was renamed twice has two entries, both with the newest key.
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
they import, are looked for in the current directory first, then in the folder of the sweep file,
then where Python looks. The standard library comes before all of these, so neither a trainer nor a
module beside it can have the name of one of Python's own modules.

Nothing here imports Ray or JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sweeper.errors import Diverged, TrainerError
from sweeper.formerly import Formerly
from sweeper.imports import canonical_name, import_trainer

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

    @property
    def restored(self) -> Path | None:
        """The folder that an earlier attempt's last `checkpoint` filled; None without one.

        Ask for it once, before the first step: a training that does goes on from there, and the
        rows that were logged up to the checkpoint are already in the metrics. If it can't use what
        it finds, it begins at its first step again; the run's log says so.
        """

    def checkpoint(self, step: int, writer: Callable[[Path], object]) -> bool:
        """Keep what the run needs in order to go on after `step`, if that is due.

        Call it after every step, when everything up to `step` is logged: it costs a microsecond
        unless the last checkpoint (or the start) is `checkpoint_every` ago (`resources` of the
        sweep file, default 5 min) or the run was asked to stop. Then `writer` gets an empty folder,
        which replaces the last checkpoint once it is complete. The last one is kept until the run
        has finished or diverged. Returns whether it was written. Raises ValueError for a step
        before the last one logged, and what `writer` raises.
        """

    def progress(self, fraction: float) -> None:
        """Report how much is done, in [0, 1], for `sweep status`."""


class Trainer(Protocol):
    """A trainer whose optional attributes are filled in; see the module's docstring."""

    @property
    def name(self) -> str: ...

    @property
    def search(self) -> tuple[Path, ...]:
        """The folders in which it was looked for, as workers do too."""

    @property
    def Config(self) -> type: ...  # noqa: N802  (the contract's name)

    @property
    def headline(self) -> str: ...

    @property
    def maximise(self) -> bool: ...

    @property
    def units(self) -> Mapping[str, str]: ...

    @property
    def renamed(self) -> Mapping[str, str]: ...

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
    search: tuple[Path, ...] = ()
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
    def renamed(self) -> Mapping[str, str]:
        return dict(getattr(self.target, "renamed", {}))

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


def load_trainer(name: str, *, search: Sequence[Path] = ()) -> Trainer:
    """Import the trainer `name`: ``package.module``, ``package.module:object`` or a declared name.

    `search` holds folders that are looked through after the standard library and before the rest
    of `sys.path`, or after that for a declared trainer; they are put on `sys.path` for good,
    because a trainer may import its neighbours later. Raises `TrainerError`.
    """
    found = import_trainer(name, search)
    for part in ("Config", "train"):
        if not hasattr(found.target, part):
            raise TrainerError(
                f"trainer {found.name!r} has no `{part}`: see docs/your-own-training.md"
            )
    config = found.target.Config
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise TrainerError(f"trainer {found.name!r}: `Config` must be a dataclass")
    _check_renamed(found.name, getattr(found.target, "renamed", {}))
    return _FilledTrainer(found.name, found.target, tuple(search), found.shadowed)


def _check_renamed(name: str, renamed: Any) -> None:
    """Raises `TrainerError` for anything but old keys with new ones; see the module's docstring."""
    texts = [*renamed, *renamed.values()] if isinstance(renamed, Mapping) else [None]
    if not all(isinstance(text, str) and all(text.split(".")) for text in texts):
        raise TrainerError(
            f"trainer {name!r}: `renamed` must be a mapping of old keys to new ones, such as "
            f'{{"alpha": "penalty"}}, but is {renamed!r}'
        )
    for old, new in renamed.items():
        if new in renamed:
            raise TrainerError(
                f"trainer {name!r}: `renamed` has `{old}` → `{new}` and `{new}` → "
                f"`{renamed[new]}`: give the newest key for each old one"
            )
