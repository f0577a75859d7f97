"""Plain YAML scalars as people mean them: the YAML 1.2 core schema, and `1_000`.

Where this differs from YAML 1.1, which PyYAML reads: `1e-3` is a number; `on`, `off`, `yes` and
`no` are words, and so are dates, `010` and `12:30` (neither octal nor sexagesimal).
"""

from __future__ import annotations

import re

__all__ = ["resolve"]

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
