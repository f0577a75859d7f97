"""Dotted keys of configs, and the values under them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["joined", "labels", "moved", "renamed_keys", "value_key"]


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


def renamed_keys(values: Mapping[str, Any], renamed: Mapping[str, str]) -> Mapping[str, Any]:
    """Values by dotted key, those under an old key of `renamed` (old → new) under the new one.

    The keys below a renamed section, and those inside of values that are mappings, too. An old key
    stays where the new one has a value already. Without anything to rename, the very same mapping.
    """
    if not renamed:
        return values
    found: dict[str, Any] = {}
    for key, value in values.items():
        new = _renamed(key, renamed)
        new = key if new in found or (new != key and new in values) else new
        found[new] = value
        if isinstance(value, Mapping):
            inside = {
                old[len(key) + 1 :]: other[len(new) + 1 :]
                for old, other in renamed.items()
                if old.startswith(f"{key}.") and other.startswith(f"{new}.")
            }
            found[new] = moved(value, inside)
    return found


def _renamed(key: str, renamed: Mapping[str, str]) -> str:
    around = [old for old in renamed if f"{key}.".startswith(f"{old}.")]
    old = max(around, key=len, default=None)
    return key if old is None else renamed[old] + key[len(old) :]


def moved(data: Mapping[str, Any], moves: Mapping[str, str]) -> dict[str, Any]:
    """Nested data with values moved from one dotted key to another; `data` stays as it is.

    What is deepest moves first, so that a section can move after one of its keys. Sections that
    this empties go, those that are needed are made. Where the new key has a value, or is inside of
    something that is no mapping, the old one stays.
    """
    found = _copied(data)
    for old, new in sorted(moves.items(), key=lambda move: -move[0].count(".")):
        if f"{new}.".startswith(f"{old}."):
            continue  # nothing moves into itself
        *sections, last = old.split(".")
        places = [found]
        for name in sections:
            inner = places[-1].get(name)
            if not isinstance(inner, dict):
                break
            places.append(inner)
        if len(places) > len(sections) and last in places[-1]:
            value = places[-1][last]
            if _put(found, new, value):
                _remove(places, [*sections, last])
    return found


def _copied(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copied(value) if isinstance(value, Mapping) else value for key, value in data.items()
    }


def _put(data: dict[str, Any], key: str, value: Any) -> bool:
    """Whether there was room for the value; a mapping joins one that is there already."""
    *sections, last = key.split(".")
    place: Any = data
    for depth, name in enumerate(sections):
        if name not in place:
            rest: Any = {last: value}
            for outer in reversed(sections[depth + 1 :]):
                rest = {outer: rest}
            place[name] = rest
            return True
        place = place[name]
        if not isinstance(place, dict):
            return False
    if last not in place:
        place[last] = value
        return True
    there = place[last]
    if isinstance(there, dict) and isinstance(value, dict) and not there.keys() & value.keys():
        there |= value
        return True
    return False


def _remove(places: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Remove the last of the names, and the sections around it that are empty then."""
    for place, name in zip(reversed(places), reversed(names), strict=True):
        del place[name]
        if place:
            return
