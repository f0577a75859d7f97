"""`seeds`, `zip`, `exclude` and `only`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweeper.config import Sweep

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]


def points(sweep: Sweep) -> list[tuple[Any, ...]]:
    return [tuple(run.axis_values.values()) for run in sweep]


def test_the_first_axis_changes_slowest_and_seeds_fastest(sweep: Read) -> None:
    found = sweep("seeds: 2\nparameters: {depth: [4, 2], width: [8, 16]}")
    assert points(found) == [
        (depth, width, seed) for depth in (4, 2) for width in (8, 16) for seed in (0, 1)
    ]
    assert found.axes[-1].key == "parameters.seed"
    assert [run.config.parameters.seed for run in found] == [0, 1] * 4


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("5", [0, 1, 2, 3, 4]), ("[0, 1, 7]", [0, 1, 7]), ("[7]", [7]), ("1", [0])],
)
def test_seeds_are_a_number_or_a_list(sweep: Read, text: str, seeds: list[int]) -> None:
    found = sweep(f"seeds: {text}")
    assert [run.config.parameters.seed for run in found] == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: 0", "seeds: expected how many seeds"),
        ("seeds: -1", "seeds: expected how many seeds"),
        ("seeds: true", "seeds: expected how many seeds"),
        ("seeds: many", "seeds: expected how many seeds"),
        ("seeds: 1.5", "seeds: expected how many seeds"),
        ("seeds: 10000000", "seeds: expected how many seeds (1 to 100000"),
        ("seeds:", "seeds: expected how many seeds"),
        ("seeds: []", "seeds: an empty list"),
        ("seeds: [1, a]", "seeds: expected an integer, got `a`"),
        ("parameters: {seed: 1}\nseeds: 2", "seeds: `parameters.seed` is given too, on line 1"),
        (
            "trainer: strict_study\nsteps: 1\nmodel: {width: 2}\nseeds: 2",
            "seeds: could fill `model.seed`, `bounds.seed`",
        ),
        ("trainer: seedless_study\nseeds: 2", "seeds: the config has no field `seed`"),
    ],
)
def test_errors_of_seeds(errors: Errors, text: str, message: str) -> None:
    (error,) = errors(text)
    assert error[2].startswith(message)


def test_zipped_axes_move_together_at_the_place_of_the_first(sweep: Read) -> None:
    found = sweep(
        """
        parameters:
          width: [8, 16]
          activation: [tanh, gelu]
          depth: [1, 2]
        zip: [depth, width]
        """
    )
    assert found.zipped == (("parameters.width", "parameters.depth"),)
    assert found.grid_size() == 4
    assert points(found) == [
        (8, "tanh", 1),
        (8, "gelu", 1),
        (16, "tanh", 2),
        (16, "gelu", 2),
    ]


def test_a_zipped_axis_may_repeat_values_but_no_row(sweep: Read) -> None:
    found = sweep("parameters: {width: [8, 8, 16, 8], depth: [1, 2, 1, 1]}\nzip: [[width, depth]]")
    assert points(found) == [(8, 1), (8, 2), (16, 1)]
    assert found.axes[0].values == (8, 8, 16)
    (warning,) = found.warnings
    assert "`parameters.width` and `parameters.depth`: value 4 repeats value 1" in warning.message


def test_zipping_single_values_changes_nothing(sweep: Read) -> None:
    found = sweep("parameters: {width: [8], depth: 2, batch_size: [1, 2]}\nzip: [width, depth]")
    assert (found.count(), found.zipped) == (2, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zip: [width, depth]", "zip: `width` has 2 values and `depth` has 3 values"),
        ("zip: [width, batch_size]", "zip: `width` has 2 values and `batch_size` has 1 value:"),
        ("zip: [width]", "zip: a group needs at least two keys"),
        ("zip: []", "zip: a group needs at least two keys"),
        ("zip: width", "zip: expected a list of keys"),
        (
            "zip: [width, [depth, seed]]",
            "zip: expected a list of keys, or a list of lists of keys, not both",
        ),
        ("zip: [width, 3]", "zip: expected the key of an axis"),
        ("zip: [width, wdith]", "zip: `wdith` is not a key of the config; did you mean `width`?"),
        ("zip: [[width, clip], [clip, width]]", "zip: `parameters.clip` is zipped twice"),
        ("zip: [width, seeds]", "zip: `seeds` can't be zipped"),
        ("zip: [width, optimiser.name]", "zip: `optimiser.name` is part of the axis"),
    ],
)
def test_errors_of_zip(errors: Errors, text: str, message: str) -> None:
    (error,) = errors(
        "parameters: {width: [8, 16], depth: [1, 2, 3], clip: [1, 2], optimiser: [adam, sgd]}\n"
        + text
    )
    assert error[0] == 2
    assert error[2].startswith(message)


AXES = "parameters: {activation: [tanh, gelu], width: [8, 16], rtol: [1, 0.5], clip: 2}\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("exclude: {activation: tanh}", lambda a, w, r: a != "tanh"),
        ("exclude: {activation: tanh, width: 8}", lambda a, w, r: (a, w) != ("tanh", 8)),
        ("exclude: [{activation: tanh}, {width: 8}]", lambda a, w, r: a != "tanh" and w != 8),
        ("exclude: {parameters.width: [8]}", lambda a, w, r: w != 8),
        ("exclude: {width: 8, rtol: [1, 0.5]}", lambda a, w, r: w != 8),
        # An integer in the file equals the float of the field.
        ("exclude: {rtol: 1}", lambda a, w, r: r != 1.0),
        ("exclude: {rtol: 1.0}", lambda a, w, r: r != 1.0),
        ("only: {activation: tanh}", lambda a, w, r: a == "tanh"),
        ("only: [{activation: tanh}, {width: 8}]", lambda a, w, r: a == "tanh" or w == 8),
        (
            "only: {activation: tanh}\nexclude: {width: 8}",
            lambda a, w, r: a == "tanh" and w != 8,
        ),
        # A field with one value can be named too.
        ("exclude: {clip: 2, width: 8}", lambda a, w, r: w != 8),
        ("only: {clip: 2}", lambda a, w, r: True),
        ("exclude: []", lambda a, w, r: True),
        ("exclude:\nonly:", lambda a, w, r: True),
    ],
)
def test_conditions_choose_points(
    sweep: Read, text: str, kept: Callable[[str, int, float], bool]
) -> None:
    found = sweep(AXES + text)
    every = points(sweep(AXES))
    assert len(every) == 8
    assert points(found) == [point for point in every if kept(*point)]
    assert found.count() == len(points(found))
    assert found.grid_size() == 8
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("exclude: {width: 9}", 2, "exclude: `parameters.width` is never `9` in this sweep"),
        (
            "exclude: {activation: [tanh, elu]}",
            2,
            "exclude: `parameters.activation` is never `elu` in this sweep",
        ),
        ("exclude: {clip: 3, width: 8}", 2, "exclude: `parameters.clip` is never `3`"),
    ],
)
def test_a_condition_on_a_value_that_never_occurs_is_a_warning(
    sweep: Read, text: str, line: int, message: str
) -> None:
    (warning,) = sweep(AXES + text).warnings
    assert warning.line == line
    assert warning.message.startswith(message)


def test_a_condition_that_cannot_hold_excludes_nothing(sweep: Read) -> None:
    assert sweep(AXES + "exclude: {width: 9, activation: tanh}").count() == 8
    assert sweep(AXES + "only: [{width: 9}, {width: 8}]").count() == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exclude: {activation: tahn}", "exclude: parameters.activation: expected one of"),
        ("exclude: {width: eight}", "exclude: parameters.width: expected an integer > 0"),
        (
            "exclude: {activaton: tanh}",
            "exclude: `activaton` is not a key of the config; did you mean `activation`?",
        ),
        (
            "exclude: {widht: 8}",
            "exclude: `widht` is not a key of the config; did you mean `width`?",
        ),
        ("exclude: [tanh]", "exclude: expected a mapping"),
        ("exclude: {}", "exclude: an empty condition matches every run"),
        ("only: []", "only: an empty list keeps no run"),
        ("only: 3", "only: expected a mapping"),
        ("exclude: {width: [8, 16]}", "`exclude`: no run is left"),
        ("only: {width: 9}", "`only`: no run is left"),
        ("exclude: {clip: 2}", "`exclude`: no run is left"),
        ("only: {width: 8}\nexclude: {width: 8}", "`exclude` and `only`: no run is left"),
    ],
)
def test_errors_of_conditions(errors: Errors, text: str, message: str) -> None:
    found = errors(AXES + text)
    assert len(found) == 1
    assert found[0][2].startswith(message)


def test_conditions_that_cannot_be_counted_are_refused(
    errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeper.config.grid.MAX_STATES", 3)
    (error,) = errors(
        AXES + "exclude: [{activation: tanh, rtol: 1}, {width: 8, rtol: 1}, {width: 16, rtol: 0.5}]"
    )
    assert error[2] == "`exclude`: the conditions overlap in too many ways: use fewer"


def test_a_key_that_could_be_several_needs_its_path(sweep: Read, errors: Errors) -> None:
    text = (
        "trainer: strict_study\nsteps: 1\nmodel: {width: 3, seed: [1, 2]}\nbounds: {seed: [1, 2]}\n"
    )
    (error,) = errors(text + "exclude: {seed: 1}")
    assert error[2] == (
        "exclude: `seed` could be `model.seed`, `bounds.seed`: write the whole path"
    )
    assert sweep(text + "exclude: {model.seed: 1}").count() == 2
    # The one that varies is meant where the other doesn't.
    assert sweep(text.replace("bounds: {seed: [1, 2]}", "") + "exclude: {seed: 1}").count() == 1


def test_conditions_see_into_axes_of_sections(sweep: Read) -> None:
    text = """
        parameters:
          width: [8, 16]
          optimiser: [adam, {name: sgd, momentum: 0}, {name: sgd, momentum: .9}]
        """
    assert sweep(text + "exclude: {optimiser.name: sgd, width: 8}").count() == 4
    assert sweep(text + "only: {momentum: 0.9}").count() == 2
    assert sweep(text + "only: {momentum: [0, .9]}").count() == 4
    assert sweep(text + "exclude: {optimiser: {name: sgd, momentum: .9}}").count() == 4


def test_conditions_see_zipped_axes_and_seeds(sweep: Read) -> None:
    text = "parameters: {width: [8, 8, 16], depth: [1, 2, 3]}\nzip: [width, depth]\nseeds: 3\n"
    assert points(sweep(text + "exclude: [{width: 8, depth: 2}, {seed: 0}]")) == [
        (8, 1, 1),
        (8, 1, 2),
        (16, 3, 1),
        (16, 3, 2),
    ]
    assert sweep(text + "exclude: {width: 16, depth: 1}").count() == 9


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("exclude: {optimiser.name: [sgd, adam], width: 8}", 2),
        ("exclude: {optimiser.name: [sgd], width: 8}", 3),
        ("only: {name: [adam, sgd]}", 4),
    ],
)
def test_names_of_several_sections_can_be_listed(sweep: Read, text: str, count: int) -> None:
    found = sweep(f"parameters: {{optimiser: [adam, sgd], width: [8, 16]}}\n{text}")
    assert (found.count(), found.warnings) == (count, ())


@pytest.mark.parametrize("optimiser", ["sgd", "[sgd, {name: sgd, momentum: 0.9}]"])
def test_the_name_of_a_section_that_does_not_occur_is_a_warning(
    sweep: Read, optimiser: str
) -> None:
    found = sweep(
        f"parameters: {{optimiser: {optimiser}, width: [8, 16]}}\n"
        "exclude: {optimiser.name: [adam, sgd], width: 8}"
    )
    (warning,) = found.warnings
    assert (warning.line, warning.col) == (2, 28)
    assert found.count() == found.grid_size() // 2


def test_a_misspelt_name_of_a_section_is_an_error(errors: Errors) -> None:
    found = errors("parameters: {optimiser: [sgd, adam]}\nexclude: {optimiser.name: [adm, sgd]}")
    assert [(line, col) for line, col, _ in found] == [(2, 28)]
