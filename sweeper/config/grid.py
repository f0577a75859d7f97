"""Which points of a grid remain after `exclude` and `only`: counted and listed without trying all.

A point has one row per dimension (an axis, or axes zipped together). A condition names the rows
that it wants in some dimensions, and holds for a point that has them all.

The dimensions are walked in order; the state is the set of conditions that still can hold, as the
bits of an integer. Points with equal state have equal futures, so the number of remaining points
below each state is computed once, from the last dimension to the first. That is exact for any
size of grid, and listing never enters a branch that is empty.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["EntangledError", "RowFilter", "Selection"]

# Dimension → rows that the condition wants there.
RowFilter = Mapping[int, frozenset[int]]

# Far above any list of conditions that a person writes; counting is #SAT, so there must be a limit.
MAX_STATES = 200_000


class EntangledError(Exception):
    """The conditions overlap in too many ways to be counted."""


@dataclass(frozen=True)
class _Bits:
    """Conditions as bits: those of `exclude` and `only`, and one for "some `only` has held"."""

    excludes: int
    onlys: int
    satisfied: int
    ending: tuple[int, ...]  # per dimension, the conditions whose last dimension it is

    def step(self, state: int, row: int, dimension: int) -> int | None:
        """The state after a row (given by the conditions it leaves possible); None if none is."""
        state &= row | self.satisfied
        held = state & self.ending[dimension]
        if held & self.excludes:
            return None
        if not state & self.satisfied:
            if held & self.onlys:
                return (state & self.excludes) | self.satisfied
            if not state & self.onlys:
                return None
        return state


class Selection:
    """The remaining points of a grid, in order: the first dimension changes slowest.

    A point is left out if any of `excludes` holds for it or, where `onlys` is given, none of
    those. Raises `EntangledError`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        excludes: Sequence[RowFilter] = (),
        onlys: Sequence[RowFilter] | None = None,
    ) -> None:
        conditions = [*excludes, *(onlys or ())]
        self._lengths = tuple(lengths)
        self._free = not conditions and onlys is None
        self._rows = [
            [
                sum(
                    1 << bit
                    for bit, condition in enumerate(conditions)
                    if row in condition.get(dimension, (row,))
                )
                for row in range(length)
            ]
            for dimension, length in enumerate(lengths)
        ]
        ending = [0] * len(lengths)
        always = 0
        for bit, condition in enumerate(conditions):
            if condition:
                ending[max(condition)] |= 1 << bit
            else:
                always |= 1 << bit
        all_bits = (1 << len(conditions)) - 1
        exclude_bits = (1 << len(excludes)) - 1
        only_bits = all_bits & ~exclude_bits
        self._bits = _Bits(exclude_bits, only_bits, 1 << len(conditions), tuple(ending))
        self._start = all_bits
        if onlys is None or always & only_bits:
            self._start = exclude_bits | self._bits.satisfied
        nothing = always & exclude_bits or self._start == exclude_bits
        self._below = [] if self._free or nothing else self._counts()

    @property
    def grid_size(self) -> int:
        """The number of points without conditions."""
        size = 1
        for length in self._lengths:
            size *= length
        return size

    def count(self) -> int:
        """The number of remaining points."""
        if self._free:
            return self.grid_size
        return self._below[0].get(self._start, 0) if self._below else 0

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """The rows of every remaining point."""
        if self._free:
            return itertools.product(*map(range, self._lengths))
        return self._walk() if self.count() else iter(())

    def _counts(self) -> list[dict[int, int]]:
        """Per dimension, the number of remaining points below each state that can occur."""
        counts = [Counter(rows) for rows in self._rows]
        reached: list[dict[int, int]] = [{self._start: 0}]
        for dimension, rows in enumerate(counts):
            following = {
                after
                for state in reached[-1]
                for row in rows
                if (after := self._bits.step(state, row, dimension)) is not None
            }
            if len(following) > MAX_STATES:
                raise EntangledError
            reached.append(dict.fromkeys(following, 0))
        reached[-1] = dict.fromkeys(reached[-1], 1)
        for dimension in range(len(counts) - 1, -1, -1):
            below = reached[dimension + 1]
            for state in reached[dimension]:
                for row, times in counts[dimension].items():
                    after = self._bits.step(state, row, dimension)
                    if after is not None:
                        reached[dimension][state] += times * below[after]
        return reached

    def _walk(self) -> Iterator[tuple[int, ...]]:
        """Depth first over the rows, only where something remains below."""
        last = len(self._lengths)
        states = [self._start] * (last + 1)
        point = [-1] * last
        depth = 0
        while depth >= 0:
            if depth == last:
                yield tuple(point)
                depth -= 1
                continue
            for row in range(point[depth] + 1, self._lengths[depth]):
                after = self._bits.step(states[depth], self._rows[depth][row], depth)
                if after is not None and self._below[depth + 1][after]:
                    point[depth], states[depth + 1] = row, after
                    depth += 1
                    break
            else:
                point[depth] = -1
                depth -= 1
