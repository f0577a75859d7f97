"""Axis values as things that can be compared, counted and looked up."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["value_key"]


def value_key(value: Any) -> str:
    """A text that is equal for equal values, whether they come from a file or from the records.

    JSON with sorted keys, so that a list can be counted like a word and a tuple equals the list
    that the journal made of it. A whole float equals the integer: the records can't tell them.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
