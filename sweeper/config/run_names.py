"""Names for runs: the key `name` of a sweep file, a template over the config's keys.

    name: "{activation}-{width}"

It is a key of the sweep file only where the trainer's Config has no field of that name, and changes
no run's id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from sweeper.config.filters import Names, Subject
from sweeper.config.problems import Report
from sweeper.config.sweep_keys import NAME, text_of
from sweeper.config.yaml_nodes import Entry
from sweeper.suggest import shown

__all__ = ["NAME", "RunNames", "read_run_names"]

# Python's own, but no width that would make a name of gigabytes.
_SPEC = re.compile(r"[-+ 0#,_]*\d{0,2}(\.\d{1,2})?[a-zA-Z%]?")
_LONGEST = 100


@dataclass(frozen=True)
class _Part:
    """A text, and after it the value of a parameter if there is one.

    `path` is where the value is inside the axis `axis`; `fixed` is its text where it is no axis.
    """

    before: str
    axis: str | None = None
    path: tuple[str, ...] = ()
    spec: str = ""
    fixed: str = ""

    def of(self, axis_values: Mapping[str, Any]) -> str:
        if self.axis is None:
            return self.before + self.fixed
        value = axis_values[self.axis]
        for name in self.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return self.before + _value_text(value, self.spec)


@dataclass(frozen=True)
class RunNames:
    """What the runs of a sweep are called."""

    parts: tuple[_Part, ...]

    def of(self, axis_values: Mapping[str, Any]) -> str:
        """The name of a run with these plain values by axis key; on one line, at most 100 long."""
        return shown("".join(part.of(axis_values) for part in self.parts), _LONGEST)


def read_run_names(entry: Entry, names: Names, report: Report) -> RunNames | None:
    """The template of a sweep file; None with every error reported."""
    text = text_of(entry, report)
    if text is None:
        return None
    mark = entry.value.mark
    try:
        pieces = [
            (before, key, spec or "", conversion)
            for before, key, spec, conversion in Formatter().parse(text)
        ]
    except ValueError as error:
        report.error(mark, f"name: {error}; write a brace itself as `{{{{` or `}}}}`")
        return None
    parts = []
    for before, key, spec, conversion in pieces:
        if key is None:
            parts.append(_Part(before))
        elif conversion or not key.strip():
            report.error(mark, f"name: expected keys in braces, `{{width}}` say, got {text!r}")
        else:
            subject = names.find(key.strip(), mark, "name")
            part = _part(before, subject, spec, names) if subject is not None else None
            if isinstance(part, str):
                report.error(mark, f"name: {part}")
            elif part is not None:
                parts.append(part)
    if names.axes and all(key is None for _, key, _, _ in pieces):
        report.error(mark, "name: all runs would have this name: put keys in braces, as `{width}`")
    return RunNames(tuple(parts))


def _part(before: str, subject: Subject, spec: str, names: Names) -> _Part | str:
    """The part of a template with this parameter; a text that says why it can't be."""
    values: Sequence[Any] = [cell.plain for cell in subject.cells if cell is not None]
    if not _SPEC.fullmatch(spec):
        return f"`{shown(spec)}` is no format that is understood; `{{{shown(subject.key)}:g}}` is"
    for value in values:
        try:
            _value_text(value, spec)
        except ValueError:
            text = _value_text(value, "")
            return f"`{subject.key}` has the value `{shown(text)}`, which `{spec}` doesn't fit"
    if subject.axis is None:
        return _Part(before, fixed=_value_text(values[0], spec))
    axis = names.axes[subject.axis].key
    inside = subject.key.removeprefix(axis).strip(".")
    return _Part(before, axis, tuple(inside.split(".")) if inside else (), spec)


def _value_text(value: Any, spec: str) -> str:
    """A plain value as YAML spells it. Raises ValueError for a format that it doesn't take."""
    if spec and isinstance(value, str | int | float) and not isinstance(value, bool):
        return format(value, spec)
    if isinstance(value, str):
        return value
    return f"{value:.12g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
