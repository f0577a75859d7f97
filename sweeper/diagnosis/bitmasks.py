"""Runs as bits, so that one AND looks at all of them: which runs have which axis value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isnan
from operator import or_
from typing import Any

from sweeper.keys import value_key
from sweeper.records.parameters import ABSENT

__all__ = ["AxisMasks", "Points", "mask_of"]


@dataclass(frozen=True)
class AxisMasks:
    """The values of an axis, and for each the runs that have it as the bits of an integer.

    If all values are numbers it is `ordered`, and they ascend; else they are in planned order.
    """

    key: str
    values: tuple[Any, ...]
    masks: tuple[int, ...]
    ordered: bool

    @property
    def is_seed(self) -> bool:
        return self.key.rpartition(".")[2] == "seed"

    def among(self, runs: int) -> AxisMasks:
        """The axis as these runs have it; values that none of them has are left out."""
        pairs = zip(self.values, (mask & runs for mask in self.masks), strict=True)
        return _arranged(self.key, [(value, mask) for value, mask in pairs if mask])

    def union(self, places: Iterable[int]) -> int:
        """The runs that have one of the values at these places."""
        return reduce(or_, (self.masks[place] for place in places), 0)


class Points:
    """Runs by their axis values; run i is bit i.

    `rows` are plain axis values by axis key, as the records have them, of any kind. A run that
    lacks an axis has `ABSENT` there, which is a value of its own.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.size = len(rows)
        keys = dict.fromkeys(key for row in rows for key in row)
        self.axes = tuple(_axis(key, [row.get(key, ABSENT) for row in rows]) for key in keys)


def _axis(key: str, column: Sequence[Any]) -> AxisMasks:
    values: dict[str, Any] = {}
    places: dict[str, list[int]] = {}
    known: dict[Any, str] = {}
    for place, value in enumerate(column):
        # Writing JSON for each of 100,000 runs would take longer than all the rest.
        same = (type(value), value) if isinstance(value, str | int | float) else id(value)
        word = known.get(same) or known.setdefault(same, _word(value))
        values.setdefault(word, value)
        places.setdefault(word, []).append(place)
    return _arranged(key, [(values[word], mask_of(places[word], len(column))) for word in values])


def _word(value: Any) -> str:
    return "–" if value is ABSENT else value_key(value)  # no JSON begins like that


def _arranged(key: str, pairs: list[tuple[Any, int]]) -> AxisMasks:
    ordered = all(_is_number(value) for value, _ in pairs)
    if ordered:
        pairs = sorted(pairs, key=lambda pair: pair[0])
    return AxisMasks(
        key, tuple(value for value, _ in pairs), tuple(mask for _, mask in pairs), ordered
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return not isnan(value)
    return isinstance(value, int) and not isinstance(value, bool)


def mask_of(places: Iterable[int], size: int) -> int:
    """The integer with the bits at `places`, all of them below `size`."""
    # By bytes: setting bits one by one in an integer copies it each time.
    data = bytearray(size // 8 + 1)
    for place in places:
        data[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(data, "little")
