"""Reads a sweep file: from its text to a grid of runs, or to every error in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper.config.axes import ConfigPart
from sweeper.config.defaults import read_defaults
from sweeper.config.expansion import Axis, Expansion, RunSpec
from sweeper.config.filters import (
    Dimension,
    Names,
    dimensions,
    in_rows,
    read_conditions,
    read_zip,
)
from sweeper.config.grid import EntangledError, RowFilter, Selection
from sweeper.config.overrides import (
    KEY,
    Override,
    Reserved,
    overridden,
    read_overrides,
    with_overrides,
)
from sweeper.config.problems import Report
from sweeper.config.renames import check_renamed
from sweeper.config.resources import Resources, read_resources
from sweeper.config.run_names import RunNames, read_run_names
from sweeper.config.schema import check_types, schema_of
from sweeper.config.section_types import Schema, Section
from sweeper.config.sweep_keys import (
    INSIDE,
    NAME,
    RESERVED,
    WHEN,
    read_group,
    read_seeds,
    read_wandb,
    reserved_for,
    text_of,
)
from sweeper.config.trainer_file import trainer_file
from sweeper.config.when import Whens, read_when
from sweeper.config.where import read_where
from sweeper.config.yaml_nodes import Entry, MappingNode, parse
from sweeper.config.yaml_text import read_text
from sweeper.errors import ConfigError, Mark, Problem, TrainerError
from sweeper.keys import labels
from sweeper.suggest import listed
from sweeper.trainer import DEFAULT_TRAINER, Trainer, load_trainer

__all__ = ["Sweep", "read_sweep"]


@dataclass(frozen=True, eq=False)
class Sweep:
    """A valid sweep file; iterating gives its runs, each made when it is asked for.

    `defaults_file` is the default.yaml that it builds on, `zipped` the keys of axes that move
    together, `wandb` what the file says for W&B besides the group, `names` what runs are called.
    """

    path: Path
    text: str
    group: str
    trainer: Trainer
    axes: tuple[Axis, ...]
    resources: Resources
    defaults_file: Path | None
    warnings: tuple[Problem, ...]
    wandb: Mapping[str, Any]
    zipped: tuple[tuple[str, ...], ...]
    _points: int = field(repr=False)
    _expansion: Expansion = field(repr=False)
    _names: Names = field(repr=False)
    _grid: tuple[Dimension, ...] = field(repr=False)
    names: RunNames | None = None

    def grid_size(self) -> int:
        """The number of points before `exclude` and `only`."""
        return self._points

    @property
    def fixed(self) -> Mapping[str, Any]:
        """The plain values of all parameters that are no axes, by dotted key."""
        return self._expansion.fixed

    def count(self) -> int:
        """The exact number of runs, without making any."""
        return self._expansion.selection.count()

    def __iter__(self) -> Iterator[RunSpec]:
        """The runs, each point once: the first axis of the file changes slowest, seeds fastest."""
        return iter(self._expansion)

    def matching(self, where: Sequence[str]) -> Iterator[RunSpec]:
        """The runs for which any of these conditions holds, in the same order.

        Raises `ConfigError` for a bad condition; see `sweeper.config.where`.
        """
        return self._expansion.matching(read_where(where, self._names, self._grid))


def read_sweep(path: Path, *, search: Sequence[Path] = (), overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and import its trainer, looked for in `search` before `sys.path`.

    `overrides` are arguments of `--set`, such as ``lr=1e-3,1e-2``. Raises `ConfigError` with every
    error of the file, of these and of the default.yaml that it builds on, `TrainerError` for a
    trainer whose Config no file could fill.
    """
    path = Path(path)
    text, report = read_text(path)
    root = parse(text, report) if text is not None else None
    if text is None or root is None:
        raise ConfigError(report.errors())
    given = read_overrides(overrides, root.get(KEY), report)
    trainer = _trainer(_trainer_entry(root, given), path.parent, search, report)
    if trainer is None:
        _read_head(path, root, report, INSIDE)
        raise ConfigError(report.errors())
    schema = _schema(trainer)
    defaults = read_defaults(path, trainer.name, schema, trainer.renamed)
    keys = reserved_for(schema)
    whole, counting = overridden(root, given, defaults.section, report, keys)
    head = _read_head(path, whole, report, keys)
    fields = tuple(entry for entry in whole.entries if entry.key not in keys)
    part = ConfigPart(report, defaults.section, known=tuple(keys), renamed=trainer.renamed)
    section = part.read(MappingNode(fields, root.mark))
    grid = _read_grid(section, part, head.reserved)
    naming = head.reserved.get(NAME)
    names = read_run_names(naming, grid.names, report) if naming is not None else None
    problems = [*report.errors(), *defaults.errors]
    if problems:
        raise ConfigError(problems)
    selection, points = _select(grid, report, head.reserved)
    return Sweep(
        path=path,
        text=with_overrides(text, root, counting, head.group),
        group=head.group,
        trainer=trainer,
        axes=_axes(part, grid.dimensions),
        resources=head.resources,
        defaults_file=defaults.file,
        warnings=(*report.warnings(), *defaults.warnings),
        wandb={key: value for key, value in head.wandb.items() if key != "group"},
        zipped=tuple(tuple(part.axes[axis].key for axis in own) for own in grid.zipped),
        _points=points,
        _expansion=Expansion(
            trainer.name,
            grid.section,
            [(axis.key, axis.field_type, axis.values) for axis in part.axes],
            grid.dimensions,
            selection,
            renamed=trainer.renamed,
        ),
        _names=grid.names,
        _grid=grid.dimensions,
        names=names,
    )


@dataclass(frozen=True)
class _Head:
    """The part of a file that isn't about parameters, and its entries by key."""

    reserved: Mapping[str, Entry]
    group: str
    wandb: Mapping[str, Any]
    resources: Resources


def _read_head(path: Path, root: MappingNode, report: Report, keys: Reserved) -> _Head:
    reserved = {entry.key: entry for entry in root.entries if entry.key in keys}
    wandb = read_wandb(reserved.get("wandb"), report)
    group = read_group(path, reserved.get("group"), reserved.get("wandb"), wandb, report)
    resources = Resources()
    if "resources" in reserved:
        resources = read_resources(reserved["resources"].value, report)
    return _Head(reserved, group, wandb, resources)


def _trainer_entry(root: MappingNode, overrides: Sequence[Override]) -> Entry | None:
    """What names the trainer: needed before it's known what the keys of overrides mean."""
    named = [one for one in overrides if one.key == "trainer"]
    if not named:
        return root.get("trainer")
    return Entry("trainer", named[-1].mark, named[-1].value)


def _trainer(
    entry: Entry | None, folder: Path, search: Sequence[Path], report: Report
) -> Trainer | None:
    """The trainer; None with the error reported where the file names it.

    `folder` is where the path of a trainer's file starts: the sweep file's, or the current one for
    the command line's.
    """
    if entry is None:
        return load_trainer(DEFAULT_TRAINER, search=search)
    name = text_of(entry, report)
    if name is None:
        return None
    mark = entry.value.mark
    try:
        file = trainer_file(name, Path() if mark.argument else folder)
        if file is None:
            return load_trainer(name, search=search)
        trainer = load_trainer(file.name, search=[file.folder, *search])
    except TrainerError as error:
        report.error(mark, str(error))
        return None
    except ValueError as error:
        report.error(mark, f"trainer {name!r}: {error}")
        return None
    other = file.other()
    if other is not None:
        text = f"its name `{file.name}` means another module, {other}: rename the file"
        report.error(mark, f"trainer {name!r}: {text}")
        return None
    return trainer


def _schema(trainer: Trainer) -> Schema:
    """The schema of the trainer's Config. Raises `TrainerError`."""
    schema = schema_of(trainer.Config)
    check_types(trainer.Config)
    check_renamed(trainer)
    taken = [name for name in schema.fields if name in RESERVED]
    if taken:
        raise TrainerError(
            f"trainer {trainer.name!r}: its Config has the fields {listed(taken)}, which mean "
            f"something else at the top of a sweep file: rename them, or put them in a section"
        )
    return schema


@dataclass(frozen=True)
class _Grid:
    section: Section
    dimensions: tuple[Dimension, ...]
    zipped: tuple[tuple[int, ...], ...]
    names: Names
    whens: Sequence[RowFilter]
    excludes: Sequence[RowFilter]
    onlys: Sequence[RowFilter] | None


def _read_grid(section: Section, part: ConfigPart, reserved: Mapping[str, Entry]) -> _Grid:
    """When, seeds, zip, exclude and only, on top of the axes found."""
    whens = Whens(section)
    if WHEN in reserved:
        whens = read_when(reserved[WHEN], section, part)
        section = whens.section
    if "seeds" in reserved:
        section = read_seeds(reserved["seeds"], section, part)
    part.require(section)
    names = Names(part.report, part.axes, section, frozenset(part.failed), part.renamed)
    zipped = read_zip(reserved["zip"].value, names) if "zip" in reserved else []
    grid = dimensions(part.axes, zipped, part.report)
    excludes = read_conditions(reserved.get("exclude"), names, grid)
    onlys = read_conditions(reserved.get("only"), names, grid)
    left_out = [in_rows(condition, grid) for condition in whens.excludes]
    return _Grid(section, tuple(grid), tuple(zipped), names, left_out, excludes or (), onlys)


def _select(grid: _Grid, report: Report, reserved: Mapping[str, Entry]) -> tuple[Selection, int]:
    """The points that remain, and how many there are before `exclude` and `only`.

    Raises `ConfigError` if none remain, or if they can't be counted.
    """
    conditions = [reserved[key] for key in (WHEN, "exclude", "only") if key in reserved]
    mark = conditions[-1].mark if conditions else Mark()
    keys = " and ".join(f"`{entry.key}`" for entry in conditions)
    lengths = [len(dimension.rows) for dimension in grid.dimensions]
    try:
        points = Selection(lengths, grid.whens).count()
        selection = Selection(lengths, [*grid.whens, *grid.excludes], grid.onlys)
    except EntangledError:
        report.error(mark, f"{keys}: the conditions overlap in too many ways: use fewer")
        raise ConfigError(report.errors()) from None
    if not selection.count():
        report.error(mark, f"{keys}: no run is left")
        raise ConfigError(report.errors())
    return selection, points


def _axes(part: ConfigPart, grid: Sequence[Dimension]) -> tuple[Axis, ...]:
    short = labels([axis.key for axis in part.axes])
    rows = {axis: dimension.rows for dimension in grid for axis in dimension.axes}
    found = []
    for index, draft in enumerate(part.axes):
        values = tuple(draft.values[row] for row in rows[index])
        plain_values = tuple(draft.field_type.plain(value) for value in values)
        found.append(Axis(draft.key, values, short[draft.key], plain_values, draft.cases))
    return tuple(found)
