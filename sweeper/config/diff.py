"""The keys in which configs differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["differing"]


def differing(configs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The dotted keys in which plain configs differ, each with its value per config.

    Keys come in the order in which the configs have them. A config that lacks a key is left out
    of that key's values. `1` equals `1.0`, and `true` equals neither.
    """
    flat = {name: _flat(config) for name, config in configs.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    found = []
    for key in keys:
        values = {name: own[key] for name, own in flat.items() if key in own}
        first, *others = [_comparable(value) for value in values.values()]
        if len(values) < len(flat) or any(other != first for other in others):
            found.append((key, values))
    return found


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _comparable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _comparable(item) for key, item in value.items()}
    return (isinstance(value, bool), value)
