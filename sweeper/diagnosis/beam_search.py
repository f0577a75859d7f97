"""What most bad runs share and most others don't, for causes that no condition explains exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import ceil, inf, log
from typing import NamedTuple

from sweeper.diagnosis.bitmasks import AxisMasks
from sweeper.diagnosis.rules import MOST_ATOMS, Choice, Condition, Contrast, price

__all__ = ["CHANCE", "LEAST_PRECISION", "LEAST_RECALL", "is_weak", "tendency"]

# An approximate condition has to be this unlikely to be an accident (`Condition.chance`) ...
CHANCE = 1e-3
# ... and of use: so many of the runs under it are bad, and so many of the bad runs are under it.
LEAST_PRECISION = 1 / 2
LEAST_RECALL = 1 / 3

# How many conjunctions are refined further: as many as keep each round near this much work, in bits
# looked at (100 of them for 6,000 runs on 12 axes of 10 values, which takes about 0.1 s). To look
# at a set at all costs as much as some more bits of it.
_EFFORT, _LOOK = 108_000_000, 3_000
_NARROWEST, _WIDEST = 8, 400
# Seeds come last: in nats, a seed must explain this much more than another axis.
_SEED_COST = log(100)


def tendency(contrast: Contrast) -> Condition | None:
    """The approximate condition with the most evidence for its length, found by a beam search.

    It may be weak, see `is_weak`; it is None only where bad runs are as frequent under every value
    of every parameter. A heuristic: a conjunction whose parts by themselves say nothing can be
    missed.
    """
    search = _Search(contrast)
    beam = [_Draft((), contrast.bad, contrast.universe, 0.0)]
    for _ in range(min(MOST_ATOMS, len(contrast.axes))):
        beam = search.round(beam)
    return None if search.best is None else contrast.condition(search.best)


def is_weak(condition: Condition) -> bool:
    """Whether it isn't clearly better than chance, or an approximate one of little use.

    See `CHANCE`, `LEAST_PRECISION` and `LEAST_RECALL`. The best condition is judged, not the best
    of those that aren't weak: else one would be stretched to pass.
    """
    bads = condition.bad_in + condition.bad_out
    useful = (
        condition.bad_in >= LEAST_PRECISION * condition.total_in
        and condition.bad_in >= LEAST_RECALL * bads
    )
    return not (useful and condition.chance < CHANCE)


@dataclass(frozen=True)
class _Draft:
    """A conjunction to be refined: the bad runs and all runs under it, and its atoms' price."""

    choices: tuple[Choice, ...]
    bad: int
    runs: int
    cost: float


class _Candidate(NamedTuple):
    """A draft with one more atom: it admits the first `size` places of `order`.

    Candidates sort by what they lack in evidence, then as they were found.
    """

    lack: float
    number: int
    draft: _Draft
    axis: AxisMasks
    relation: str
    order: Sequence[int]
    size: int
    cost: float

    def choices(self) -> tuple[Choice, ...]:
        places = tuple(sorted(self.order[: self.size]))
        return (*self.draft.choices, Choice(self.axis, self.relation, places))


class _Search:
    """The rounds of one beam search, and the best conjunction so far."""

    def __init__(self, contrast: Contrast) -> None:
        self.contrast = contrast
        self.best: tuple[Choice, ...] | None = None
        self._best_score = -inf
        self._found = 0
        self._needed = ceil(LEAST_RECALL * contrast.bads)
        work = sum(len(axis.values) for axis in contrast.axes) * (contrast.total + _LOOK)
        self._width = min(max(_EFFORT // max(work, 1), _NARROWEST), _WIDEST)
        self._n_log_n = [0.0, *(n * log(n) for n in range(1, contrast.total + 1))]

    def round(self, beam: Sequence[_Draft]) -> list[_Draft]:
        """Add one atom to each draft in every way; returns the drafts worth another round."""
        candidates = (
            candidate
            for draft in beam
            if self._may_improve(draft)
            for axis in self.contrast.axes
            if all(choice.axis is not axis for choice in draft.choices)
            for candidate in self._candidates(draft, axis)
        )
        drafts: dict[int, _Draft] = {}
        for candidate in nsmallest(self._width, candidates):
            choices = candidate.choices()
            bad, runs = (
                candidate.draft.bad & choices[-1].runs,
                candidate.draft.runs & choices[-1].runs,
            )
            # The same runs can be described in several ways; the first is the cheapest.
            drafts.setdefault(runs, _Draft(choices, bad, runs, candidate.cost))
        return list(drafts.values())

    def _may_improve(self, draft: _Draft) -> bool:
        """Whether the draft could beat the best if its next atom excluded all good runs."""
        bad = draft.bad.bit_count()
        bound = self._evidence(bad, bad) - draft.cost - self._fixed(draft)
        return bound > self._best_score

    def _fixed(self, draft: _Draft) -> float:
        return self.contrast.price_of_length(len(draft.choices) + 1)

    def _candidates(self, draft: _Draft, axis: AxisMasks) -> Iterator[_Candidate]:
        """The draft with each atom of `axis` that raises the share of bad runs under it."""
        bad = [(draft.bad & mask).bit_count() for mask in axis.masks]
        runs = [(draft.runs & mask).bit_count() for mask in axis.masks]
        bads, total = sum(bad), sum(runs)
        seed = _SEED_COST if axis.is_seed else 0.0
        fixed = self._fixed(draft) + draft.cost + seed
        for relation, order, size, bad_in, total_in in _atoms(axis, bad, runs):
            if bad_in * total <= bads * total_in:
                continue
            worth = price(relation, len(axis.values), size)
            score = self._evidence(bad_in, total_in) - fixed - worth
            if score <= self._best_score and bad_in < self._needed:
                continue
            self._found += 1
            cost = draft.cost + seed + worth
            candidate = _Candidate(-score, self._found, draft, axis, relation, order, size, cost)
            if score > self._best_score:
                self._best_score, self.best = score, candidate.choices()
            if bad_in >= self._needed:
                yield candidate

    def _evidence(self, bad_in: int, total_in: int) -> float:
        """The logarithm of the likelihood ratio of the fourfold table against no difference."""
        f, bads, total = self._n_log_n, self.contrast.bads, self.contrast.total
        cells = f[bad_in] + f[total_in - bad_in]
        cells += f[bads - bad_in] + f[total - bads - total_in + bad_in]
        return cells - f[total_in] - f[total - total_in] - f[bads] - f[total - bads] + f[total]


def _atoms(
    axis: AxisMasks, bad: Sequence[int], runs: Sequence[int]
) -> Iterator[tuple[str, Sequence[int], int, int, int]]:
    """The atoms of an axis whose values hold so many bad and so many runs: (relation, order, size,
    bad runs, runs), the first `size` places of `order` being admitted.

    Of all lists of values only those with the greatest shares of bad runs are tried: the one with
    the most evidence is among them (Breiman, Friedman, Olshen and Stone, Classification and
    Regression Trees, 1984, section 4.2).
    """
    places = range(len(runs))
    for place in places:
        yield "=", (place,), 1, bad[place], runs[place]
    ways: list[tuple[str, Sequence[int]]] = []
    if axis.ordered:
        ways += [("<=", places), (">=", places[::-1])]
    worst = sorted((i for i in places if runs[i]), key=lambda i: -bad[i] / runs[i])
    ways.append(("in", worst))
    for relation, order in ways:
        bad_in = total_in = 0
        for size, place in enumerate(order[:-1], start=1):
            bad_in, total_in = bad_in + bad[place], total_in + runs[place]
            if size > 1:
                yield relation, order, size, bad_in, total_in
