"""The YAML text of a file, as PyYAML's nodes: composed within limits, or refused with a place."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from sweeper.config.problems import Report
from sweeper.errors import Mark
from sweeper.suggest import meant, shown

__all__ = ["RefusedError", "compose", "mark_of", "read_text"]

# A sweep file is written by hand: what exceeds these is a mistake or an attack (a page of nested
# aliases can mean 10⁹ values), and would take minutes to read.
MAX_BYTES = 1 << 20
MAX_NODES = 100_000
MAX_DEPTH = 40

# What YAML, and so every mark of PyYAML, counts as the end of a line.
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class RefusedError(Exception):
    """Text that isn't read, from a place where reading ends."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


def read_text(path: Path, *, opener: Any = None) -> tuple[str | None, Report]:
    """The text of a file, or None with the error in the report."""
    report = Report(str(path))
    try:
        raw = _read_bytes(path, opener)
        text = raw.decode("utf-8-sig")
    except RefusedError as refused:
        report.error(refused.mark, str(refused))
        return None, report
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig")
        report.lines = _LINE_END.split(raw.decode("utf-8-sig", errors="replace"))
        place = _mark_at(before, len(before))
        report.error(place, f"byte {raw[error.start]:#04x} is not UTF-8 text")
        return None, report
    report.lines = _LINE_END.split(text)
    return text, report


def _read_bytes(path: Path, opener: Any) -> bytes:
    try:
        with open(path, "rb", opener=opener) as file:
            raw = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise RefusedError(Mark(), "is a folder: give a file in it") from None
    except FileNotFoundError:
        raise RefusedError(Mark(), "no such file" + meant(path.name, _neighbours(path))) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise RefusedError(Mark(), f"can't be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise RefusedError(
            Mark(), f"is larger than {MAX_BYTES >> 20} MiB, the most that a sweep file may have"
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RefusedError(Mark(), "is UTF-16 text: save it as UTF-8")
    return raw


def _neighbours(path: Path) -> list[str]:
    """YAML files beside a missing file, for the hint."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, 1000)]
    except OSError:
        return []
    return [name for name in names if name.endswith((".yaml", ".yml"))]


def compose(text: str, report: Report) -> yaml.Node | None:
    """The one document of a text as PyYAML's nodes; None if it has none.

    A node's `tag` is None unless the text gives it one. Tags that mean nothing go to `report`.
    Raises `RefusedError` for what isn't YAML, and for what exceeds the limits.
    """
    loader = None
    try:
        loader = _Loader(text, report)
        return loader.document()
    except RefusedError:
        raise
    except yaml.reader.ReaderError as error:
        code = f"U+{int(error.character):04X}"
        message = f"the character {code} is not allowed in YAML: remove it"
        raise RefusedError(_mark_at(text, int(error.position)), message) from None
    except yaml.MarkedYAMLError as error:
        raise RefusedError(
            mark_of(error.problem_mark or error.context_mark), _syntax(error)
        ) from None
    except (ValueError, OverflowError, LookupError) as error:
        # PyYAML raises errors of Python's own on some malformed text, e.g. "\UFFFFFFFF".
        said = f"not valid YAML ({type(error).__name__}: {shown(str(error))})"
        raise RefusedError(mark_of(loader.get_mark() if loader else None), said) from None


# What PyYAML says, and what it mostly means.
_HINTS = (
    ("character '\\t'", "a tab can't indent YAML: use spaces"),
    ("mapping values are not allowed", "quote a value that contains `: `, or fix the indentation"),
    ("that cannot start any token", "quote a value that begins with this character"),
    ("expected <block end>", "fix the indentation"),
    ("could not find expected ':'", "a key needs `: ` after it"),
    ("expected ',' or ']'", "close the list with `]`"),
    ("expected ',' or '}'", "close the mapping with `}`"),
    ("found unexpected end of stream", "a quotation mark is not closed"),
)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    hint = next((fix for sign, fix in _HINTS if sign in said), None)
    begun, at = error.context_mark, error.problem_mark
    if begun and at and begun.line != at.line:
        said += f" (started on line {begun.line + 1})"
    return f"not valid YAML: {shown(said, 150)}" + (f"; {hint}" if hint else "")


def _mark_at(text: str, position: int) -> Mark:
    lines = _LINE_END.split(text[:position])
    return Mark(len(lines), len(lines[-1]) + 1)


def mark_of(at: Any) -> Mark:
    """PyYAML's mark, if there is one, as ours."""
    return Mark(at.line + 1, at.column + 1) if at else Mark()


@dataclass(frozen=True)
class _Extent:
    """How many nodes there are in a complete node, itself included, and how deep they go."""

    size: int = 1
    depth: int = 0


class _Loader(yaml.SafeLoader):
    """Composes a document, unless it is too deep, too large or refers to itself.

    PyYAML puts the node of an anchor itself in place of an alias, so composing takes time in
    proportion to the text. What is made of the nodes takes as long as if aliases were written
    out, so the limits apply to that.
    """

    _TAGS = MappingProxyType(
        {
            yaml.ScalarEvent: "tag:yaml.org,2002:str",
            yaml.SequenceStartEvent: "tag:yaml.org,2002:seq",
            yaml.MappingStartEvent: "tag:yaml.org,2002:map",
        }
    )

    def __init__(self, text: str, report: Report) -> None:
        super().__init__(text)
        self._report = report
        self._size = 0  # nodes so far
        self._depth = 0  # of the node that is being composed
        self._deepest = 0  # below it, so far
        self._extents: dict[yaml.Node, _Extent] = {}

    def document(self) -> yaml.Node | None:
        """The one document of the text; None if it has none."""
        self.check_node()
        root: yaml.Node | None = self.get_node()
        if self.check_node():
            second = self.peek_event()  # type: ignore[no-untyped-call]
            message = "a second document (`---`): one file holds one sweep"
            raise RefusedError(mark_of(second.start_mark), message)
        return root

    def resolve(self, *_: Any) -> None:
        """Leave open what a node without a tag is, instead of guessing it by YAML 1.1."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark, extent = mark_of(event.start_mark), _Extent()
        if isinstance(event, yaml.AliasEvent):
            extent = self._extent_of(event.anchor, mark)
        else:
            self._check_tag(event, mark)
            self.anchors.pop(event.anchor, None)  # YAML lets an anchor be given again
        before, deepest = self._size, self._deepest
        self._size += extent.size
        self._deepest = self._depth + extent.depth
        if self._deepest > MAX_DEPTH:
            raise RefusedError(mark, f"nested more than {MAX_DEPTH} levels deep")
        if self._size > MAX_NODES:
            raise RefusedError(mark, f"more than {MAX_NODES} values, with aliases written out")
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        self._extents[node] = _Extent(self._size - before, self._deepest - self._depth)
        self._deepest = max(deepest, self._deepest)
        return node

    def _extent_of(self, anchor: Any, mark: Mark) -> _Extent:
        if anchor not in self.anchors:
            hint = meant(anchor, self.anchors)
            raise RefusedError(
                mark, f"`*{shown(anchor)}`: no anchor `&{shown(anchor)}` before it{hint}"
            )
        node = self.anchors[anchor]
        if node not in self._extents:
            raise RefusedError(mark, f"`*{shown(anchor)}` refers to itself")
        return self._extents[node]

    def _check_tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None and event.tag != self._TAGS[type(event)]:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._report.error(mark, f"the tag `{shown(tag)}` is not supported: remove it")
