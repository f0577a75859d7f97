"""Conditions on axis values, and how well they separate bad runs from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, fsum, lgamma, log
from typing import Any

from sweeper.diagnosis.bitmasks import AxisMasks, Points

__all__ = ["MOST_ATOMS", "Atom", "Choice", "Condition", "Contrast", "log_tail"]

MOST_ATOMS = 3
_RELATIONS = 4  # =  in  >=  <=


@dataclass(frozen=True)
class Atom:
    """`relation` is ``=``, ``in``, ``>=`` or ``<=``; only ``in`` has more than one of `values`."""

    axis: str
    relation: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Condition:
    """Atoms that all must hold; without any it is every run.

    Under it are `total_in` runs, `bad_in` of them bad; of the `total_out` others `bad_out` are bad.
    `runs` are those under it, as bits.
    `chance` bounds how likely it is that some condition would do as well, for its length, if the
    bad runs had been drawn at random: Fisher's exact test (one-sided), times the number of
    conditions as simple as this one (a weighted Bonferroni correction).
    """

    atoms: tuple[Atom, ...]
    runs: int = field(repr=False)
    bad_in: int
    total_in: int
    bad_out: int
    total_out: int
    chance: float

    @property
    def exact(self) -> bool:
        """Whether it separates the bad runs from the others without an error."""
        return self.bad_in == self.total_in and self.bad_out == 0


@dataclass(frozen=True)
class Choice:
    """An atom on its axis: `places` are those of all the values that it admits, ascending."""

    axis: AxisMasks
    relation: str
    places: tuple[int, ...]

    @cached_property
    def runs(self) -> int:
        return self.axis.union(self.places)

    @property
    def listed(self) -> int:
        """How many values it takes to write it down."""
        return len(self.places) if self.relation == "in" else 1

    @property
    def price(self) -> float:
        """How many atoms of its kind the axis has, as a logarithm, for all kinds alike.

        The exponentials of −price over all atoms of an axis sum to at most 1.
        """
        return price(self.relation, len(self.axis.values), self.listed)

    def atom(self) -> Atom:
        places = {">=": self.places[:1], "<=": self.places[-1:]}.get(self.relation, self.places)
        return Atom(self.axis.key, self.relation, tuple(self.axis.values[i] for i in places))


def price(relation: str, values: int, listed: int) -> float:
    """`Choice.price`, by the number of the axis' values and of those that ``in`` lists."""
    lists = _log_comb(values, listed) if relation == "in" else 0.0
    return log(_RELATIONS) + log(values) + lists


class Contrast:
    """Bad runs against others, both as bits of `points`, and the axes that vary among them."""

    def __init__(self, points: Points, bad: int, others: int) -> None:
        if not bad or bad & others:
            raise ValueError("there must be bad runs, and none of them among the others")
        self.bad, self.others, self.universe = bad, others, bad | others
        self.bads, self.total = bad.bit_count(), self.universe.bit_count()
        axes = (axis.among(self.universe) for axis in points.axes)
        self.axes = tuple(axis for axis in axes if len(axis.values) > 1)

    def condition(self, choices: Sequence[Choice]) -> Condition:
        """The conjunction of `choices`, in the order of the axes, with its counts."""
        order = {id(axis): place for place, axis in enumerate(self.axes)}
        choices = sorted(choices, key=lambda choice: order[id(choice.axis)])
        runs = self.universe
        for choice in choices:
            runs &= choice.runs
        bad_in, total_in = (runs & self.bad).bit_count(), runs.bit_count()
        tail = log_tail(bad_in, total_in, self.bads, self.total)
        prices = fsum(choice.price for choice in choices)
        return Condition(
            atoms=tuple(choice.atom() for choice in choices),
            runs=runs,
            bad_in=bad_in,
            total_in=total_in,
            bad_out=self.bads - bad_in,
            total_out=self.total - total_in,
            chance=exp(min(0.0, tail + prices + self.price_of_length(len(choices)))),
        )

    def price_of_length(self, atoms: int) -> float:
        """How many choices of so many axes there are, as a logarithm, for all lengths alike.

        An axis may come twice, with a lower and an upper bound.
        """
        return log(MOST_ATOMS) + _log_comb(len(self.axes) + atoms - 1, atoms) if atoms else 0.0


def log_tail(bad_in: int, total_in: int, bads: int, total: int) -> float:
    """log P(X ≥ bad_in) where X counts the bad among `total_in` runs drawn at random.

    There are `bads` bad runs among `total`: X is hypergeometric.
    """
    logs = [
        _log_comb(bads, k) + _log_comb(total - bads, total_in - k)
        for k in range(max(bad_in, bads + total_in - total), min(bads, total_in) + 1)
    ]
    if not logs:
        return float("-inf")
    greatest = max(logs)
    scaled = fsum(exp(value - greatest) for value in logs)
    return min(0.0, greatest + log(scaled) - _log_comb(total, total_in))


def _log_comb(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
