"""The config part of a file: which keys have one value, and which have several (axes)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sweeper.config.container_types import fit_all
from sweeper.config.field_types import Coercion, FieldType, Misfit, MisfitError
from sweeper.config.problems import Report
from sweeper.config.schema import as_section, section_type
from sweeper.config.section_types import Section
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode
from sweeper.errors import Mark
from sweeper.keys import joined
from sweeper.suggest import listed, meant, nearest, shown

__all__ = ["AxisPlaceholder", "ConfigPart", "DraftAxis", "leaves", "replaced", "several"]

# Every error is reported, but 500 words in a field for numbers are one mistake, not 500.
MOST_MISFITS = 10


@dataclass(frozen=True)
class AxisPlaceholder:
    """Holds the place in a section where an axis puts its values."""

    axis: int


@dataclass
class DraftAxis:
    """An axis as it was read, before zipping and before repeated values are left out."""

    key: str
    field_type: FieldType
    values: list[Any]
    nodes: list[Node]
    mark: Mark


def several(
    field_type: FieldType, node: Node, key: str, base: Any = None
) -> tuple[list[Any], list[Node]]:
    """The values that a key is given, with their nodes: one, or those of an axis.

    What fits as a value is one value, coerced if need be (a scalar to a list of one). Otherwise a
    list whose items all fit is an axis. Raises `MisfitError`.
    """
    try:
        return [field_type.fit(node, Coercion.LAX, key, base)], [node]
    except MisfitError as error:
        as_value = error
    if not isinstance(node, ListNode) or (not node.items and field_type.holds_lists()):
        raise as_value
    if not node.items:
        empty = "an empty list: give at least one value, or leave the key out"
        raise MisfitError([Misfit(node.mark, key, empty)])
    try:
        parts = [(field_type, key, item) for item in node.items]
        return fit_all(parts, Coercion.LAX, base), list(node.items)
    except MisfitError as error:
        as_axis = error
    # Where a list could have been meant as one value too, the reading with fewer errors says more.
    if field_type.holds_lists() and len(as_value.misfits) <= len(as_axis.misfits):
        raise as_value
    raise as_axis


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
    file by dotted path.
    """

    report: Report
    defaults: Section
    known: Sequence[str] = ()
    with_axes: bool = True
    axes: list[DraftAxis] = field(default_factory=list)
    given: dict[str, Mark] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    renamed: Mapping[str, str] = field(default_factory=dict)

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
            if isinstance(node, MappingNode):
                return self._section(node, section.choose(node, path, base), path)
            if isinstance(node, ScalarNode) and node.value is None and not field_type.holds(None):
                return base  # a key with nothing under it
        values, nodes = several(field_type, node, path, base)
        if len(values) == 1:
            return as_section(field_type, values[0])
        if not self.with_axes:
            many = f"a default has one value, not {len(values)}"
            raise MisfitError([Misfit(node.mark, path, many)])
        self.axes.append(DraftAxis(path, field_type, values, nodes, node.mark))
        return AxisPlaceholder(len(self.axes) - 1)

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
        paths = [*_paths(self.defaults)]
        elsewhere = [path for path in paths if path.endswith("." + name)]
        here = [*section.schema.fields, *(self.known if not key else ())]
        if elsewhere:
            hint = f"; did you mean `{elsewhere[0]}`?"
        elif nearest(name, here):
            hint = meant(name, here)
        else:
            by_name = {path.rpartition(".")[2]: path for path in reversed(paths)}
            near = nearest(name, by_name)
            hint = f"; did you mean `{by_name[near]}`?" if near else f"; known are {listed(here)}"
        self.report.error(mark, message + hint)


def _paths(section: Section, key: str = "") -> Iterator[str]:
    """The dotted paths of all fields, sections among them."""
    for name, value in section.values.items():
        path = joined(key, name)
        yield path
        if isinstance(value, Section):
            yield from _paths(value, path)
