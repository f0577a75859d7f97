"""The contract between a training and a sweep.

A trainer is a module, or any object, with these attributes:

``Config``
    A frozen dataclass, nested as the sweep file is. Its field types drive the validation of sweep
    files, its defaults are the default config. Bounds are told with `annotated_types`
    (``lr: Annotated[float, Gt(0)]``), closed sets of words with ``Literal``.
``train(configs, runs)``
    Trains the configs, the i-th one reporting to the i-th `Run`. May return one mapping of metrics
    per run; a run without one ends with the last value of each metric it logged.
``check(config)`` (optional)
    What can't work although each value is valid, as a list of sentences; empty if all is well.
    Called for every run before any starts, so it must be cheap.
``program_key(config)`` (optional)
    A hashable value; runs with equal keys share a compiled program and follow each other on one
    slot. Without it every run is its own program.
``pack_size`` (optional)
    How many runs of one program `train` may be handed at once; default 1. The runs of a pack share
    the fate of their process.
``evaluate(config, folder, datasets)`` (optional)
    Metrics of a trained run, from its folder, on the named datasets, without training.
``check_dataset(name)`` (optional)
    What is wrong with the name of a dataset for `evaluate`, as a list of sentences.
``headline`` (optional)
    Name of the metric that ranks runs in summaries, smaller is better; default ``"loss"``.
``units`` (optional)
    Units of metrics for tables and figures, by name or pattern: ``{"*/mean": "%"}``.
``preload`` (optional)
    Names of modules that workers import before their first run.

Nothing here imports Ray or JAX.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sweeper.errors import Diverged, TrainerError

__all__ = ["DEFAULT_TRAINER", "Diverged", "Run", "Trainer", "load_trainer"]

DEFAULT_TRAINER = "models.neural_ode"


class Run(Protocol):
    """What a training may do with the sweep that it is part of."""

    @property
    def id(self) -> str:
        """The run's id, the same on every machine."""

    @property
    def folder(self) -> Path:
        """The run's own folder; everything in it outlives the sweep."""

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
        """Whether the sweep asks this run to end at the next step."""

    def progress(self, fraction: float) -> None:
        """Tell how much is done, in [0, 1], for `sweep status`."""


class Trainer(Protocol):
    """A trainer whose optional attributes are filled in; see the module's docstring."""

    @property
    def name(self) -> str: ...

    @property
    def Config(self) -> type: ...  # noqa: N802  (the contract's name)

    @property
    def headline(self) -> str: ...

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
    ) -> Sequence[Mapping[str, Any] | None] | None: ...

    def check(self, config: Any) -> list[str]: ...

    def check_dataset(self, name: str) -> list[str]: ...

    def program_key(self, config: Any) -> Hashable: ...


@dataclasses.dataclass(frozen=True)
class _FilledTrainer:
    """A user's trainer with defaults for the optional attributes."""

    name: str
    target: Any

    @property
    def Config(self) -> type:  # noqa: N802  (the contract's name)
        config: type = self.target.Config
        return config

    @property
    def headline(self) -> str:
        return str(getattr(self.target, "headline", "loss"))

    @property
    def units(self) -> Mapping[str, str]:
        return dict(getattr(self.target, "units", {}))

    @property
    def pack_size(self) -> int:
        return int(getattr(self.target, "pack_size", 1))

    @property
    def preload(self) -> tuple[str, ...]:
        return tuple(getattr(self.target, "preload", ()))

    @property
    def evaluate(self) -> Callable[[Any, Path, Sequence[str]], Mapping[str, Any]] | None:
        evaluate: Callable[[Any, Path, Sequence[str]], Mapping[str, Any]] | None
        evaluate = getattr(self.target, "evaluate", None)
        return evaluate

    def train(
        self, configs: Sequence[Any], runs: Sequence[Run]
    ) -> Sequence[Mapping[str, Any] | None] | None:
        results: Sequence[Mapping[str, Any] | None] | None = self.target.train(configs, runs)
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

    def program_key(self, config: Any) -> Hashable:
        key = getattr(self.target, "program_key", None)
        result: Hashable = key(config) if key else config
        return result


def load_trainer(name: str, *, search: Sequence[Path] = ()) -> Trainer:
    """Import the trainer `name` (``package.module`` or ``package.module:object``).

    `search` holds folders that are looked through before `sys.path`; they are put on `sys.path`
    for good, because a trainer may import its neighbours later. Raises `TrainerError`.
    """
    for folder in reversed([str(path) for path in search]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module_name, _, attribute = name.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise TrainerError(
            f"trainer {name!r}: no module named {error.name!r} in the current directory, on "
            f"PYTHONPATH or installed"
        ) from error
    except Exception as error:
        raise TrainerError(
            f"trainer {name!r}: its import fails with {type(error).__name__}: {error}"
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
    return _FilledTrainer(name, target)
