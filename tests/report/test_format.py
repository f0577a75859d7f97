"""Numbers and names in tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.report.format import short_names, significant, value_text, with_spread


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.02345, "0.0234"),
        (2.3, "2.30"),
        (9.996, "10.0"),
        (517, "517"),
        (999.6, "1000"),
        (12345, "12300"),
        (1234567, "1.23e6"),
        (0.00012, "0.000120"),
        (0.0000123, "1.23e-5"),
        (-3.14159, "-3.14"),
        (0, "0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_three_significant_digits(number: float, text: str) -> None:
    assert significant(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 6))
def test_it_reads_back_to_the_rounded_number(number: float, digits: int) -> None:
    rounded = float(significant(number, digits))
    assert rounded == float(f"{number:.{digits - 1}e}")


def test_a_single_run_has_no_spread() -> None:
    assert with_spread(2.344, None) == "2.34"
    assert with_spread(2.344, 0.1234) == "2.34 ± 0.12"
    assert with_spread(2.0, 0.0) == "2.00 ± 0"


def test_values() -> None:
    assert value_text("tanh") == "tanh"
    assert value_text(0.001) == "0.001"
    assert value_text(18) == "18"
    assert value_text(None) == "null"
    assert value_text([[0.0, 0.1], [0, 1]]) == "[[0.0, 0.1], [0, 1]]"


@pytest.mark.parametrize(
    ("names", "short", "pattern"),
    [
        (["x_1_test/mean", "x_10_test/mean"], ["1", "10"], "x_{1,10}_test/mean"),
        (["x_10_test/mean", "x_10_test/sd"], ["mean", "sd"], "x_10_test/{mean,sd}"),
        (["x_1_test/mean", "x_fix_1_test/mean"], ["1", "fix_1"], "x_{1,fix_1}_test/mean"),
        (["loss", "percent"], ["loss", "percent"], None),
        (["x", "x_1"], ["x", "x_1"], None),
        (["x_1_test/mean"], ["x_1_test/mean"], None),
        ([], [], None),
    ],
)
def test_short_names(names: list[str], short: list[str], pattern: str | None) -> None:
    assert short_names(names) == (dict(zip(names, short, strict=True)), pattern)


parts = st.lists(st.sampled_from(["a", "b", "1"]), min_size=1, max_size=4).map("_".join)


@given(st.lists(st.builds("{}/{}".format, parts, parts), min_size=1, max_size=5, unique=True))
def test_short_names_are_unique_never_empty_and_fit_the_pattern(names: list[str]) -> None:
    short, pattern = short_names(names)
    assert len(set(short.values())) == len(names)
    assert all(short.values())
    if pattern:
        front, _, rest = pattern.partition("{")
        back = rest.rpartition("}")[2]
        assert [front + short[name] + back for name in names] == names
