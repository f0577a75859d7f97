"""`resources`, with durations and sizes as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeper.config import Resources, Sweep, duration_s, size_bytes

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]
NO_DURATION = "expected a duration (`10 min`, or a number of seconds) or null, got "
NO_SIZE = "expected a size (`2 GB`, or a number of bytes) or null, got "


def test_resources_of_a_sweep(sweep: Read) -> None:
    text = (
        "{cpus_per_run: 2, memory_per_run: 2 GB, timeout: 10 min, runs_per_wave: 500, retries: 1}"
    )
    assert sweep(f"resources: {text}").resources == Resources(2, 2 * 10**9, 600.0, 500, 1)


@pytest.mark.parametrize(
    "text", ["", "{}", "{runs_per_wave: auto, timeout: null, memory_per_run: ~}"]
)
def test_resources_left_out_are_the_defaults(sweep: Read, text: str) -> None:
    assert sweep(f"resources: {text}").resources == Resources(1, None, None, None, 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90 s", 90),
        ("90s", 90),
        ("10 min", 600),
        ("2 h", 7200),
        ("1 h 30 min", 5400),
        ("1.5 d", 129_600),
        ("2 Hours", 7200),
        (".5 m", 30),
    ],
)
def test_durations(sweep: Read, text: str, seconds: float) -> None:
    assert duration_s(text) == seconds
    assert sweep(f"resources: {{timeout: {text}}}").resources.timeout_s == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2 GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("2G", 2 * 2**30),
        ("512 mb", 512 * 10**6),
        ("1.5 kB", 1500),
        ("100 B", 100),
        ("1 TiB", 2**40),
    ],
)
def test_sizes(sweep: Read, text: str, size: int) -> None:
    assert size_bytes(text) == size
    assert sweep(f"resources: {{memory_per_run: {text}}}").resources.memory_per_run == size


def test_numbers_are_seconds_and_bytes(sweep: Read) -> None:
    found = sweep("resources: {timeout: 1.5, memory_per_run: 1e9}").resources
    assert (found.timeout_s, found.memory_per_run) == (1.5, 10**9)


@pytest.mark.parametrize(
    "text", ["", "10", "h", "10 parsecs", "1 h 2", "1 h, 2 min", "-1 s", "1e3 s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="numbers with units"):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "resources: expected a mapping"),
        ("{cpus: 2}", "resources.cpus: unknown key; did you mean `cpus_per_run`?"),
        ("{timeout_s: 2}", "resources.timeout_s: unknown key; did you mean `timeout`?"),
        ("{cpus_per_run: 0}", "resources.cpus_per_run: expected an integer ≥ 1"),
        ("{cpus_per_run: 1.5}", "resources.cpus_per_run: expected an integer ≥ 1"),
        ("{retries: -1}", "resources.retries: expected an integer ≥ 0"),
        ("{runs_per_wave: atuo}", "resources.runs_per_wave: expected an integer ≥ 1 or `auto`"),
        ("{timeout: 0}", f"resources.timeout: {NO_DURATION}"),
        ("{timeout: true}", f"resources.timeout: {NO_DURATION}"),
        ("{timeout: [1]}", f"resources.timeout: {NO_DURATION}"),
        ("{timeout: .inf}", f"resources.timeout: {NO_DURATION}"),
        ("{memory_per_run: 1.5}", f"resources.memory_per_run: {NO_SIZE}"),
        ("{memory_per_run: 2 h}", f"resources.memory_per_run: {NO_SIZE}"),
        ("{memory_per_run: 1 GB 2 MB}", f"resources.memory_per_run: {NO_SIZE}"),
    ],
)
def test_errors_of_resources(errors: Errors, text: str, message: str) -> None:
    (error,) = errors(f"resources: {text}")
    assert error[2].startswith(message)
