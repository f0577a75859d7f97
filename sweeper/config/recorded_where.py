"""Conditions of the command line on runs in the records, read as those on a sweep file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.config.axes import DraftAxis
from sweeper.config.container_types import AnyType
from sweeper.config.field_types import Coercion, canonical_json
from sweeper.config.filters import Cell, Dimension, Names, Subject
from sweeper.config.problems import Report
from sweeper.config.section_types import Schema, Section
from sweeper.config.where import read_where
from sweeper.config.yaml_nodes import ListNode, Node
from sweeper.errors import Mark

__all__ = ["recorded_rows"]


class _RecordedType(AnyType):
    """The values that records have for a key: a list is one value only where they hold lists."""

    def __init__(self, *, lists: bool) -> None:
        self._lists = lists

    def holds_lists(self) -> bool:
        return self._lists

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        if isinstance(node, ListNode) and not self._lists:
            raise self._misfit(node, key)
        return super().fit(node, coercion, key, base)

    def plain(self, value: Any) -> Any:
        """As `AnyType`; a whole float is the integer, as records don't distinguish them."""
        whole = isinstance(value, float) and value.is_integer()
        return int(value) if whole else super().plain(value)


def recorded_rows(
    texts: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    axes: Sequence[str],
    *,
    missing: object,
    renamed: Mapping[str, str],
) -> frozenset[int]:
    """The places of the runs for which any of the conditions holds.

    `columns` have the value of each run by dotted key, `missing` where a run has none. `axes` are
    the keys that an ambiguous ending means first. Raises `ConfigError`, see `read_where`.
    """
    subjects = {key: _subject(key, values, missing) for key, values in columns.items()}
    kind = _RecordedType(lists=False)
    names = Names(
        Report(""),
        [DraftAxis(key, kind, [], [], Mark()) for key in axes],
        Section(Schema(dict, {}, dict), {}),
        renamed=renamed,
        subjects=subjects,
    )
    runs = range(len(next(iter(columns.values()), ())))
    conditions = read_where(texts, names, [Dimension((0,), tuple(runs))])
    return frozenset(
        run for run in runs if any(run in condition.get(0, runs) for condition in conditions)
    )


def _subject(key: str, values: Sequence[Any], missing: object) -> Subject:
    """What a key means: for each run its value, or one value that all runs have."""
    kind = _RecordedType(lists=any(isinstance(value, list) for value in values))
    known: dict[int, Cell] = {}  # thousands of runs share one value
    cells = tuple(
        None
        if value is missing
        else known.setdefault(id(value), _cell(kind, value))
        if id(value) not in known
        else known[id(value)]
        for value in values
    )
    first = cells[0] if cells else None
    if first is not None and all(cell is not None and cell.json == first.json for cell in cells):
        return Subject(key, None, (first,))
    return Subject(key, 0, cells)


def _cell(kind: _RecordedType, value: Any) -> Cell:
    plain = kind.plain(value)
    return Cell(kind, canonical_json(plain), plain)
