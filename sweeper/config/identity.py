"""What identifies a run among all others: its config without fields that are as they were before.

A field that is marked `Formerly` counts only where its value is another than the one before it
existed; see there.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from sweeper.formerly import Formerly

__all__ = ["identifying", "is_as_before"]


@cache
def _former_values(cls: type) -> Mapping[str, Any]:
    """The former value of each field that is marked; entries of a dictionary never are."""
    if not isinstance(cls, type):
        return {}
    hints = typing.get_type_hints(cls, include_extras=True)
    return {
        name: mark.value
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
        for mark in get_args(hint)[1:]
        if isinstance(mark, Formerly)
    }


def is_as_before(cls: Any, name: str, data: Any) -> bool:
    """Whether the field `name` of a dataclass has, as plain data, its former value."""
    former = _former_values(cls)
    return name in former and bool(former[name] == data)


def identifying(value: Any, data: Any) -> Any:
    """The part of the plain `data` of a config, or of a value in it, that goes into the id.

    `data` is what the type of `value` makes of it. What can't hold a config is returned as it is.
    """
    if dataclasses.is_dataclass(value) and isinstance(data, dict):
        return {
            name: identifying(getattr(value, name), item)
            for name, item in data.items()
            if not is_as_before(type(value), name, item)
        }
    if isinstance(value, list | tuple) and isinstance(data, list):
        return [identifying(*pair) for pair in zip(value, data, strict=True)]
    if isinstance(value, Mapping) and isinstance(data, dict):
        pairs = zip(value.values(), data.items(), strict=True)
        return {name: identifying(item, plain) for item, (name, plain) in pairs}
    return data
