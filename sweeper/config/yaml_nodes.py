"""YAML text → a tree of nodes that know their place.

PyYAML's nodes keep places and repeated keys. Merge keys (`<<`) and scalars (`resolve`) are read
here, because PyYAML reads them by YAML 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from sweeper.config.problems import Report
from sweeper.config.yaml_text import RefusedError, compose, mark_of
from sweeper.errors import Mark
from sweeper.suggest import shown

__all__ = [
    "Entry",
    "ListNode",
    "MappingNode",
    "Node",
    "ScalarNode",
    "data_of",
    "flow",
    "node_of",
    "parse",
    "parse_value",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value; `plain` means that it was written without quotes."""

    value: bool | int | float | str | None
    text: str
    plain: bool
    mark: Mark


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list; `is_axis` means that it can only be an axis, not a value of a field for lists."""

    items: tuple[Node, ...]
    mark: Mark
    is_axis: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value."""

    key: str
    mark: Mark
    value: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping, merge keys (`<<`) written out."""

    entries: tuple[Entry, ...]
    mark: Mark

    def get(self, key: str) -> Entry | None:
        """The entry of that key, if there is one."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node = ScalarNode | ListNode | MappingNode


def node_of(data: Any, mark: Mark = Mark()) -> Node:  # noqa: B008  (Mark is frozen)
    """Plain data (of JSON's types) as a tree without places."""
    if isinstance(data, dict):
        entries = tuple(Entry(str(key), mark, node_of(value, mark)) for key, value in data.items())
        return MappingNode(entries, mark)
    if isinstance(data, list | tuple):
        return ListNode(tuple(node_of(item, mark) for item in data), mark)
    return ScalarNode(data, str(data), False, mark)


def data_of(node: Node) -> Any:
    """The tree as plain data: `dict`, `list` and scalars."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [data_of(item) for item in node.items]
    return {entry.key: data_of(entry.value) for entry in node.entries}


def flow(node: Node) -> str:
    """The tree on one line, as a message shows it."""
    if isinstance(node, ScalarNode):
        return node.text if node.plain else f'"{node.text}"'
    if isinstance(node, ListNode):
        return f"[{', '.join(map(flow, node.items))}]"
    return f"{{{', '.join(f'{entry.key}: {flow(entry.value)}' for entry in node.entries)}}}"


def parse(text: str, report: Report) -> MappingNode | None:
    """The top-level mapping of a YAML text, or None where there is none.

    Every error goes to `report`; a syntax error ends the reading.
    """
    try:
        composed = compose(text, report)
    except RefusedError as refused:
        report.error(refused.mark, str(refused))
        return None
    root = _Builder(report).node(composed) if composed is not None else None
    if isinstance(root, MappingNode):
        return root
    if root is None or (isinstance(root, ScalarNode) and root.value is None):
        report.error(Mark(), "is empty: it needs at least one key")
    else:
        report.error(root.mark, "must be a mapping of keys to values at its top, `key: value`")
    return None


def parse_value(text: str, before: int, report: Report) -> Node | None:
    """A value in a command line's argument, where `before` characters precede it.

    It is read as an item of a list in brackets; several, with commas between them, are a list that
    can only be an axis. No text is no value, as in a file. Marks count the columns of the argument;
    every error goes to `report`.
    """
    try:
        composed = compose(f"{' ' * (before - 1)}[{text}]", report)
    except RefusedError as refused:
        report.error(refused.mark, str(refused))
        return None
    node = _Builder(report).node(composed) if composed is not None else None
    mark = Mark(1, before + 1)
    if not isinstance(node, ListNode):
        report.error(mark, "expected a value")
        return None
    if not node.items:
        return ScalarNode(None, "", True, mark)
    return node.items[0] if len(node.items) == 1 else ListNode(node.items, mark, is_axis=True)


@dataclass(frozen=True)
class _Builder:
    """Builds our nodes from PyYAML's."""

    report: Report

    def node(self, node: yaml.Node) -> Node:
        """The node with everything below it; errors go to the report."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return ListNode(tuple(self.node(item) for item in node.value), mark_of(node.start_mark))
        return self._mapping(node)

    def _scalar(self, node: yaml.ScalarNode) -> ScalarNode:
        text, mark = node.value, mark_of(node.start_mark)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.report.error(mark, "half of a surrogate pair: no file can store it, remove it")
            text = text.encode("utf-8", "replace").decode()
        plain = node.tag is None and node.style is None
        return ScalarNode(resolve(text) if plain else text, text, plain, mark)

    def _mapping(self, node: yaml.Node) -> MappingNode:
        own: list[Entry] = []
        merged: list[Entry] = []
        for key_node, value_node in node.value:
            key, value = self.node(key_node), self.node(value_node)
            if isinstance(key, ScalarNode) and key.plain and key.text == "<<":
                merged += self._merged(value)
            elif isinstance(key, ScalarNode) and isinstance(key.value, str):
                own.append(Entry(key.value, key.mark, value))
            elif isinstance(key, ScalarNode):
                said = shown(key.text) or "(nothing)"
                self.report.error(key.mark, f'key `{said}` is not text: quote it, "{said}"')
            else:
                self.report.error(key.mark, "a key must be text, not a list or a mapping")
        entries = self._once(own)
        known = {entry.key for entry in entries}
        for entry in merged:
            if entry.key not in known:
                known.add(entry.key)
                entries.append(entry)
        return MappingNode(tuple(entries), mark_of(node.start_mark))

    def _merged(self, value: Node) -> list[Entry]:
        """The entries that `<<` brings in, those of the earliest mapping first."""
        sources = value.items if isinstance(value, ListNode) else (value,)
        found: list[Entry] = []
        for source in sources:
            if isinstance(source, MappingNode):
                found += source.entries
            else:
                self.report.error(source.mark, "`<<` takes a mapping, or a list of mappings")
        return found

    def _once(self, entries: list[Entry]) -> list[Entry]:
        """The entries without repetitions of the same value, which are reported.

        Entries of one key with different values all stay, so that the errors in each are found.
        """
        first: dict[str, Entry] = {}
        kept: list[Entry] = []
        for entry in entries:
            before = first.setdefault(entry.key, entry)
            if before is entry:
                kept.append(entry)
                continue
            places = f"on line {before.mark.line} and on line {entry.mark.line}"
            read = _typed if entry.key in _LISTS_ASIDE else _content
            same = read(before.value) == read(entry.value)
            add: Callable[[Mark, str], None] = self.report.warn if same else self.report.error
            ending = "" if same else ", with different values: keep one"
            add(entry.mark, f"`{shown(entry.key)}` is given twice, {places}{ending}")
            if not same:
                kept.append(entry)
        return kept


def _typed(node: Node) -> Any:
    """The tree in a form in which equal means same type and same value."""
    if isinstance(node, ScalarNode):
        return (type(node.value).__name__, repr(node.value))
    if isinstance(node, ListNode):
        return [_typed(item) for item in node.items]
    return {entry.key: _typed(entry.value) for entry in node.entries}


# `5` is five seeds, `[5]` is one.
_LISTS_ASIDE = {"seeds"}


def _content(node: Node) -> Any:
    """As `_typed`, but a list of one scalar equals the scalar: both are an axis of one value."""
    if isinstance(node, ListNode):
        if len(node.items) == 1 and isinstance(node.items[0], ScalarNode):
            return _typed(node.items[0])
        return [_content(item) for item in node.items]
    if isinstance(node, MappingNode):
        return {entry.key: _content(entry.value) for entry in node.entries}
    return _typed(node)


# Unquoted scalars are read as people mean them: by the YAML 1.2 core schema, and `1_000` too.
# Unlike in YAML 1.1, which PyYAML reads, `1e-3` is a number; `on`, `off`, `yes` and `no` are words,
# and so are dates, `010` and `12:30` (neither octal nor sexagesimal).
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
# No leading zero: `010` is 8 to YAML 1.1, 10 to YAML 1.2, so it isn't a number here.
_INTEGER = re.compile(rf"[-+]?(?!0[0-9_]){_DIGITS}\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(
    rf"[-+]?(?:(?!0[0-9_]){_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?[0-9]+)?\Z"
)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


def resolve(text: str) -> bool | int | float | str | None:
    """The value of an unquoted scalar.

    `.inf` and `.nan` are read, for whoever checks values to refuse them. Whole numbers of
    thousands of digits stay text, as Python doesn't convert them.
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    try:
        if _INTEGER.match(text):
            return int(text)
        if _BASED.match(text):
            return int(text, 0)
    except ValueError:
        return text
    if _FLOAT.match(text):
        return float(text)
    if _NOT_FINITE.match(text):
        return float(text.replace(".", "", 1))
    return text
