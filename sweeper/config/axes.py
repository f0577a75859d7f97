"""The config part of a file: which keys have one value, and which have several (axes)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sweeper.config.container_types import MappingType, fit_all, mapping_type
from sweeper.config.field_types import Coercion, FieldType, Misfit, MisfitError
from sweeper.config.problems import Report
from sweeper.config.ranges import range_hint, range_of, spread, unfit_range, written_out
from sweeper.config.schema import as_section, section_type
from sweeper.config.section_types import MISSING, Schema, Section, SectionType
from sweeper.config.spelling import (
    NOT_NULL,
    odd_characters,
    plain_spelling,
    quoted_by_hand,
)
from sweeper.config.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode
from sweeper.errors import Mark
from sweeper.keys import joined
from sweeper.suggest import listed, meant, nearest, shown

__all__ = [
    "AxisCase",
    "AxisPlaceholder",
    "ConfigPart",
    "DraftAxis",
    "leaves",
    "paths",
    "replaced",
    "several",
]

# Every error is reported, but 500 words in a field for numbers are one mistake, not 500.
MOST_MISFITS = 10


@dataclass(frozen=True)
class AxisPlaceholder:
    """Holds the place in a section where an axis puts its values."""

    axis: int


@dataclass(frozen=True)
class AxisCase:
    """The plain values that an axis takes where a condition holds, otherwise if `when` is empty."""

    when: str
    plain_values: tuple[Any, ...]


@dataclass
class DraftAxis:
    """An axis as it was read, before zipping and before repeated values are left out.

    `conditional` means that some of the values occur only where a condition of `when` holds;
    `cases` says which, unless they are sections.
    """

    key: str
    field_type: FieldType
    values: list[Any]
    nodes: list[Node]
    mark: Mark
    cases: tuple[AxisCase, ...] = ()
    conditional: bool = False


def several(
    field_type: FieldType, node: Node, key: str, base: Any = None
) -> tuple[list[Any], list[Node]]:
    """The values that a key is given, with their nodes: one, or those of an axis.

    What fits as a value is one value, coerced if need be (a scalar to a list of one). Otherwise a
    range is an axis, and so is a list whose items all fit, or are ranges. Raises `MisfitError`.
    """
    try:
        return _several(field_type, node, key, base)
    except MisfitError as error:
        raise MisfitError(
            replace(misfit, text=written_out(node, misfit.mark, key))
            if misfit.key != key and misfit.got.startswith("a list") and not misfit.text
            else misfit
            for misfit in error.misfits
        ) from None


def _several(
    field_type: FieldType, node: Node, key: str, base: Any = None
) -> tuple[list[Any], list[Node]]:
    if isinstance(node, ListNode) and node.is_axis:
        return _items(field_type, node, key, base)
    try:
        return [field_type.fit(node, Coercion.LAX, key, base)], [node]
    except MisfitError as error:
        as_value = error
    if isinstance(node, MappingNode):
        entry = range_of(node)
        if entry is None:
            raise _hinted(as_value, node)
        return _spread(field_type, entry, key, base)
    if not isinstance(node, ListNode) or (not node.items and field_type.holds_lists()):
        raise as_value
    if not node.items:
        empty = "an empty list: give at least one value, or leave the key out"
        raise MisfitError([Misfit(node.mark, key, empty)])
    try:
        return _items(field_type, node, key, base)
    except MisfitError as error:
        as_axis = error
    # Where a list could have been meant as one value too, the reading with fewer errors says more.
    if field_type.holds_lists() and len(as_value.misfits) <= len(as_axis.misfits):
        raise as_value
    raise as_axis


def _items(
    field_type: FieldType, node: ListNode, key: str, base: Any
) -> tuple[list[Any], list[Node]]:
    """The values of an axis that is written as a list, ranges among its items written out."""
    values: list[Any] = []
    nodes: list[Node] = []
    misfits: list[Misfit] = []
    for item in node.items:
        entry = range_of(item)
        try:
            found, own = [field_type.fit(item, Coercion.LAX, key, base)], [item]
        except MisfitError as error:
            if entry is None:
                misfits += (
                    _hinted(error, item) if isinstance(item, MappingNode) else error
                ).misfits
                continue
            try:
                found, own = _spread(field_type, entry, key, base)
            except MisfitError as unfit:
                misfits += unfit.misfits
                continue
        values += found
        nodes += own
    if misfits:
        raise MisfitError(misfits)
    return values, nodes


def _spread(
    field_type: FieldType, entry: Entry, key: str, base: Any
) -> tuple[list[Any], list[Node]]:
    """The values of a range, with their nodes."""
    nodes = spread(entry, key)
    try:
        return fit_all([(field_type, key, item) for item in nodes], Coercion.LAX, base), nodes
    except MisfitError as error:
        raise unfit_range(error, entry, nodes) from None


def _hinted(error: MisfitError, node: MappingNode) -> MisfitError:
    """The error of a mapping where none belongs, with the range that was probably meant."""
    return MisfitError(
        replace(misfit, text=range_hint(node))
        if misfit.mark == node.mark and misfit.got == "a mapping" and not misfit.text
        else misfit
        for misfit in error.misfits
    )


def leaves(section: Section, key: str = "") -> Iterator[tuple[str, FieldType, Any]]:
    """Dotted path, type and value of every field, sections entered."""
    for name, value in section.values.items():
        path = joined(key, name)
        if isinstance(value, Section):
            yield from leaves(value, path)
        else:
            yield path, section.schema.fields[name], value


def replaced(section: Section, path: str, value: Any) -> Section:
    """The section with one field replaced, by its dotted path."""
    name, _, rest = path.partition(".")
    inner = section.values[name]
    new = replaced(inner, rest, value) if rest else value
    return Section(section.schema, {**section.values, name: new})


@dataclass
class ConfigPart:
    """Reads the config part of one file onto defaults.

    `known` are the other keys that the top of the file may have, for hints, and `renamed` has the
    new keys of old ones; `axes` gathers the axes found; `given` has the place of every key of the
    file by dotted path. `single` is what messages call a part in which every key has one value.
    `implied` is the default trainer where the file names none and has none of that trainer's keys:
    then `trainer` was probably forgotten.
    """

    report: Report
    defaults: Section
    known: Sequence[str] = ()
    single: str = ""
    axes: list[DraftAxis] = field(default_factory=list)
    given: dict[str, Mark] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    renamed: Mapping[str, str] = field(default_factory=dict)
    implied: str = ""

    def read(self, entries: MappingNode) -> Section:
        """The section of the file: defaults, what it overrides, and placeholders for its axes."""
        return self._section(entries, self.defaults, "")

    def require(self, section: Section) -> None:
        """Report the required fields that neither the file nor the defaults give."""
        for path in section.missing():
            if not any(path == bad or path.startswith(bad + ".") for bad in self.failed):
                self.report.error(self._near(path), f"{path}: is required, and has no value")

    def _near(self, path: str) -> Mark:
        """The place of the nearest section around a path that the file has."""
        while path and path not in self.given:
            path = path.rpartition(".")[0]
        return self.given.get(path, Mark())

    def _section(self, node: MappingNode, start: Section, key: str) -> Section:
        values = dict(start.values)
        for entry in node.entries:
            name, path = entry.key, joined(key, entry.key)
            known = start.schema.fields.get(name)
            if known is None:
                self._unknown(name, entry.mark, start, key)
                continue
            self.given[path] = entry.mark
            try:
                values[name] = self._value(entry.value, known, values[name], path)
            except MisfitError as error:
                self.failed.add(path)
                self._report(error, path)
        return Section(start.schema, values)

    def _value(self, node: Node, field_type: FieldType, base: Any, path: str) -> Any:
        """What a field gets: a section, a value, or the placeholder of an axis."""
        section = section_type(field_type)
        if section is not None:
            node = _of_kinds(section, node)
            if isinstance(node, MappingNode) and not _is_range_of(section, node):
                return self._section(node, section.choose(node, path, base), path)
            if isinstance(node, ScalarNode) and node.value is None and not field_type.holds(None):
                return base  # a key with nothing under it
        mapping = mapping_type(field_type)
        try:
            values, nodes = several(field_type, node, path, base)
        except MisfitError:
            if mapping is None or not isinstance(node, MappingNode):
                raise
            return self._entries(node, mapping, path)
        self._doubt(field_type, values, nodes, path)
        if len(values) == 1:
            return as_section(field_type, values[0])
        if self.single:
            many = f"{self.single} has one value, not {len(values)}"
            raise MisfitError([Misfit(node.mark, path, many)])
        self.axes.append(DraftAxis(path, field_type, values, nodes, node.mark))
        return AxisPlaceholder(len(self.axes) - 1)

    def _entries(self, node: MappingNode, mapping: MappingType, path: str) -> Section:
        """A mapping with axes among its entries, as a section whose keys are the user's words."""
        values: dict[str, Any] = {}
        misfits: list[Misfit] = []
        for entry in node.entries:
            where = joined(path, entry.key)
            self.given[where] = entry.mark
            try:
                values[entry.key] = self._value(entry.value, mapping.value, MISSING, where)
            except MisfitError as error:
                self.failed.add(where)
                misfits += error.misfits
        if misfits:
            raise MisfitError(misfits)
        types = dict.fromkeys(values, mapping.value)
        return Section(Schema(partial(_in_order, tuple(values)), types, lambda: values), values)

    def _doubt(
        self, field_type: FieldType, values: Sequence[Any], nodes: Sequence[Node], path: str
    ) -> None:
        """Warn of text that fits and probably means something else."""
        for value, node in zip(values, nodes, strict=True):
            if not isinstance(value, str) or not isinstance(node, ScalarNode) or not node.plain:
                continue
            if value == "None" and field_type.takes(ScalarNode(None, "null", True, node.mark)):
                self.report.warn(node.mark, f"{path}: {NOT_NULL}, if no value is meant")
            elif quoted_by_hand(value):
                text = f"has {odd_characters(value)}, which are part of the text"
                better = f'write "{plain_spelling(value)}"'
                self.report.warn(node.mark, f"{path}: `{shown(value)}` {text}: {better}")

    def _report(self, error: MisfitError, path: str) -> None:
        shown_first = error.misfits[:MOST_MISFITS]
        MisfitError(
            replace(misfit, text=f"unknown key; renamed to `{self.renamed[misfit.key]}`")
            if misfit.key in self.renamed
            else misfit
            for misfit in shown_first
        ).add_to(self.report)
        rest = error.misfits[MOST_MISFITS:]
        if rest:
            self.report.error(rest[0].mark, f"{path}: and {len(rest)} more like this")

    def _unknown(self, name: str, mark: Mark, section: Section, key: str) -> None:
        """Report an unknown key: it is misspelt, or in the wrong section."""
        message = f"{joined(key, shown(name))}: unknown key"
        if joined(key, name) in self.renamed:
            self.report.error(mark, f"{message}; renamed to `{self.renamed[joined(key, name)]}`")
            return
        known = [path for path in paths(self.defaults) if path != joined(key, name)]
        elsewhere = [path for path in known if path.endswith("." + name)]
        here = [*section.schema.fields, *(self.known if not key else ())]
        if odd_characters(name):
            hint = f"; it has {odd_characters(name)}: write `{plain_spelling(name)}`"
        elif elsewhere:
            hint = f"; did you mean `{elsewhere[0]}`?"
        elif nearest(name, here):
            hint = meant(name, here)
        else:
            by_name = {path.rpartition(".")[2]: path for path in reversed(known)}
            near = nearest(name, by_name)
            hint = f"; did you mean `{by_name[near]}`?" if near else f"; known are {listed(here)}"
        forgotten = f" (the file has no `trainer`, so it is for `{self.implied}`)"
        self.report.error(mark, message + hint + (forgotten if self.implied and not key else ""))


def _in_order(words: Sequence[str], **values: Any) -> dict[str, Any]:
    """The values in the order of the file, whichever of them an axis gives."""
    return {word: values[word] for word in words}


def _of_kinds(section: SectionType, node: Node) -> Node:
    """A mapping that lists kinds of section alone, `{name: [adam, sgd]}`, as a list of sections."""
    if not isinstance(node, MappingNode) or len(node.entries) != 1:
        return node
    (entry,) = node.entries
    if entry.key != section.tag or not isinstance(entry.value, ListNode):
        return node
    kinds = [MappingNode((replace(entry, value=item),), item.mark) for item in entry.value.items]
    return ListNode(tuple(kinds), node.mark, is_axis=True) if len(kinds) > 1 else node


def _is_range_of(section: SectionType, node: MappingNode) -> bool:
    """Whether a mapping lists sections, `{values: [adam, sgd]}`, and is none itself."""
    entry = range_of(node)
    return entry is not None and not any(
        entry.key in section.schema_of(cls).fields for cls in section.classes
    )


def paths(section: Section, key: str = "") -> Iterator[str]:
    """The dotted paths of all fields, sections among them."""
    for name, value in section.values.items():
        path = joined(key, name)
        yield path
        if isinstance(value, Section):
            yield from paths(value, path)
