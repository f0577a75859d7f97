"""Dotted keys of configs, and the values under them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["joined", "labels", "value_key"]


def labels(keys: Sequence[str]) -> Mapping[str, str]:
    """For every dotted key the shortest ending that no other one of them has."""
    found = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        found[key] = next(
            (
                ending
                for ending in endings
                if sum(other == ending or other.endswith("." + ending) for other in keys) == 1
            ),
            key,
        )
    return found


def joined(key: str, name: str) -> str:
    """A dotted path one level deeper."""
    return f"{key}.{name}" if key else name


def value_key(value: Any) -> str:
    """A text that is equal for equal values, whether they come from a file or from the records.

    JSON with sorted keys, so that a list can be counted like a word and a tuple equals the list
    that the journal made of it. A whole float equals the integer: records don't distinguish them.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
