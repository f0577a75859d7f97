"""Ranges for scalar fields: `log`, `linspace`, `range` and `values`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.config import Sweep
from sweeper.config.problems import Report
from sweeper.config.ranges import range_of, spread
from sweeper.config.yaml_nodes import parse

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]


def values(text: str) -> list[object]:
    """The values of a range as it stands in a file, of the types that the file would give them."""
    root = parse(f"x: {text}", Report("some.yaml"))
    assert root is not None
    entry = range_of(root.entries[0].value)
    assert entry is not None
    return [getattr(node, "value", node) for node in spread(entry, "x")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{log: [1e-4, 1e-1, 4]}", [1e-4, 1e-3, 1e-2, 1e-1]),
        ("{log: [1, 1000, 4]}", [1, 10, 100, 1000]),
        ("{log: [1e-1, 1e-3, 3]}", [0.1, 0.01, 0.001]),
        ("{log: [1, 100, 4]}", [1, 4.64158883361278, 21.5443469003188, 100]),
        ("{log: [5, 7, 1]}", [5]),
        ("{linspace: [0, 1, 5]}", [0, 0.25, 0.5, 0.75, 1]),
        ("{linspace: [0, 0.3, 4]}", [0, 0.1, 0.2, 0.3]),
        ("{linspace: [0, 1, 4]}", [0, 0.333333333333333, 0.666666666666667, 1]),
        ("{linspace: [1, -1, 3]}", [1, 0, -1]),
        ("{range: [4, 20, 4]}", [4, 8, 12, 16]),
        ("{range: [0, 0.4, 0.1]}", [0, 0.1, 0.2, 0.3]),
        ("{range: [2, 5]}", [2, 3, 4]),
        ("{range: [3, 0, -1]}", [3, 2, 1]),
        ("{range: [0x10, 1_000, 500]}", [16, 516]),
        ("{values: [tanh, 3]}", ["tanh", 3]),
    ],
)
def test_values_are_those_that_a_person_would_write(text: str, expected: list[object]) -> None:
    found = values(text)
    assert [repr(value) for value in found] == [repr(value) for value in expected]


@given(
    start=st.decimals("-1e6", "1e6", places=3),
    stop=st.decimals("-1e6", "1e6", places=3),
    count=st.integers(2, 50),
)
def test_ends_of_linspace_are_exact_and_no_value_is_longer_than_15_digits(
    start: Decimal, stop: Decimal, count: int
) -> None:
    found = values(f"{{linspace: [{start}, {stop}, {count}]}}")
    assert len(found) == count
    assert (found[0], found[-1]) == (float(start), float(stop))
    assert max(len(Decimal(repr(value)).as_tuple().digits) for value in found) <= 16


def test_a_range_makes_the_runs_of_the_list_that_it_stands_for(sweep: Read) -> None:
    short = sweep(
        """
        parameters:
          mse_weight: {log: [1e-3, 10, 5]}
          width: {range: [8, 33, 8]}
          depth: [1, {values: [2, 3, 4]}]
          optimiser: {values: [adam, {name: sgd, momentum: 0}]}
        zip: [width, depth]
        exclude: {mse_weight: {values: [0.01, 1]}, optimiser.name: sgd}
        seeds: {range: [3, 5]}
        """
    )
    long = sweep(
        """
        parameters:
          mse_weight: [0.001, 0.01, 0.1, 1, 10]
          width: [8, 16, 24, 32]
          depth: [1, 2, 3, 4]
          optimiser: [adam, {name: sgd, momentum: 0}]
        zip: [width, depth]
        exclude: {mse_weight: [0.01, 1], optimiser.name: sgd}
        seeds: [3, 4]
        """
    )
    assert [run.id for run in short] == [run.id for run in long]
    assert short.count() == 5 * 4 * 2 * 2 - 2 * 4 * 2


@pytest.mark.parametrize(
    ("text", "col", "message"),
    [
        ("width: {linspce: [1, 2, 3]}", 8, "got a mapping; did you mean `linspace`?"),
        ("width: {choice: [1, 2]}", 8, "got a mapping; did you mean `values`?"),
        ("width: {value: 3}", 8, "got a mapping; write the value itself, without `value`"),
        (
            "width: {log: [1, 2, 3], base: 2}",
            8,
            "got a mapping; a range is a mapping with nothing beside `log`",
        ),
        (
            "width: {log: [1, 1000, 5]}",
            14,
            "but `log` gives 5.62341325190349, 31.6227766016838, 177.827941003892 (3 of its 5 "
            "values); rounded: `{values: [1, 6, 32, 178, 1000]}`",
        ),
        ("width: {range: [-1, 3]}", 16, "but `range` gives -1, 0 (2 of its 4 values)"),
        ("width: {log: [0, 8, 3]}", 15, "expected a number > 0, got 0: equal ratios never reach"),
        ("width: {range: [4, 2]}", 16, "no value: a step of 1 goes up, from 4 never to 2"),
        ("width: {range: [4, 20, 0]}", 24, "`range`: the step must not be 0"),
        ("width: {range: [0, 1e300]}", 16, "`range`: 1e+300 values, more than 100000"),
        ("width: {linspace: [1, 2]}", 19, "such as `{linspace: [0, 1, 5]}`, not a list of 2"),
        ("width: {log: [1, two, 3]}", 18, "`log`: expected a finite number, got `two`"),
        ("width: {log: [1, .inf, 3]}", 18, "`log`: expected a finite number, got the number .inf"),
        ("width: {log: [1, 2, 0.5]}", 21, "how many values (1 to 100000), got the number 0.5"),
        ("width: {values: []}", 17, "such as `{values: [1, 2, 5]}`, not an empty list"),
        ("width: {values: [1, x]}", 21, "expected an integer > 0, got `x`"),
    ],
)
def test_a_bad_range_is_one_error_that_says_what_to_write(
    errors: Errors, text: str, col: int, message: str
) -> None:
    ((line, found_col, said),) = errors(f"parameters:\n {text}")
    assert (line, found_col, said.startswith("parameters.width: ")) == (2, col + 1, True)
    assert message in said


def test_a_mapping_that_fits_the_field_itself_stays_a_value(tmp_path: Path, sweep: Read) -> None:
    (tmp_path / "ranged_study.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from typing import Any\n"
        "@dataclass(frozen=True)\n"
        "class Log:\n"
        "    log: float = 0.0\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    anything: Any = None\n"
        "    words: dict[str, list[int]] = field(default_factory=dict)\n"
        "    section: Log = Log()\n"
        "def train(configs, runs): ...\n"
    )
    found = sweep(
        """
        trainer: ranged_study
        anything: {log: [1, 10, 2]}
        words: {values: [1, 2]}
        section: {log: [1, 2]}
        """,
        folder=tmp_path / "in",
        search=[tmp_path],
    )
    assert [axis.key for axis in found.axes] == ["section.log"]
    assert found.fixed == {"anything": {"log": [1, 10, 2]}, "words": {"values": [1, 2]}}


def test_a_default_has_no_range(errors: Errors, tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text(
        "trainer: orbit_study\nparameters: {width: {range: [8, 33, 8]}}\n"
    )
    assert errors("parameters: {depth: 1}", folder=tmp_path / "sweeps") == [
        (2, 21, "parameters.width: a default has one value, not 4")
    ]
