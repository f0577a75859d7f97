"""Conditions of the command line (`--where 'alpha=0.1,head=b'`), read as those of a sweep file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sweeper.config.filters import Dimension, Names, read_condition
from sweeper.config.grid import RowFilter
from sweeper.config.problems import Report
from sweeper.config.yaml_nodes import Entry, MappingNode, parse
from sweeper.errors import ConfigError, Mark, Problem
from sweeper.suggest import shown

__all__ = ["WHERE", "read_where", "where_words"]

WHERE = "--where"
_OPENING, _CLOSING, _QUOTES = "[{(", "]})", "\"'"


def read_where(
    texts: Sequence[str], names: Names, grid: Sequence[Dimension]
) -> tuple[RowFilter, ...]:
    """What the points must be: a text holds where all its conditions hold.

    A condition is ``key=value`` or ``key=[value, value]``, with keys and values as in the sweep
    file. Raises `ConfigError` for what can't be read, and for a value that the key never has.
    """
    report = Report("")
    names = replace(names, report=report)
    found = []
    for text in texts:
        condition = read_condition(_mapping(text, report), names, WHERE, grid)
        if condition is not None:
            found.append(condition)
    if report.problems:
        said = dict.fromkeys(problem.message for problem in report.problems)
        raise ConfigError([Problem("", 0, 0, message) for message in said])
    return tuple(found)


def where_words(texts: Sequence[str]) -> str:
    """Conditions as people read them: ``alpha = 0.1 and head = b``, several with ``or``."""
    return " or ".join(
        " and ".join(" = ".join(word.strip() for word in part.split("=", 1)) for part in own)
        for own in map(_parts, texts)
    )


def _mapping(text: str, report: Report) -> MappingNode:
    """The conditions of a text; what isn't one is reported."""
    entries: list[Entry] = []
    for part in _parts(text):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not (key and equals and value):
            report.error(Mark(), f"{WHERE}: expected `key=value`, got `{shown(part.strip())}`")
            continue
        inner = Report("")
        node = parse(f"value: {value}", inner)
        if node is None or len(node.entries) != 1 or inner.problems:
            report.error(Mark(), f"{WHERE}: `{shown(value)}` is not a value in YAML")
        else:
            entries.append(Entry(key, Mark(), node.entries[0].value))
    return MappingNode(tuple(entries), Mark())


def _parts(text: str) -> Iterator[str]:
    """What stands between commas, those within brackets and quotes left alone."""
    depth, quote, start = 0, "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
        elif char == "," and depth == 0:
            yield text[start:place]
            start = place + 1
        else:
            depth += (char in _OPENING) - (char in _CLOSING)
    yield text[start:]
