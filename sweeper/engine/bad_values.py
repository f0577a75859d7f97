"""Which parameter values fail whatever else a run has, so that runs without them go first.

A heuristic that errs on the side of training: what is held back by mistake is trained as soon as
one run with that value finishes, and costs nothing but its place in the line.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sweeper.diagnosis.failure_groups import likeness
from sweeper.records.outcomes import Cause, Outcome

__all__ = ["PROVEN", "BadValues", "Failure", "HeldValues", "Values", "bad_values", "values_of"]

Values = frozenset[tuple[str, str]]
"""Parameters by their dotted keys, each with its value as JSON."""

# A run alone has values that all runs with them have: only one or two together are suspected.
_TOGETHER = 2
# A divergence is a result as well: the value can be trained.
PROVEN = {Outcome.FINISHED, Outcome.DIVERGED}
# Not `lost`: a wave takes along whoever happens to be in it.
_FAILED = {Outcome.CRASHED, Outcome.TIMED_OUT}


def values_of(axis_values: Mapping[str, Any]) -> Values:
    """Axis values in a form that can be compared and counted."""
    return frozenset(
        (key, json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))
        for key, value in axis_values.items()
    )


@dataclass(frozen=True)
class Failure:
    """A run that failed, and after how many seconds."""

    values: Values
    wall_s: float


@dataclass(frozen=True)
class HeldValues:
    """Values whose runs wait behind all others: so many `failures`, all for the reason `said`."""

    values: Values
    failures: int
    said: str

    def __str__(self) -> str:
        return " and ".join(f"{key} = {_word(value)}" for key, value in sorted(self.values))

    @property
    def why(self) -> str:
        """The evidence, as a clause."""
        return f"{self.failures} with it {self.said}, and none has finished"


def _word(value: str) -> str:
    """A text without its quotes where nobody would miss them."""
    bare = value[1:-1]
    return bare if value[:1] == '"' and bare.isidentifier() else value


def bad_values(
    newest: Values,
    failures: Sequence[Failure],
    fine: Collection[Values],
    running: Collection[tuple[Values, float]],
    number: int,
) -> tuple[Values, int] | None:
    """The values that `number` failures or more share and no good run has, with how many fail.

    `failures` are those of one cause, the run with the values `newest` among them. `fine` are the
    values of runs that have finished, `running` those of runs under way with their ages in seconds:
    one that goes on for longer than the failures took is well.

    Single values are tried first, then pairs; that with the most failures wins. All that its
    failures have in common is returned, not it alone: in the order of a grid the first runs
    share several values, and which of them is to blame only later ones can show.
    """
    shared = [(failure.values & newest, failure.wall_s) for failure in failures]
    for size in range(1, _TOGETHER + 1):
        found: list[tuple[int, Values]] = []
        for chosen in map(frozenset, combinations(sorted(newest), size)):
            hit = [(values, wall_s) for values, wall_s in shared if chosen <= values]
            if len(hit) < number or any(chosen <= values for values in fine):
                continue
            longest = max(wall_s for _, wall_s in hit)
            if any(chosen <= values and age_s > longest for values, age_s in running):
                continue
            found.append((len(hit), frozenset.intersection(*(values for values, _ in hit))))
        if found:
            count, common = max(found, key=lambda item: item[0])
            return common, count
    return None


class BadValues:
    """Notes how runs end, and says which values are held back at the moment.

    `number` failures are needed; 0 holds nothing back. `proven` are axis values of runs that
    finished in earlier launches.
    """

    def __init__(self, number: int, proven: Iterable[Mapping[str, Any]] = ()) -> None:
        self._number = number
        self._fine = set(map(values_of, proven)) if number else set()
        self._failures: dict[tuple[str | None, ...], dict[str, Failure]] = {}
        self.held: tuple[HeldValues, ...] = ()

    def holds(self, values: Values) -> bool:
        """Whether a run with these values is held back."""
        return any(held.values <= values for held in self.held)

    def is_first(self, values: Values) -> bool:
        """Whether it is held back for the values that were found bad first."""
        return bool(self.held) and self.held[0].values <= values

    def note(
        self,
        run: str,
        values: Values,
        end: tuple[Outcome, Cause | None],
        wall_s: float,
        *,
        running: Collection[tuple[Values, float]],
        open_values: Iterable[Values],
    ) -> None:
        """A run has ended. `open_values` are those of the runs that wait or are under way."""
        outcome, cause = end
        if not self._number:
            return
        if outcome in PROVEN:
            self._fine.add(values)
            self.held = tuple(held for held in self.held if not held.values <= values)
        elif outcome in _FAILED and cause is not None and values:
            alike = self._failures.setdefault(likeness(outcome, cause, run), {})
            alike[run] = Failure(values, wall_s)
            if len(alike) >= self._number:
                found = bad_values(values, list(alike.values()), self._fine, running, self._number)
                if found is not None and self._leaves_others(found[0], open_values):
                    where = f" at {cause.place}" if cause.place else ""
                    said = f"have {outcome} alike ({cause.headline()}{where})"
                    self._hold(HeldValues(*found, said))

    def _leaves_others(self, bad: Values, open_values: Iterable[Values]) -> bool:
        """Whether there is any run without the bad values, to come or finished."""
        return any(not bad <= values for values in (*open_values, *self._fine))

    def _hold(self, new: HeldValues) -> None:
        """Hold back; what is found to be bad more generally takes the place of its parts."""
        before = list(self.held)
        parts = [index for index, held in enumerate(before) if new.values <= held.values]
        if parts:
            before[parts[0]] = new
            self.held = tuple(held for index, held in enumerate(before) if index not in parts[1:])
        elif not any(held.values <= new.values for held in before):
            self.held = (*before, new)
