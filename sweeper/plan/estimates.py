"""How long a run will take, judged by the finished ones: a heuristic for order and ETA."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sweeper.keys import value_key

__all__ = ["Estimator", "Finished"]


@dataclass(frozen=True)
class Finished:
    """A finished run: its axis values, how long it took, and its program (None if unknown).

    `fixed` are all its other parameters; runs may share one such mapping.
    """

    axis_values: Mapping[str, Any]
    wall_s: float
    program: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)


class Estimator:
    """Estimates wall times from finished runs.

    A run is expected to last as long as, on average, the finished runs that are most like it. Those
    of its own program come first, if there are any; of these the ones that agree with it in the
    most parameters that are no axes, so that those from before `steps` was edited don't count once
    there are others; and of these the ones that agree in the most axis values. Seeds don't count.
    The sets of finished runs are bit masks (bit i: the i-th of them), so that thousands of runs are
    estimated from thousands of others in well under a second.
    """

    def __init__(self, finished: Iterable[Finished]) -> None:
        self._walls: list[float] = []
        self._by_value: dict[tuple[str, str], int] = defaultdict(int)
        self._by_program: dict[str, int] = defaultdict(int)
        self._means: dict[int, float] = {}
        # By the identity of the mapping, which is kept, so that no other can get it.
        self._alike: dict[tuple[int, int], tuple[Mapping[str, Any], int]] = {}
        sharing: dict[int, tuple[Mapping[str, Any], int]] = {}
        for index, run in enumerate(finished):
            bit = 1 << index
            self._walls.append(run.wall_s)
            if run.program is not None:
                self._by_program[run.program] |= bit
            for pair in _pairs(run.axis_values):
                self._by_value[pair] |= bit
            fixed, bits = sharing.get(id(run.fixed), (run.fixed, 0))
            sharing[id(run.fixed)] = fixed, bits | bit
        for fixed, bits in sharing.values():
            for pair in _pairs(fixed):
                self._by_value[pair] |= bits
        self._all = (1 << len(self._walls)) - 1

    def estimate_s(
        self,
        axis_values: Mapping[str, Any],
        program: str | None,
        fixed: Mapping[str, Any] = MappingProxyType({}),
    ) -> float | None:
        """The expected wall time in seconds, or None if nothing has finished yet."""
        if not self._all:
            return None
        among = (self._by_program.get(program, 0) if program is not None else 0) or self._all
        among = self._most_alike(fixed, among)
        agreeing = [self._by_value.get(pair, 0) & among for pair in _pairs(axis_values)]
        return self._mean(_most_often(agreeing) or among)

    def _most_alike(self, fixed: Mapping[str, Any], among: int) -> int:
        """Those of some finished runs that agree in the most parameters that are no axes."""
        key = id(fixed), among
        if key not in self._alike:
            agreeing = [self._by_value.get(pair, 0) & among for pair in _pairs(fixed)]
            self._alike[key] = fixed, _most_often(agreeing) or among
        return self._alike[key][1]

    def _mean(self, mask: int) -> float:
        if mask not in self._means:
            total, count, rest = 0.0, 0, mask
            while rest:
                lowest = rest & -rest
                total += self._walls[lowest.bit_length() - 1]
                count += 1
                rest ^= lowest
            self._means[mask] = total / count
        return self._means[mask]


def _pairs(axis_values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (key, value_key(value))
        for key, value in axis_values.items()
        if key.rpartition(".")[2] != "seed"
    ]


def _most_often(masks: Iterable[int]) -> int:
    """The bits that are set in the most masks; 0 if none is set in any.

    `reached[n]` collects the bits that are set in at least n of the masks so far.
    """
    reached: list[int] = []
    for mask in masks:
        carried = mask
        for level, bits in enumerate(reached):
            reached[level], carried = bits | carried, bits & carried
        if carried:
            reached.append(carried)
    return reached[-1] if reached else 0
