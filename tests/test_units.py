"""Sizes and durations as people read them."""

from __future__ import annotations

import pytest

from sweeper.units import duration, size, size_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (300 * 1024, "300 KiB"),
        (64 * 1024**2, "64 MiB"),
        (2 * 10**9, "1.9 GiB"),
        (2 * 1024**3, "2 GiB"),
        (3 * 1024**4 // 2, "1.5 TiB"),
    ],
)
def test_sizes_are_printed_in_units_of_1024(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize("text", ["1 KiB", "64 MiB", "2 GiB", "1.5 GiB", "3 TiB"])
def test_a_printed_size_reads_back(text: str) -> None:
    assert size(size_bytes(text)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (95.0, "1 min 35 s"), (3600.0, "1 h"), (float("inf"), "unknown")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
