"""Axes among the entries of dictionaries; inside lists there are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeper.config import Sweep, plain, run_id

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("weights: {b: 1, a: [0.1, 0.2]}", "weights.a", [0.1, 0.2]),
        ("weights: {log: {log: [1, 100, 3]}}", "weights.log", [1.0, 10.0, 100.0]),
        ("weights: {log: [1, 2, 3]}", "weights.log", [1.0, 2.0, 3.0]),
        ("weights: {values: [{a: 1}, {a: 2}]}", "weights", [{"a": 1.0}, {"a": 2.0}]),
        ("maybe: {a: [1, 2]}", "maybe.a", [1.0, 2.0]),
        ("maybe: [null, {a: 1}]", "maybe", [None, {"a": 1.0}]),
        ("lists: {a: [[1], [2, 3]]}", "lists.a", [[1], [2, 3]]),
        ("parts: {x: {width: [3, 4]}, y: {}}", "parts.x.width", [3, 4]),
        ("nested: {u: {v: [1, 2], w: 3}}", "nested.u.v", [1, 2]),
    ],
)
def test_an_entry_that_does_not_fit_is_an_axis(
    sweep: Read, text: str, key: str, values: list[object]
) -> None:
    found = sweep(f"trainer: mapped_study\n{text}")
    assert [(axis.key, list(axis.plain_values)) for axis in found.axes] == [(key, values)]
    runs = list(found)
    # The ids are those of the configs, which are as if each had been written whole.
    assert [run.id for run in runs] == [run_id("mapped_study", plain(run.config)) for run in runs]


def test_entries_stay_in_the_order_of_the_file(sweep: Read) -> None:
    (first, _) = sweep("trainer: mapped_study\nweights: {b: 1, a: [0.1, 0.2], c: 3}")
    assert list(first.config.weights.items()) == [("b", 1.0), ("a", 0.1), ("c", 3.0)]


def test_a_list_that_fits_the_entry_stays_a_value(sweep: Read) -> None:
    (run,) = sweep("trainer: mapped_study\nlists: {a: [1, 2]}")
    assert run.config.lists == {"a": [1, 2]}


def test_conditions_zip_and_overrides_name_entries(sweep: Read) -> None:
    found = sweep(
        "trainer: mapped_study\nweights: {a: [1, 2], b: [3, 4]}\nzip: [a, weights.b]\n"
        "exclude: {weights.a: 1}"
    )
    assert [run.config.weights for run in found] == [{"a": 2.0, "b": 4.0}]
    (one, two) = sweep("trainer: mapped_study\nseed: 1", overrides=["weights.prior=5,6"])
    assert one.config.weights == {"data": 1.0, "prior": 5.0}
    assert two.config.weights == {"data": 1.0, "prior": 6.0}


@pytest.mark.parametrize(
    ("text", "col", "message"),
    [
        ("weights: {a: [0.1, x]}", 20, "weights.a: expected a number > 0, got `x`"),
        ("parts: {x: {widht: [3, 4]}}", 13, "parts.x.widht: unknown key; did you mean `width`?"),
        (
            "layers: [{width: [8, 16]}]",
            18,
            "layers[0].width: expected an integer, got a list of 2; for an axis write each value "
            "whole: `layers: [[{width: 8}], [{width: 16}]]`",
        ),
        (
            "layers: [{width: [8, 16, 32], act: elu}]",
            18,
            "layers[0].width: expected an integer, got a list of 3; for an axis write each value "
            "whole: `layers: [[{width: 8, act: elu}], [{width: 16, act: elu}], …]`",
        ),
        (
            "short: {a: [1, 2]}",
            12,
            "short.a: expected an integer, got a list of 2; for an axis write each value whole: "
            "`short: [{a: 1}, {a: 2}]`",
        ),
    ],
)
def test_errors_show_what_to_write(errors: Errors, text: str, col: int, message: str) -> None:
    assert errors(f"{text}\ntrainer: mapped_study") == [(1, col, message)]


def test_what_the_error_shows_is_an_axis(sweep: Read) -> None:
    found = sweep("trainer: mapped_study\nlayers: [[{width: 8}], [{width: 16}]]")
    assert [[layer.width for layer in run.config.layers] for run in found] == [[8], [16]]
