"""`when` of a sweep file: values that parameters take only where a condition on others holds.

A block has a condition under `if`, and beside it keys as at the top of the file. Where the
condition holds, these take the block's values, otherwise what the rest of the file says: one point
each, so that nothing is trained twice. All of it becomes axes, and conditions that leave points
out: counting and listing stay exact without trying every point.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeper.config.axes import (
    AxisCase,
    AxisPlaceholder,
    ConfigPart,
    DraftAxis,
    leaves,
    replaced,
    several,
)
from sweeper.config.field_types import FieldType, MisfitError, canonical_json
from sweeper.config.filters import Names, condition_of
from sweeper.config.ranges import range_of
from sweeper.config.section_types import MISSING, Section, sentence
from sweeper.config.variants import Widened, variants_of
from sweeper.config.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode
from sweeper.errors import Mark
from sweeper.keys import joined
from sweeper.suggest import shown

__all__ = ["Condition", "Whens", "read_when"]

Condition = Mapping[int, frozenset[int]]
"""Axis → indices of its values; it holds for a point that has one of them in every axis."""

# Of conditions: far more than a person writes, and each is a bit of the grid's states.
_MOST_CONDITIONS = 2_000
_EXAMPLE = "`when: [{if: {optimiser: {name: sgd}}, momentum: [0, 0.9]}]`"


@dataclass(frozen=True)
class Whens:
    """The section with placeholders for the new axes, and the points that are none."""

    section: Section
    excludes: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class _Setting:
    """One key of a block with its values; `word` is the key as the file writes it."""

    block: int
    word: str
    mark: Mark
    node: Node


@dataclass(frozen=True)
class _Block:
    """A block: its condition with nested keys written out, and what it sets."""

    condition: MappingNode
    settings: tuple[_Setting, ...]

    def text(self) -> str:
        """The condition as `sweep plan` shows it."""
        return ", ".join(_condition_text(entry) for entry in self.condition.entries)


def read_when(entry: Entry, section: Section, part: ConfigPart) -> Whens:
    """The axes of all blocks, added to those of `part`; every error goes to its report."""
    reader = _Reader(part, section)
    items = entry.value.items if isinstance(entry.value, ListNode) else (entry.value,)
    if isinstance(entry.value, ScalarNode) and entry.value.value is None:
        items = ()
    blocks = [block for number, item in enumerate(items) if (block := reader.block(item, number))]
    if len(blocks) < len(items):
        return Whens(section)
    inner, plain = reader.sorted_settings(blocks)
    drafts = {path: reader.add_axis(path, own, blocks) for path, own in plain.items()}
    for (axis, place), own in inner.items():
        reader.widen(axis, own, blocks[place])
    for path, number in drafts.items():
        if number is not None:
            reader.leave_out(number, plain[path], blocks)
    names = reader.names()
    for each in blocks:
        condition_of(each.condition, names, "when")  # for the errors in those not needed so far
    if len(reader.excludes) > _MOST_CONDITIONS:
        part.report.error(entry.mark, "when: the conditions overlap in too many ways: use fewer")
        return Whens(section)
    return Whens(reader.section, tuple(reader.excludes))


@dataclass
class _Reader:
    part: ConfigPart
    section: Section
    excludes: list[Condition] = field(default_factory=list)
    listing: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def names(self) -> Names:
        """What keys mean, with the axes as they are now."""
        part = self.part
        return Names(part.report, part.axes, self.section, frozenset(part.failed), part.renamed)

    def block(self, node: Node, number: int) -> _Block | None:
        """One block; None with the error reported."""
        report = self.part.report
        if not isinstance(node, MappingNode):
            report.error(node.mark, f"when: expected a block with a condition: {_EXAMPLE}")
            return None
        condition = node.get("if")
        others = tuple(entry for entry in node.entries if entry is not condition)
        if condition is None:
            report.error(node.mark, f"when: a block needs its condition under `if`: {_EXAMPLE}")
            return None
        if not isinstance(condition.value, MappingNode) or not condition.value.entries:
            text = "when: `if` takes a mapping of keys to values, as `exclude` does"
            report.error(condition.value.mark, text)
            return None
        if not others:
            text = f"when: nothing depends on this condition: write keys beside `if`: {_EXAMPLE}"
            report.error(node.mark, text)
            return None
        names = self.names()
        wanted = [self._by_tag(one, names) for one in _flat(condition.value, names)]
        settings = [
            _Setting(number, one.key, one.mark, one.value)
            for one in _flat(MappingNode(others, node.mark), names)
        ]
        return _Block(MappingNode(tuple(wanted), condition.value.mark), tuple(settings))

    def _by_tag(self, entry: Entry, names: Names) -> Entry:
        """A condition on which of several sections it is, as one on the field that says so."""
        words = entry.value.items if isinstance(entry.value, ListNode) else (entry.value,)
        if not all(isinstance(word, ScalarNode) for word in words):
            return entry
        tags = [
            joined(entry.key, str(section.tag))
            for path, section in names.tagged()
            if path == entry.key or path.endswith(f".{entry.key}")
        ]
        return Entry(tags[0], entry.mark, entry.value) if len(tags) == 1 else entry

    def sorted_settings(
        self, blocks: Sequence[_Block]
    ) -> tuple[dict[tuple[int, int], list[_Setting]], dict[str, list[_Setting]]]:
        """The settings inside axes of sections by axis and block, and all others by path."""
        names = self.names()
        inner: dict[tuple[int, int], list[_Setting]] = {}
        plain: dict[str, list[_Setting]] = {}
        required = [path for path, _, value in leaves(self.section) if value is MISSING]
        for setting in itertools.chain.from_iterable(block.settings for block in blocks):
            word = setting.word
            missing = [path for path in required if path == word or path.endswith(f".{word}")]
            if missing:
                text = f"when: `{missing[0]}` has no default: give it a value outside `when` too"
                self.part.report.error(setting.mark, text)
                continue
            if names.is_section(word) and not any(axis.key.endswith(word) for axis in names.axes):
                text = f"when: `{shown(word)}` is a section: give keys inside it"
                self.part.report.error(setting.mark, text)
                continue
            subject = names.find(word, setting.mark, "when", among_axes=False)
            if subject is None:
                continue
            found = _Setting(setting.block, subject.key, setting.mark, setting.node)
            if subject.axis is None or self.part.axes[subject.axis].key == subject.key:
                plain.setdefault(subject.key, []).append(found)
            else:
                inner.setdefault((subject.axis, setting.block), []).append(found)
        return inner, plain

    def add_axis(
        self, path: str, settings: Sequence[_Setting], blocks: Sequence[_Block]
    ) -> int | None:
        """Make an axis of all values that a key takes; its number, None for an error."""
        draft, others = self._outside(path)
        values, nodes = ([*draft.values], [*draft.nodes]) if draft is not None else ([], [])
        field_type = draft.field_type if draft is not None else self._type_of(path)
        cases = []
        for setting in settings:
            try:
                own, own_nodes = several(field_type, setting.node, path)
            except MisfitError as error:
                error.add_to(self.part.report)
                self.part.failed.add(path)
                return None
            self.listing[path, setting.block] = [_json(field_type, value) for value in own]
            shown_values = tuple(field_type.plain(value) for value in own)
            cases.append(AxisCase(blocks[setting.block].text(), shown_values))
            values += own
            nodes += own_nodes
        if draft is None:
            values += others
            nodes += [settings[-1].node] * len(others)
        self.listing[path, -1] = [_json(field_type, value) for value in others]
        cases.append(AxisCase("", tuple(field_type.plain(value) for value in others)))
        return self._placed(
            path,
            DraftAxis(
                path, field_type, *_once(field_type, values, nodes), settings[0].mark, tuple(cases)
            ),
        )

    def _placed(self, path: str, axis: DraftAxis) -> int:
        for number, known in enumerate(self.part.axes):
            if known.key == path:
                self.part.axes[number] = axis
                return number
        self.part.axes.append(axis)
        self.part.given.setdefault(path, axis.mark)
        number = len(self.part.axes) - 1
        self.section = replaced(self.section, path, AxisPlaceholder(number))
        return number

    def _outside(self, path: str) -> tuple[DraftAxis | None, list[Any]]:
        """The axis that a key is outside of `when`, if it is one, and its values there."""
        for axis in self.part.axes:
            if axis.key == path:
                return axis, list(axis.values)
        return None, [next(value for key, _, value in leaves(self.section) if key == path)]

    def _type_of(self, path: str) -> FieldType:
        return next(one for key, one, _ in leaves(self.section) if key == path)

    def widen(self, number: int, settings: Sequence[_Setting], block: _Block) -> None:
        """Replace the values of an axis of sections by variants, where the condition holds."""
        axis = self.part.axes[number]
        condition = condition_of(block.condition, self.names(), "when")
        if condition is None:
            return
        rest = {one: rows for one, rows in condition.items() if one != number}
        own = condition.get(number, frozenset(range(len(axis.values))))
        inside = {setting.word: setting.node for setting in settings}
        widened = Widened(axis)
        for index, value in enumerate(axis.values):
            try:
                variants = variants_of(axis, value, inside) if index in own else None
            except MisfitError as error:
                error.add_to(self.part.report)
                return
            except Exception as error:  # whatever the user's __post_init__ raises
                self.part.report.error(settings[0].mark, f"when: {sentence(error)}")
                return
            widened.add(index, value, variants, always=not rest)
        if not widened.touched:
            text = f"when: no value of `{axis.key}` has this key where the condition holds"
            self.part.report.error(settings[0].mark, text)
            return
        if widened.repeated():
            text = f"when: gives a value that `{axis.key}` lists too: keep one of them"
            self.part.report.error(settings[0].mark, text)
            return
        self.part.axes[number] = DraftAxis(
            axis.key, axis.field_type, widened.values, widened.nodes, axis.mark, conditional=True
        )
        self.excludes = [widened.renumbered(one, number) for one in self.excludes]
        for rows, holds in ((widened.made, False), (widened.instead, True)):
            for other in [rest] if holds else _negations(rest, self.part.axes):
                if rows and rest:
                    self.excludes.append({**other, number: frozenset(rows)})

    def leave_out(
        self, number: int, settings: Sequence[_Setting], blocks: Sequence[_Block]
    ) -> None:
        """Leave out each value of an axis at the points where no block, or no default, gives it."""
        axis = self.part.axes[number]
        names = self.names()
        conditions: dict[int, Condition | None] = {}
        for setting in settings:
            found = condition_of(blocks[setting.block].condition, names, "when")
            if found is not None and number in found:
                text = f"when: `{axis.key}` depends on itself"
                self.part.report.error(setting.mark, text)
                return
            conditions[setting.block] = found
        classes: dict[tuple[frozenset[int], bool], set[int]] = {}
        for index, value in enumerate(axis.values):
            word = _json(axis.field_type, value)
            givers = frozenset(one for one in conditions if word in self.listing[axis.key, one])
            usual = word in self.listing[axis.key, -1]
            classes.setdefault((givers, usual), set()).add(index)
        for (givers, usual), rows in classes.items():
            none: list[Condition] = [{number: frozenset(rows)}]
            for one in givers:
                none = _both(none, _negations(conditions[one], self.part.axes))
            if not usual:
                self.excludes += none
                continue
            for one, condition in conditions.items():
                if one not in givers and condition is not None:
                    self.excludes += _both(none, [condition])


def _negations(condition: Condition | None, axes: Sequence[DraftAxis]) -> list[Condition]:
    """Conditions one of which holds where `condition` doesn't; None is one that never holds."""
    if condition is None:
        return [{}]
    return [
        {axis: frozenset(range(len(axes[axis].values))) - rows} for axis, rows in condition.items()
    ]


def _both(some: Sequence[Condition], others: Sequence[Condition]) -> list[Condition]:
    """Conditions one of which holds where one of `some` and one of `others` do."""
    found: list[Condition] = []
    for one, other in itertools.islice(itertools.product(some, others), _MOST_CONDITIONS + 1):
        both = {**one}
        for axis, rows in other.items():
            both[axis] = both.get(axis, rows) & rows
        if all(both.values()):
            found.append(both)
    return found


def _json(field_type: FieldType, value: Any) -> str:
    return canonical_json(field_type.plain(value))


def _once(
    field_type: FieldType, values: Sequence[Any], nodes: Sequence[Node]
) -> tuple[list[Any], list[Node]]:
    """The values without those that repeat an earlier one."""
    first: dict[str, tuple[Any, Node]] = {}
    for value, node in zip(values, nodes, strict=True):
        first.setdefault(_json(field_type, value), (value, node))
    return [value for value, _ in first.values()], [node for _, node in first.values()]


def _flat(node: MappingNode, names: Names, key: str = "") -> Iterator[Entry]:
    """The entries with the keys of nested sections written out: `optimiser.name`."""
    for entry in node.entries:
        path = joined(key, entry.key)
        inner = entry.value
        if isinstance(inner, MappingNode) and range_of(inner) is None and names.is_section(path):
            yield from _flat(inner, names, path)
        else:
            yield Entry(path, entry.mark, inner)


def _condition_text(entry: Entry) -> str:
    if isinstance(entry.value, ListNode):
        return f"{entry.key} in {{{', '.join(map(_text, entry.value.items))}}}"
    return f"{entry.key} = {_text(entry.value)}"


def _text(node: Node) -> str:
    if isinstance(node, ScalarNode):
        return shown(node.text) or "null"
    return "…"
