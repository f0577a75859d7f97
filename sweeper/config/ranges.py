"""Ranges, `{log: [1e-4, 1e-1, 4]}`: several values of a scalar field in a few words.

They are computed in decimals from the numbers as they were written, so that decades are exact and
no value (and no run's id) has the noise of binary fractions, such as 0.30000000000000004.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import Context, Decimal, localcontext
from fractions import Fraction

from sweeper.config.field_types import Misfit, MisfitError, got
from sweeper.config.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode, flow
from sweeper.errors import Mark
from sweeper.suggest import meant, shown

__all__ = ["RANGES", "range_hint", "range_of", "spread", "unfit_range", "written_out"]

# What each takes, as messages say it.
RANGES = {
    "log": "[start, stop, count], such as `{log: [1e-4, 1e-1, 4]}`",
    "linspace": "[start, stop, count], such as `{linspace: [0, 1, 5]}`",
    "range": "[start, stop] or [start, stop, step], such as `{range: [4, 20, 4]}`; "
    "stop itself is left out",
    "values": "a list of values, such as `{values: [1, 2, 5]}`",
}
# What other tools call them.
_ALSO = {
    "logspace": "log",
    "geomspace": "log",
    "lin": "linspace",
    "linear": "linspace",
    "arange": "range",
    "choice": "values",
    "choices": "values",
    "grid_search": "values",
}

# Each value is held in memory; more of them are a mistake.
MAX_VALUES = 100_000
# Doubles keep 15 decimal digits, so a value of at most so many reads back as it is shown.
_ROUNDED = Context(prec=15)
# Enough that no error of the computation reaches the 15 digits.
_WORKING_DIGITS = 60
# Longer numbers are taken as the nearest double, so that no text makes an endless computation.
_LONGEST_NUMBER = 40
MOST_SHOWN = 10
MOST_WRITTEN = 2
LONGEST_WRITTEN = 80


def range_of(node: Node) -> Entry | None:
    """The one entry of a range, `log: […]`; None for everything else."""
    if isinstance(node, MappingNode) and len(node.entries) == 1 and node.entries[0].key in RANGES:
        return node.entries[0]
    return None


def range_hint(node: MappingNode) -> str:
    """The ending of a message on a mapping where a scalar belongs: the range that was meant."""
    keys = [entry.key for entry in node.entries]
    known = [key for key in keys if key in RANGES]
    if known:
        return f"; a range is a mapping with nothing beside `{known[0]}`"
    if {"min", "max"} <= set(keys):
        return "; a range is written `{linspace: [0, 1, 5]}` or `{log: [1e-4, 1e-1, 4]}`"
    if len(keys) != 1:
        return ""
    if keys[0] == "value":
        return "; write the value itself, without `value`"
    also = _ALSO.get(keys[0].lower())
    return f"; did you mean `{also}`?" if also else meant(keys[0], RANGES)


def spread(entry: Entry, key: str) -> list[Node]:
    """The values of a range, one node each, in the order of the range. Raises `MisfitError`."""
    node = entry.value
    takes = f"`{entry.key}` takes {RANGES[entry.key]}"
    if not isinstance(node, ListNode):
        raise _misfit(node.mark, key, f"{takes}, not {got(node)}")
    if entry.key == "values":
        if not node.items:
            raise _misfit(node.mark, key, f"{takes}, not an empty list")
        return list(node.items)
    wanted = (2, 3) if entry.key == "range" else (3,)
    if len(node.items) not in wanted:
        raise _misfit(node.mark, key, f"{takes}, not {got(node)}")
    numbers = [_number(item, key, entry.key) for item in node.items]
    if entry.key == "range":
        found = _steps(numbers[0], numbers[1], numbers[2] if numbers[2:] else Decimal(1), node, key)
    else:
        count = _count(node.items[2], key, entry.key)
        make = _powers if entry.key == "log" else _even
        found = make(numbers[0], numbers[1], count, node, key)
    return [_scalar(number, node.mark) for number in found]


def unfit_range(error: MisfitError, entry: Entry, nodes: list[Node]) -> MisfitError:
    """The errors of a range's values as one, which says the values that don't fit.

    Where whole numbers are expected and others came out, it shows the rounded list to write.
    """
    first = error.misfits[0]
    if entry.key == "values" or not first.expected:
        return error
    bad = [misfit.got.removeprefix("the number ") for misfit in error.misfits]
    said = ", ".join(bad[:MOST_SHOWN]) + (", …" if len(bad) > MOST_SHOWN else "")
    text = f"expected {first.expected}, but `{entry.key}` gives {said}"
    if len(bad) > 1:
        text += f" ({len(bad)} of its {len(nodes)} values)"
    numbers = [float(node.text) for node in nodes if isinstance(node, ScalarNode)]
    fractions = {str(number) for number in numbers if not number.is_integer()}
    whole = first.expected.startswith("an integer") and fractions.issuperset(bad)
    if whole and len(numbers) <= 2 * MOST_SHOWN:
        rounded = ", ".join(dict.fromkeys(str(round(number)) for number in numbers))
        text += f"; rounded: `{{values: [{rounded}]}}`"
    return MisfitError([Misfit(first.mark, first.key, text)])


def written_out(node: Node, mark: Mark, key: str) -> str:
    """The ending of a message on a list inside a value, where an axis was meant.

    There are no axes inside a list: it shows the whole value once for each item of the list at
    `mark`. Empty where that would be too long to read.
    """
    found = _at(node, mark)
    if found is None or len(found.items) < 2:
        return ""
    wholes = [flow(_with(node, mark, item)) for item in found.items[:MOST_WRITTEN]]
    rest = ", …" if len(found.items) > MOST_WRITTEN else ""
    text = f"{key.rpartition('.')[2]}: [{', '.join(wholes)}{rest}]"
    return f"; for an axis write each value whole: `{text}`" if len(text) <= LONGEST_WRITTEN else ""


def _at(node: Node, mark: Mark) -> ListNode | None:
    """The list at a place in a tree."""
    if isinstance(node, ScalarNode):
        return None
    if isinstance(node, ListNode) and node.mark == mark:
        return node
    below = node.items if isinstance(node, ListNode) else [entry.value for entry in node.entries]
    return next((found for inner in below if (found := _at(inner, mark)) is not None), None)


def _with(node: Node, mark: Mark, item: Node) -> Node:
    """The tree with an item in place of the list at a mark."""
    if isinstance(node, ListNode):
        if node.mark == mark:
            return item
        return replace(node, items=tuple(_with(inner, mark, item) for inner in node.items))
    if isinstance(node, MappingNode):
        entries = (replace(one, value=_with(one.value, mark, item)) for one in node.entries)
        return replace(node, entries=tuple(entries))
    return node


def _misfit(mark: Mark, key: str, text: str) -> MisfitError:
    return MisfitError([Misfit(mark, key, text)])


def _number(node: Node, key: str, word: str) -> Decimal:
    """The number as it was written, not as the nearest binary fraction."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(node, ScalarNode) and not isinstance(value, bool):
        try:
            if isinstance(value, int | float) and math.isfinite(value):
                return _decimal(value, node.text)
        except OverflowError:
            pass
    raise _misfit(node.mark, key, f"`{word}`: expected a finite number, got {shown(got(node))}")


def _decimal(value: int | float, text: str) -> Decimal:
    nearest = float(value)  # OverflowError for what no field holds
    if not nearest:
        return Decimal(0)
    if len(text) > _LONGEST_NUMBER:
        return Decimal(repr(nearest))
    return Decimal(value) if isinstance(value, int) else Decimal(text.replace("_", ""))


def _count(node: Node, key: str, word: str) -> int:
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_VALUES:
        text = f"`{word}`: expected how many values (1 to {MAX_VALUES}), got {got(node)}"
        raise _misfit(node.mark, key, text)
    return value


def _steps(
    start: Decimal, stop: Decimal, step: Decimal, node: ListNode, key: str
) -> Iterator[Decimal]:
    """start, start + step, … without stop, as Python's `range`."""
    if not step:
        raise _misfit(node.items[-1].mark, key, "`range`: the step must not be 0")
    count = math.ceil((Fraction(stop) - Fraction(start)) / Fraction(step))
    if count < 1:
        way = "up" if step > 0 else "down"
        text = f"`range`: no value: a step of {step} goes {way}, from {start} never to {stop}"
        raise _misfit(node.mark, key, text)
    if count > MAX_VALUES:
        raise _misfit(node.mark, key, f"`range`: {count:.6g} values, more than {MAX_VALUES}")
    with localcontext(prec=_WORKING_DIGITS):
        return iter([start + number * step for number in range(count)])


def _even(
    start: Decimal, stop: Decimal, count: int, _node: ListNode, _key: str
) -> Iterator[Decimal]:
    """Evenly from start to stop, both exactly as written."""
    first, last = Fraction(start), Fraction(stop)
    for number in range(count):
        if number in (0, count - 1):
            yield stop if number else start
            continue
        exact = first + (last - first) * number / (count - 1)
        yield _ROUNDED.divide(Decimal(exact.numerator), Decimal(exact.denominator))


def _powers(
    start: Decimal, stop: Decimal, count: int, node: ListNode, key: str
) -> Iterator[Decimal]:
    """With equal ratios from start to stop, both exactly as written."""
    for number, item in ((start, node.items[0]), (stop, node.items[1])):
        if number <= 0:
            text = f"`log`: expected a number > 0, got {number}: equal ratios never reach it"
            raise _misfit(item.mark, key, text)
    found = [start]
    with localcontext(prec=_WORKING_DIGITS):
        ratio = (stop / start) ** (Decimal(1) / max(1, count - 1))
        exact = start
        for _ in range(count - 2):
            exact *= ratio
            found.append(_ROUNDED.plus(exact))
    return iter([*found, stop][:count])


def _scalar(number: Decimal, mark: Mark) -> ScalarNode:
    """A number as if the file had it there; whole ones as integers."""
    whole = number == number.to_integral_value() and abs(number) < 10**15
    value = int(number) if whole else float(number)
    return ScalarNode(value, repr(value), True, mark)
