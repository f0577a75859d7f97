"""Why runs ended badly: causes, and what the runs of each have that the others don't."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from sweeper.diagnosis.beam_search import is_weak
from sweeper.diagnosis.bitmasks import Points, mask_of
from sweeper.diagnosis.exact import separate
from sweeper.diagnosis.failure_groups import CauseGroup, by_cause
from sweeper.diagnosis.rules import MOST_ATOMS, Atom, Condition
from sweeper.records import GroupFolder, Outcome, crashed, snapshot
from sweeper.records.layout import is_run_id
from sweeper.records.lookup import run_name
from sweeper.records.parameters import ABSENT, varying_values
from sweeper.records.queries import BadEnd, doubts
from sweeper.records.state import INTERRUPTED, STANDINGS, WORTH_RETRYING, RunState
from sweeper.trainer import DEFAULT_TRAINER

__all__ = [
    "EXACT_SOUGHT",
    "TENDENCIES_SOUGHT",
    "VALUES_SHOWN",
    "condition_text",
    "crash_groups",
    "explained",
]

# With more causes than a person reads, conditions are sought for those with the most runs. An
# approximate one takes about 0.1 s for 6,000 runs.
EXACT_SOUGHT, TENDENCIES_SOUGHT = 100, 20
VALUES_SHOWN = 8

# Ended from outside: which runs these are was decided by the moment, not by their parameters.
_BY_THE_MOMENT = frozenset({Outcome.STOPPED, INTERRUPTED})
_ENDED_BY_THEMSELVES = (Outcome.DIVERGED, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.LOST)
_PLAIN_WORD = re.compile(r"[^\W\d][\w.+/-]*")
_WORDS_OF_YAML = {"true", "false", "null"}


def crash_groups(folder: GroupFolder, *, everything: bool = False) -> dict[str, Any]:
    """Every run without a good outcome, and why, for `sweep crashed`.

    It speaks of the sweep as it was last launched, or with `everything` of all runs of the group.
    Returns `group`, `trainer` (None for the default one), `causes` (see `explained`), `runs`
    (those of `records.crashed` as mappings), both of the same moment, `earlier` (how many runs of
    earlier sweep files are left out), and what works next: `show` and `rerun` name a run for these
    commands, `retry` says whether that has anything to do. `in_doubt` are launches of which this
    host can't tell whether they live (see `records.queries.doubts`). Raises `RecordError` for a
    group without records.
    """
    seen = snapshot(folder)
    found = seen.state
    state = found if everything else found.as_planned()
    runs = crashed(folder, state)
    causes = explained(by_cause(runs), list(state.runs.values()))
    last = state.last_training
    trainer = last.trainer if last else None
    return {
        "group": folder.group,
        "trainer": None if trainer == DEFAULT_TRAINER else trainer,
        "causes": causes,
        "runs": [run.plain() for run in runs],
        "in_doubt": doubts(seen),
        "earlier": 0 if everything else len(found.earlier),
        **_next(folder, causes, runs, found.earlier),
    }


def _next(
    folder: GroupFolder,
    causes: Sequence[Mapping[str, Any]],
    runs: Sequence[BadEnd],
    earlier: Collection[str],
) -> dict[str, Any]:
    """The runs to look at first, and whether a retry would find anything.

    It leaves alone the runs of `earlier` sweep files.
    """
    examples = [cause["example"] for cause in causes]
    outcomes = {run.id: run.outcome for run in runs}
    again = (
        run for run in examples if outcomes[run] != Outcome.INVALID and _has_config(folder, run)
    )
    rerun = next(again, None)
    return {
        "show": run_name(folder, examples[0]) if examples else None,
        "rerun": None if rerun is None else run_name(folder, rerun),
        "retry": any(
            run.outcome in WORTH_RETRYING and run.id not in earlier and _has_config(folder, run.id)
            for run in runs
        ),
    }


def _has_config(folder: GroupFolder, run: str) -> bool:
    return is_run_id(run) and folder.run(run).config_file.exists()


def explained(causes: Sequence[CauseGroup], runs: Sequence[RunState]) -> list[dict[str, Any]]:
    """Each cause with the shortest condition that separates its runs from the others.

    `runs` are all runs of the group. The others are the finished ones, or while none has finished
    those that ended for another cause. For what the check before the start found, they are all runs
    that passed it.

    Returns for each cause `outcome`, `kind`, `type`, `message`, `place`, `runs` (how many), `ids`,
    `example` (the first of them that the condition holds for), `condition`, and `note`, which says
    why there is no condition, or what to think of it: whether it is weak, and how likely by chance.
    A condition has `atoms` (each with `axis`, `relation`, `values`; none if there are no others, so
    that it is every run), `text`, `crashed_in` (runs of this cause under it) of `total_in`,
    `crashed_out` of `total_out` (those not under it), `exact`, and `chance` (see `Condition`).
    """
    places = {run.id: place for place, run in enumerate(runs)}
    points = Points(varying_values(runs))
    names = _names(points)
    standings = _by_standing(runs)
    found = []
    for rank, cause in enumerate(causes):
        bad = mask_of((places[run] for run in cause.runs), len(runs))
        others = _others(cause, standings) & ~bad
        condition, note, searched = None, None, rank < TENDENCIES_SOUGHT
        if cause.outcome in _BY_THE_MOMENT:
            note = "the moment decided which runs it hit, not their parameters"
        elif rank >= EXACT_SOUGHT:
            note = f"only the {EXACT_SOUGHT} causes with the most runs are examined"
        else:
            condition = separate(points, bad, others, approximate=searched, weak=True)
            note = _note(condition, others.bit_count(), searched=searched)
        typical = bad & condition.runs if condition else bad
        found.append(
            {
                "outcome": cause.outcome,
                "kind": cause.kind,
                "type": cause.type,
                "message": cause.message,
                "place": cause.place,
                "runs": len(cause.runs),
                "ids": list(cause.runs),
                "example": next(run for run in cause.runs if typical >> places[run] & 1),
                "condition": condition and _plain(condition, names),
                "note": note,
            }
        )
    return found


def _note(condition: Condition | None, others: int, *, searched: bool) -> str | None:
    if condition is None and searched:
        return f"none: they have every parameter's values as often as the {others} others have them"
    if condition is None:
        return f"no condition on up to {MOST_ATOMS} parameters separates them exactly"
    if condition.atoms and is_weak(condition):
        share = f" in up to {condition.chance:.2g} of cases" if condition.chance < 0.5 else ""
        return f"weak: chance alone does as well{share}"
    return None if condition.exact else "a tendency, found by a heuristic"


def _names(points: Points) -> Mapping[str, str]:
    """For each axis the shortest ending of its key that no other axis has."""
    from sweeper.keys import labels  # brings the YAML reader along

    return labels([axis.key for axis in points.axes])


def _by_standing(runs: Sequence[RunState]) -> dict[str, int]:
    """The runs of each standing, as bits; none for a standing that nobody has."""
    places: dict[str, list[int]] = {standing: [] for standing in STANDINGS}
    for place, run in enumerate(runs):
        places[run.standing].append(place)
    return {standing: mask_of(members, len(runs)) for standing, members in places.items()}


def _others(cause: CauseGroup, standings: Mapping[str, int]) -> int:
    """The runs that the cause could have hit and didn't, perhaps with some that it hit."""
    if cause.outcome == Outcome.INVALID:
        chosen = [standing for standing in standings if standing != Outcome.INVALID]
    elif standings[Outcome.FINISHED]:
        chosen = [Outcome.FINISHED]
    else:
        chosen = [*_ENDED_BY_THEMSELVES]
    return reduce(or_, (standings[standing] for standing in chosen), 0)


def _plain(condition: Condition, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "atoms": [
            {
                "axis": atom.axis,
                "relation": atom.relation,
                "values": [None if value is ABSENT else value for value in atom.values],
            }
            for atom in condition.atoms
        ],
        "text": _text(condition, names) or "every run that has ended",
        "crashed_in": condition.bad_in,
        "total_in": condition.total_in,
        "crashed_out": condition.bad_out,
        "total_out": condition.total_out,
        "exact": condition.exact,
        "chance": condition.chance,
    }


def condition_text(condition: Condition, points: Points) -> str:
    """The atoms of a condition on `points` as people read them; empty if it has none."""
    return _text(condition, _names(points))


def _text(condition: Condition, names: Mapping[str, str]) -> str:
    return " and ".join(_atom_text(atom, names) for atom in condition.atoms)


def _atom_text(atom: Atom, names: Mapping[str, str]) -> str:
    words = [_word(value) for value in atom.values[:VALUES_SHOWN]]
    more = len(atom.values) - VALUES_SHOWN
    if more > 0:
        words.append(f"… ({more} more)")
    listed = ", ".join(words)
    return f"{names[atom.axis]} {atom.relation} " + (
        f"{{{listed}}}" if atom.relation == "in" else listed
    )


def _word(value: Any) -> str:
    """A value as a sweep file has it; a dash for runs without the parameter."""
    if value is ABSENT:
        return "–"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value not in _WORDS_OF_YAML:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
