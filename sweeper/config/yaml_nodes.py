"""YAML text → a tree of nodes that know their place.

PyYAML parses; the tree is built here from its events, because places, duplicate keys, limits and
YAML 1.2 scalars (`resolve`) are all lost or wrong in what PyYAML builds itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from sweeper.config.problems import Report
from sweeper.errors import Mark
from sweeper.suggest import meant, shown

__all__ = [
    "Entry",
    "ListNode",
    "MappingNode",
    "Node",
    "ScalarNode",
    "data_of",
    "node_of",
    "parse",
    "read_text",
    "resolve",
]

# A sweep file is written by hand: what exceeds these is a mistake or an attack (a page of nested
# aliases can stand for 10⁹ values), and would take minutes to read.
MAX_BYTES = 1 << 20
MAX_NODES = 100_000
MAX_DEPTH = 40

# What YAML, and so every mark of PyYAML, counts as the end of a line.
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value; `plain` tells that it was written without quotes."""

    value: bool | int | float | str | None
    text: str
    plain: bool
    mark: Mark
    size: int = 1


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list; `size` counts the nodes in it, aliases written out."""

    items: tuple[Node, ...]
    mark: Mark
    size: int


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
    size: int

    def get(self, key: str) -> Entry | None:
        """The entry of that key, if there is one."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node = ScalarNode | ListNode | MappingNode


def node_of(data: Any, mark: Mark = Mark()) -> Node:  # noqa: B008  (Mark is frozen)
    """Plain data (of JSON's types) as a tree without places."""
    if isinstance(data, dict):
        entries = tuple(Entry(str(key), mark, node_of(value, mark)) for key, value in data.items())
        return MappingNode(entries, mark, 1)
    if isinstance(data, list | tuple):
        return ListNode(tuple(node_of(item, mark) for item in data), mark, 1)
    return ScalarNode(data, str(data), False, mark)


def data_of(node: Node) -> Any:
    """The tree as plain data: `dict`, `list` and scalars."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [data_of(item) for item in node.items]
    return {entry.key: data_of(entry.value) for entry in node.entries}


def read_text(path: Path, *, opener: Any = None) -> tuple[str | None, Report]:
    """The text of a file, or None with the problem in the report."""
    report = Report(str(path))
    try:
        with open(path, "rb", opener=opener) as file:
            raw = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        report.error(Mark(), "is a folder: name a file in it")
        return None, report
    except FileNotFoundError:
        report.error(Mark(), "no such file" + meant(path.name, _neighbours(path)))
        return None, report
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        report.error(Mark(), f"can't be read: {reason}")
        return None, report
    if len(raw) > MAX_BYTES:
        report.error(Mark(), f"is larger than {MAX_BYTES >> 20} MiB: no sweep file is")
        return None, report
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        report.error(Mark(), "is UTF-16 text: save it as UTF-8")
        return None, report
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig")
        report.lines = _LINE_END.split(raw.decode("utf-8-sig", errors="replace"))
        report.error(
            _mark_at(before, len(before)), f"byte {raw[error.start]:#04x} is not UTF-8 text"
        )
        return None, report
    report.lines = _LINE_END.split(text)
    return text, report


def _neighbours(path: Path) -> list[str]:
    """YAML files beside a missing file, for the hint."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, 1000)]
    except OSError:
        return []
    return [name for name in names if name.endswith((".yaml", ".yml"))]


def parse(text: str, report: Report) -> MappingNode | None:
    """The top-level mapping of a YAML text, or None where there is none.

    Every problem goes to `report`; after a fault of syntax nothing more can be told.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = _Composer(_events(loader), report).document()
    except _RefusedError as refused:
        report.error(refused.mark, str(refused))
        return None
    except yaml.reader.ReaderError as error:
        mark = _mark_at(text, int(error.position))
        code = f"U+{int(error.character):04X}"
        report.error(mark, f"the character {code} is not allowed in YAML: remove it")
        return None
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        report.error(Mark(at.line + 1, at.column + 1) if at else Mark(), _syntax(error))
        return None
    except Exception as error:
        # PyYAML lets errors of Python through on some malformed text, e.g. "\UFFFFFFFF".
        at = loader.get_mark() if loader else None
        mark = Mark(at.line + 1, at.column + 1) if at else Mark()
        report.error(mark, f"not valid YAML ({type(error).__name__}: {shown(str(error))})")
        return None
    if root is None or (isinstance(root, ScalarNode) and root.value is None):
        report.error(Mark(), "is empty: it needs at least one key")
        return None
    if not isinstance(root, MappingNode):
        report.error(root.mark, "must be a mapping of keys to values at its top, `key: value`")
        return None
    return root


# What PyYAML says, and what it mostly means.
_HINTS = (
    ("character '\\t'", "a tab can't indent YAML: use blanks"),
    ("mapping values are not allowed", "quote a value that holds `: `, or mend the indentation"),
    ("that cannot start any token", "quote a value that begins with this character"),
    ("expected <block end>", "mend the indentation"),
    ("could not find expected ':'", "a key needs `: ` behind it"),
    ("expected ',' or ']'", "close the list with `]`"),
    ("expected ',' or '}'", "close the mapping with `}`"),
    ("found unexpected end of stream", "a quotation mark is not closed"),
)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    hint = next((mend for sign, mend in _HINTS if sign in said), None)
    begun, at = error.context_mark, error.problem_mark
    if begun and at and begun.line != at.line:
        said += f" (begun on line {begun.line + 1})"
    return f"not valid YAML: {shown(said, 150)}" + (f"; {hint}" if hint else "")


def _mark_at(text: str, position: int) -> Mark:
    lines = _LINE_END.split(text[:position])
    return Mark(len(lines), len(lines[-1]) + 1)


def _events(loader: yaml.SafeLoader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()  # type: ignore[no-untyped-call]


class _RefusedError(Exception):
    """Text that is YAML, and that is not read here; nothing after it can be told."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


class _Composer:
    """Builds the nodes of one document from its events."""

    def __init__(self, events: Iterator[yaml.Event], report: Report) -> None:
        self._events = events
        self._report = report
        self._anchors: dict[str, Node | None] = {}
        self._made = 0

    def document(self) -> Node | None:
        """The one document of the stream; None if there is none."""
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _RefusedError(
                        _mark(event), "a second document (`---`): one file holds one sweep"
                    )
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        mark = _mark(event)
        if depth > MAX_DEPTH:
            raise _RefusedError(mark, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, mark)
        anchor = event.anchor
        if anchor:
            self._anchors[anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, mark)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._refuse_tag(event, mark, "tag:yaml.org,2002:seq")
            items = tuple(self._until(yaml.SequenceEndEvent, depth))
            node = ListNode(items, mark, 1 + sum(item.size for item in items))
        else:
            self._refuse_tag(event, mark, "tag:yaml.org,2002:map")
            node = self._mapping(mark, depth)
        self._made += 1
        if max(node.size, self._made) > MAX_NODES:
            raise _RefusedError(mark, f"more than {MAX_NODES} values, with aliases written out")
        if anchor:
            self._anchors[anchor] = node
        return node

    def _until(self, end: type[yaml.Event], depth: int) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield self._node(event, depth + 1)

    def _alias(self, event: yaml.AliasEvent, mark: Mark) -> Node:
        name = str(event.anchor)
        if name not in self._anchors:
            hint = meant(name, self._anchors)
            raise _RefusedError(mark, f"`*{shown(name)}`: no anchor of that name before{hint}")
        node = self._anchors[name]
        if node is None:
            raise _RefusedError(mark, f"`*{shown(name)}` lies within what it stands for")
        return node

    def _refuse_tag(self, event: Any, mark: Mark, *known: str) -> None:
        if event.tag is not None and event.tag != "!" and event.tag not in known:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._report.error(mark, f"the tag `{shown(tag)}` means nothing here: remove it")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> ScalarNode:
        self._refuse_tag(event, mark, "tag:yaml.org,2002:str")
        text = event.value
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._report.error(mark, "half a surrogate pair: no file can hold that text")
            text = text.encode("utf-8", "replace").decode()
        plain = event.tag is None and event.implicit[0]
        return ScalarNode(resolve(text) if plain else text, text, plain, mark)

    def _mapping(self, mark: Mark, depth: int) -> MappingNode:
        own: list[Entry] = []
        merged: list[Entry] = []
        children = self._until(yaml.MappingEndEvent, depth)
        for key in children:
            value = next(children)
            if isinstance(key, ScalarNode) and key.plain and key.text == "<<":
                merged += self._merged(value)
            elif isinstance(key, ScalarNode) and isinstance(key.value, str):
                own.append(Entry(key.value, key.mark, value))
            elif isinstance(key, ScalarNode):
                said = shown(key.text) or "(nothing)"
                self._report.error(key.mark, f'key `{said}` is no text: quote it, "{said}"')
            else:
                self._report.error(key.mark, "a key must be text, not a list or a mapping")
        entries = self._once(own)
        known = {entry.key for entry in entries}
        for entry in merged:
            if entry.key not in known:
                known.add(entry.key)
                entries.append(entry)
        return MappingNode(tuple(entries), mark, 1 + sum(entry.value.size for entry in entries))

    def _merged(self, value: Node) -> list[Entry]:
        """The entries that `<<` brings in, those of the earliest mapping first."""
        sources = value.items if isinstance(value, ListNode) else (value,)
        found: list[Entry] = []
        for source in sources:
            if isinstance(source, MappingNode):
                found += source.entries
            else:
                self._report.error(source.mark, "`<<` takes a mapping, or a list of mappings")
        return found

    def _once(self, entries: list[Entry]) -> list[Entry]:
        """The entries without repetitions of the same value, which are reported.

        Entries of one key with different values all stay, so that the faults in each are found.
        """
        first: dict[str, Entry] = {}
        kept: list[Entry] = []
        for entry in entries:
            before = first.setdefault(entry.key, entry)
            if before is entry:
                kept.append(entry)
                continue
            places = f"on line {before.mark.line} and on line {entry.mark.line}"
            same = _typed(before.value) == _typed(entry.value)
            tell: Callable[[Mark, str], None] = self._report.warn if same else self._report.error
            ending = "" if same else ", with different values: keep one"
            tell(entry.mark, f"`{shown(entry.key)}` is given twice, {places}{ending}")
            if not same:
                kept.append(entry)
        return kept


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _typed(node: Node) -> Any:
    """The tree in a form in which equal means same type and same value."""
    if isinstance(node, ScalarNode):
        return (type(node.value).__name__, repr(node.value))
    if isinstance(node, ListNode):
        return [_typed(item) for item in node.items]
    return {entry.key: _typed(entry.value) for entry in node.entries}


# Unquoted scalars are read as people mean them: by the YAML 1.2 core schema, and `1_000` too.
# Unlike in YAML 1.1, which PyYAML reads, `1e-3` is a number; `on`, `off`, `yes` and `no` are words,
# and so are dates, `010` and `12:30` (neither octal nor sexagesimal).
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
# No leading zero: `010` is 8 to YAML 1.1, 10 to YAML 1.2, so it is no number here.
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
