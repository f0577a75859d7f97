"""Numbers and names as tables and figures show them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sweeper.keys import value_key
from sweeper.suggest import counted

__all__ = [
    "NOTHING",
    "axis_words",
    "column_text",
    "distinct_heads",
    "earlier_runs",
    "exact_text",
    "part_words",
    "run_words",
    "short_names",
    "significant",
    "value_text",
    "with_spread",
]

NOTHING = "–"

_PARTS = re.compile(r"([/_])")


def significant(number: float, digits: int = 3) -> str:
    """``0.0234``, ``2.30``, ``517``, ``12300``, ``1.23e-5``: rounded to significant digits."""
    if not math.isfinite(number):
        return str(float(number))
    if number == 0:
        return "0"
    # Through text, as the exponent must be that of the rounded number: 9.996 is 10.0.
    mantissa, _, power = f"{number:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if -4 <= exponent < 6:
        return f"{float(f'{mantissa}e{power}'):.{max(digits - 1 - exponent, 0)}f}"
    return f"{mantissa}e{exponent}"


def with_spread(mean: float, spread: float | None) -> str:
    """``2.34 ± 0.12``: three digits of the mean, two of the spread; without one, the mean."""
    return (
        significant(mean)
        if spread is None
        else f"{significant(mean)} ± {significant(spread, digits=2)}"
    )


def value_text(value: Any) -> str:
    """The value of a parameter, short: text as it is, lists as JSON, numbers in full."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.12g}"
    return json.dumps(value, default=str, ensure_ascii=False)


def exact_text(value: Any) -> str:
    """The value of a parameter as JSON: a text in quotes, a float with every digit."""
    return NOTHING if value == NOTHING else json.dumps(value, default=str, ensure_ascii=False)


def column_text(
    values: Iterable[Any], short: Callable[[Any], str] = value_text
) -> Callable[[Any], str]:
    """How to write the values of one parameter: short, where no two of them look the same.

    Else, as with ``1`` and ``"1"``, or 0.3 and 0.1 + 0.2, exactly.
    """
    different = {value_key(value): short(value) for value in values}
    return short if len(set(different.values())) == len(different) else exact_text


def short_names(names: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """What distinguishes `names`, and the pattern that they share, if they share anything.

    ``x_1_test/mean`` and ``x_10_test/mean`` become ``1`` and ``10`` of ``x_{1,10}_test/mean``.
    Only whole parts between ``/`` and ``_`` are cut, and no name becomes empty.
    """
    split = [_PARTS.split(name) for name in names]
    if len(set(names)) < 2:
        return {name: name for name in names}, None
    room = min(map(len, split)) - 1
    front = _common(split, room)
    back = _common([parts[::-1] for parts in split], room - front)
    # Never cut between a part and its separator: `_1` would be left of `x_1`.
    front -= front % 2
    back -= back % 2
    if not front and not back:
        return {name: name for name in names}, None
    cut = {
        name: "".join(parts[front : len(parts) - back])
        for name, parts in zip(names, split, strict=True)
    }
    first = split[0]
    differing = f"{{{','.join(cut.values())}}}"
    return cut, "".join([*first[:front], differing, *first[len(first) - back :]])


def _common(split: Sequence[Sequence[str]], most: int) -> int:
    """How many parts, at most `most`, are the same at the beginning of all."""
    count = 0
    while count < most and len({parts[count] for parts in split}) == 1:
        count += 1
    return count


def distinct_heads(heads: Sequence[tuple[str, str]]) -> list[str]:
    """Names of columns, given with what they are; no two of those returned are the same.

    A ``parameter`` keeps its name, which readers look for; any other column whose name is taken
    says what it is: ``loss (metric)``.
    """
    taken = {name for name, what in heads if what == "parameter"}
    distinct = []
    for name, what in heads:
        head, number = name, 1
        while what != "parameter" and head in taken:
            head = f"{name} ({what})" if number == 1 else f"{name} ({what} {number})"
            number += 1
        taken.add(head)
        distinct.append(head)
    return distinct


def earlier_runs(count: int) -> str:
    """That a group holds runs which its sweep, as it was last launched, doesn't have."""
    return f"{count} more {'run' if count == 1 else 'runs'} from earlier files"


def part_words(answer: Mapping[str, Any], count: int) -> str | None:
    """``12 of 36 runs, where activation = tanh``: of how many an answer speaks; None for all.

    `count` is how many they are; `chosen_of`, `where` and `limit` are in the answer.
    """
    if answer.get("chosen_of") is None:
        return None
    first = "the first " if count == answer["limit"] else ""
    words = f"{first}{count} of {counted(answer['chosen_of'], 'run')}"
    if not answer["where"]:
        return words
    from sweeper.config.where import where_words  # brings the YAML reader along

    return f"{words}, where {where_words(answer['where'])}"


def run_words(run_id: str, name: str | None) -> str:
    """A run's id, and its name where it has one: ``k3f9x2qa7m (tanh-64)``."""
    return f"{run_id} ({name})" if name else run_id


def axis_words(axis_values: Mapping[str, Any]) -> str:
    """``activation=tanh seed=1``: a run's axis values with the last part of each key."""
    return " ".join(
        f"{key.rpartition('.')[2]}={value_text(value)}" for key, value in axis_values.items()
    )
