"""The grid of a sweep, and its runs one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeper.config.axes import AxisCase, AxisPlaceholder
from sweeper.config.field_types import FieldType, canonical_json
from sweeper.config.filters import Dimension
from sweeper.config.grid import RowFilter, Selection
from sweeper.config.identity import identifying, is_as_before
from sweeper.config.renames import as_hashed
from sweeper.config.run_config import run_id_of_json
from sweeper.config.section_types import Schema, Section, sentence
from sweeper.keys import joined

__all__ = ["Axis", "Expansion", "RunSpec"]


_Omitted = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True)
class Axis:
    """A parameter with several values, in the order of the file.

    `key` is its dotted path, `label` the shortest ending of it that no other axis has.
    `plain_values` are the values as data of JSON's types. `cases` says which of them it takes under
    which condition of `when`; empty for all others.
    """

    key: str
    values: tuple[Any, ...]
    label: str
    plain_values: tuple[Any, ...]
    cases: tuple[AxisCase, ...] = ()


@dataclass(frozen=True)
class RunSpec:
    """One resolved config.

    `axis_values` are plain values by axis key. Where the config's own `__post_init__` refuses the
    combination, `config` is None and `invalid` has its sentences.
    """

    id: str
    config: Any
    axis_values: dict[str, Any]
    invalid: tuple[str, ...] = ()


class Expansion:
    """Makes the runs of a sweep, each when it is asked for.

    `fixed` are the plain values of all parameters that are no axes, by dotted key.
    What doesn't change from run to run (sections without axes, the JSON text between the values
    of axes) is made once: a run costs some 20 µs.
    """

    def __init__(
        self,
        trainer_name: str,
        root: Section,
        axes: Sequence[tuple[str, FieldType, Sequence[Any]]],
        grid: Sequence[Dimension],
        selection: Selection,
        *,
        renamed: Mapping[str, str],
    ) -> None:
        self._trainer_name = trainer_name
        self._renamed = renamed
        self._keys = [key for key, _, _ in axes]
        self._values = [list(values) for _, _, values in axes]
        self._plain = [
            [field_type.plain(value) for value in values] for _, field_type, values in axes
        ]
        self._json = [
            [canonical_json(identifying(*pair)) for pair in zip(values, plain, strict=True)]
            for values, plain in zip(self._values, self._plain, strict=True)
        ]
        self._pieces = _json_pieces(root)
        self._omitted = _omitted_values(root, self._plain)
        self._builder = _Builder.of(root, "")
        self.fixed = _fixed_values(root, "")
        self._grid = grid
        self.selection = selection

    def __iter__(self) -> Iterator[RunSpec]:
        for point in self.selection:
            yield self._run(point)

    def matching(self, conditions: Sequence[RowFilter]) -> Iterator[RunSpec]:
        """The runs whose point has the rows that any of `conditions` wants."""
        for point in self.selection:
            if any(
                all(point[dimension] in rows for dimension, rows in condition.items())
                for condition in conditions
            ):
                yield self._run(point)

    def _run(self, point: Sequence[int]) -> RunSpec:
        chosen = [0] * len(self._keys)
        for dimension, row in zip(self._grid, point, strict=True):
            for axis in dimension.axes:
                chosen[axis] = dimension.rows[row]
        text = "".join(
            piece if isinstance(piece, str) else self._json[piece][chosen[piece]]
            for piece in self._pieces
        )
        gone = [path for axis, row, path in self._omitted if chosen[axis] == row]
        if gone:
            text = _without(text, gone)
        invalid: list[str] = []
        values = [own[index] for own, index in zip(self._values, chosen, strict=True)]
        config = self._builder.build(values, invalid)
        return RunSpec(
            id=run_id_of_json(self._trainer_name, as_hashed(text, self._renamed)),
            config=config,
            axis_values={
                key: own[index]
                for key, own, index in zip(self._keys, self._plain, chosen, strict=True)
            },
            invalid=tuple(invalid),
        )


def _json_pieces(section: Section) -> list[str | int]:
    """The canonical JSON of a section in pieces, with the number of an axis where its text goes."""
    pieces: list[str | int] = []
    for name in sorted(section.values):
        value = section.values[name]
        if _is_fixed_as_before(section, name):
            continue
        start = "," if pieces else "{"
        pieces.append(f"{start}{json.dumps(name)}:")
        if isinstance(value, AxisPlaceholder):
            pieces.append(value.axis)
        elif isinstance(value, Section):
            pieces += _json_pieces(value)
        else:
            plain = section.schema.fields[name].plain(value)
            pieces.append(canonical_json(identifying(value, plain)))
    pieces.append("}" if pieces else "{}")
    return pieces


def _is_fixed_as_before(section: Section, name: str) -> bool:
    """Whether a parameter is no axis and doesn't go into the id."""
    value = section.values[name]
    if isinstance(value, AxisPlaceholder | Section):
        return False
    return is_as_before(section.schema.cls, name, section.schema.fields[name].plain(value))


def _omitted_values(root: Section, plain: Sequence[Sequence[Any]]) -> list[_Omitted]:
    """Axis, row and path of the values of axes that don't go into the id."""

    def below(section: Section, path: tuple[str, ...]) -> Iterator[_Omitted]:
        for name, value in section.values.items():
            if isinstance(value, Section):
                yield from below(value, (*path, name))
            elif isinstance(value, AxisPlaceholder):
                for row, item in enumerate(plain[value.axis]):
                    if is_as_before(section.schema.cls, name, item):
                        yield value.axis, row, (*path, name)

    return list(below(root, ()))


def _without(text: str, paths: Sequence[tuple[str, ...]]) -> str:
    """The canonical JSON without some of its entries."""
    data = json.loads(text)
    for *folders, name in paths:
        place = data
        for folder in folders:
            place = place[folder]
        del place[name]
    return canonical_json(data)


def _fixed_values(section: Section, key: str) -> dict[str, Any]:
    """The plain values of a section's parameters without its axes, by dotted key.

    As in the id, what is as it was before a parameter existed is left out: the runs of one sweep
    must not differ in it because some are older.
    """
    found: dict[str, Any] = {}
    for name, value in section.values.items():
        if isinstance(value, Section):
            found |= _fixed_values(value, joined(key, name))
        elif not isinstance(value, AxisPlaceholder) and not _is_fixed_as_before(section, name):
            found[joined(key, name)] = identifying(value, section.schema.fields[name].plain(value))
    return found


@dataclass(frozen=True)
class _Builder:
    """Builds the dataclass of a section; `refused` are sentences that no axis can change."""

    schema: Schema
    key: str
    fixed: Mapping[str, Any]
    slots: tuple[tuple[str, int], ...]
    inner: tuple[tuple[str, _Builder], ...]
    refused: tuple[str, ...] = ()

    @classmethod
    def of(cls, section: Section, key: str) -> _Builder:
        fixed: dict[str, Any] = {}
        slots: list[tuple[str, int]] = []
        inner: list[tuple[str, _Builder]] = []
        refused: list[str] = []
        for name, value in section.values.items():
            if isinstance(value, AxisPlaceholder):
                slots.append((name, value.axis))
            elif isinstance(value, Section):
                builder = cls.of(value, joined(key, name))
                if builder.slots or builder.inner:
                    inner.append((name, builder))
                else:
                    fixed[name] = builder.build((), refused)
            else:
                fixed[name] = value
        return cls(section.schema, key, fixed, tuple(slots), tuple(inner), tuple(refused))

    def build(self, values: Sequence[Any], invalid: list[str]) -> Any:
        """The instance for the axes' values; None with sentences in `invalid` if it's refused."""
        before = len(invalid)
        invalid += self.refused
        fields = dict(self.fixed)
        for name, axis in self.slots:
            fields[name] = values[axis]
        for name, builder in self.inner:
            fields[name] = builder.build(values, invalid)
        if len(invalid) > before:
            return None
        try:
            return self.schema.cls(**fields)
        except Exception as error:  # whatever the user's __post_init__ raises
            said = sentence(error)
            invalid.append(f"{self.key}: {said}" if self.key else said)
            return None
