"""The shortest condition on axis values that separates bad runs from the others.

An exact condition of at most three atoms is found whenever there is one: each of its atoms must
admit every value that bad runs have on its axis, and the tightest such atom excludes the most
others. So a set of axes carries an exact condition if and only if no other run is in the box of
those values, and there are few sets of up to three axes. (One kind is left out on purpose: lists so
long that they name the bad runs one by one.)

Where there is no exact one, the best approximate one is sought by a beam search, which is a
heuristic and may miss it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import nsmallest
from itertools import combinations, product
from math import inf
from operator import and_

from sweeper.diagnosis.beam_search import is_weak, tendency
from sweeper.diagnosis.bitmasks import AxisMasks, Points
from sweeper.diagnosis.rules import MOST_ATOMS, Choice, Condition, Contrast

__all__ = ["LONG_LIST", "MOST_AXES", "separate"]

# With more axes, only those are tried that exclude the most others: a heuristic, without which
# hundreds of axes would take minutes.
MOST_AXES = 40
# A longer list of values that has one for every second bad run explains nothing.
LONG_LIST = 8


def separate(
    points: Points, bad: int, others: int, *, approximate: bool = True, weak: bool = False
) -> Condition | None:
    """The shortest condition that separates the runs `bad` from the runs `others`, both as bits.

    An exact one is preferred: with the fewest atoms, then without seeds, then with the fewest
    values to list, then the narrowest, then on the axes that come first. If there is none and
    `approximate`, it is what `tendency` finds, unless that `is_weak` and `weak` ones aren't wanted;
    None if that is nothing. Without others it is the condition without atoms. Raises `ValueError`
    if `bad` is empty or overlaps `others`.
    """
    contrast = Contrast(points, bad, others)
    if not others:
        return contrast.condition(())
    found = _exact(contrast)
    if found or not approximate:
        return found
    best = tendency(contrast)
    return best if best and (weak or not is_weak(best)) else None


@dataclass(frozen=True)
class _Box:
    """Atoms of one axis that admit all bad runs, the tightest first."""

    choices: tuple[Choice, ...]
    left: int  # the others that the tightest atom admits too


def _exact(contrast: Contrast) -> Condition | None:
    boxes = [
        box
        for axis in contrast.axes
        for box in _boxes(axis, contrast)
        if box.left != contrast.others
    ]
    best = nsmallest(MOST_AXES, range(len(boxes)), key=lambda i: boxes[i].left.bit_count())
    boxes = [boxes[i] for i in sorted(best)]
    for size in range(1, MOST_ATOMS + 1):
        exact = [
            subset
            for subset in combinations(boxes, size)
            if not reduce(and_, (box.left for box in subset))
        ]
        if exact:
            conjunctions = (
                choices for subset in exact for choices in product(*(box.choices for box in subset))
            )
            # `min` takes the first of equals, which is on the axes that come first.
            return contrast.condition(min(conjunctions, key=lambda c: _burden(contrast, c)))
    return None


def _boxes(axis: AxisMasks, contrast: Contrast) -> list[_Box]:
    held = tuple(i for i, mask in enumerate(axis.masks) if mask & contrast.bad)
    bounds = []
    if axis.ordered and len(held) > 1:
        bounds = [
            Choice(axis, ">=", tuple(range(held[0], len(axis.values)))),
            Choice(axis, "<=", tuple(range(held[-1] + 1))),
        ]
    if len(held) > LONG_LIST and 2 * len(held) >= contrast.bads:
        # Neither bound is the tighter one, and both together are a range.
        return [_Box((bound,), bound.runs & contrast.others) for bound in bounds]
    tightest = Choice(axis, "=" if len(held) == 1 else "in", held)
    return [_Box((tightest, *bounds), tightest.runs & contrast.others)]


def _burden(contrast: Contrast, choices: Sequence[Choice]) -> tuple[float, ...]:
    """The drawbacks of a conjunction, the worst first."""
    if reduce(and_, (choice.runs for choice in choices), contrast.others):
        return (inf,)
    seeds = sum(choice.axis.is_seed for choice in choices)
    listed = sum(choice.listed for choice in choices)
    admitted = sum(len(choice.places) for choice in choices)
    return seeds, listed, admitted
