"""`--set key=value`: what a command line says instead of a file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeper.config import Sweep, override_config, plain
from sweeper.errors import ConfigError

Read = Callable[..., Sweep]

FILE = """
# what the user wrote
parameters:
  width: [16, 64]
  depth: [2, 3]
  optimiser: {name: sgd, momentum: [0, 0.9]}
zip: [width, depth]
resources: {timeout: 5 min, retries: 1}
seeds: 3
"""
UNCHANGED = {"width": 2, "depth": 2, "momentum": 2, "seed": 3}


def axes(found: Sweep) -> dict[str, int]:
    return {axis.label: len(axis.values) for axis in found.axes}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["width=8,16"], UNCHANGED),
        (["parameters.width=8,16"], UNCHANGED),
        (["width={range: [8, 25, 8]}", "depth=1, 2, 3"], UNCHANGED | {"width": 3, "depth": 3}),
        (["zip="], UNCHANGED),
        (["mse_weight=1,2"], UNCHANGED | {"mse_weight": 2}),
        (["clip=null,1.0"], UNCHANGED | {"clip": 2}),
        (["clip="], UNCHANGED),
        (["momentum=0.5"], {"width": 2, "depth": 2, "seed": 3}),
        (["optimiser=adam,sgd"], {"width": 2, "depth": 2, "optimiser": 2, "seed": 3}),
        (["optimiser=adam", "b1=.8,.9"], {"width": 2, "depth": 2, "b1": 2, "seed": 3}),
        (["lr_strategy=[1e-3, 1e-4]"], UNCHANGED),
        (["lr_strategy=1e-3,1e-4"], UNCHANGED | {"lr_strategy": 2}),
        (["seed=4,5"], {"width": 2, "depth": 2, "momentum": 2, "seed": 2}),
        (["seed=4"], {"width": 2, "depth": 2, "momentum": 2}),
        (["seeds=5"], UNCHANGED | {"seed": 5}),
    ],
)
def test_an_override_is_one_value_or_an_axis(
    sweep: Read, overrides: list[str], expected: dict[str, int]
) -> None:
    assert axes(sweep(FILE, overrides=overrides)) == expected


def test_overrides_make_the_runs_of_a_file_that_says_the_same(sweep: Read) -> None:
    overrides = ["width=8", "zip=", "momentum=0.1,0.2", "retries=3", "timeout=1 h", "group=other"]
    found = sweep(FILE, overrides=overrides)
    same = sweep(
        """
        group: other
        parameters:
          width: 8
          depth: [2, 3]
          optimiser: {name: sgd, momentum: [0.1, 0.2]}
        resources: {timeout: 1 h, retries: 3}
        seeds: 3
        """
    )
    assert [run.id for run in found] == [run.id for run in same]
    assert (found.group, found.resources) == (same.group, same.resources)


def test_seeds_replace_the_seed_of_the_file(sweep: Read) -> None:
    found = sweep("parameters: {seed: [7, 8], width: 3}", overrides=["seeds=3"])
    assert [axis.values for axis in found.axes] == [(0, 1, 2)]


@pytest.mark.parametrize(
    ("override", "col", "message"),
    [
        ("wdth=3", 1, "wdth: unknown key; did you mean `width`?"),
        ("width=16,x", 10, "parameters.width: expected an integer > 0, got `x`"),
        (" width = [16, -1]", 15, "parameters.width: expected an integer > 0, got the number -1"),
        (
            "mse_weight={linspce: [0, 1, 3]}",
            12,
            "parameters.mse_weight: expected a number, got a mapping; did you mean `linspace`?",
        ),
        ("width", 1, "`width`: expected `key=value`"),
        ("=3", 1, "`=3`: a key is missing before `=`"),
        (
            "width=[1",
            9,
            "width: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got "
            "'<stream end>'; close the list with `]`",
        ),
        ("width=1\n2", 1, "`width=1\\n2`: an override is one line of printable characters"),
        (
            "optimiser.name=sgd,adam",
            16,
            "parameters.optimiser.name: can't be an axis: write a list of mappings, "
            "`[{name: …}, {name: …}]`",
        ),
        ("b1=0.5", 1, "parameters.optimiser.b1: unknown key; known are `name`, `momentum`, "
         "`nesterov`"),
        (
            "resources.timeout=soon",
            19,
            "resources.timeout: expected a duration (`10 min`, or a number of seconds) or null, "
            "got `soon`",
        ),
        ("resources.timout=3", 1, "resources.timout: unknown key; did you mean `timeout`?"),
        (
            "group=a/b",
            7,
            "group: `a/b` is a path: give a name, the group's folder is made in the runs directory",
        ),
    ],
)  # fmt: skip
def test_an_error_is_under_its_place_in_the_argument(
    sweep: Read, override: str, col: int, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep(FILE, overrides=[override])
    (problem,) = caught.value.problems
    assert (problem.file, problem.col, problem.message) == ("--set", col, message)


def test_an_error_is_shown_with_the_argument_and_a_caret(sweep: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep(FILE, overrides=["depth=2,x"])
    assert str(caught.value) == (
        "--set: parameters.depth: expected an integer > 0, got `x`\n   depth=2,x\n           ^"
    )


def test_errors_of_the_file_and_of_all_overrides_come_together(sweep: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep("parameters: {depth: x}\n", overrides=["width=x", "activation=tahn", "width=3"])
    assert [(problem.file[-5:], problem.col) for problem in caught.value.problems] == [
        (".yaml", 21),
        ("--set", 1),  # twice
        ("--set", 12),
    ]


def test_a_key_inside_an_axis_of_sections_is_an_error(sweep: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep("parameters: {optimiser: [adam, sgd]}", overrides=["optimiser.momentum=0.5"])
    (problem,) = caught.value.problems
    assert problem.message == (
        "optimiser.momentum: `parameters.optimiser` is a list on line 1: set all of it, "
        "`parameters.optimiser=…`"
    )


def test_a_key_inside_a_section_given_by_its_name_is_added_to_it(sweep: Read) -> None:
    (run,) = sweep("parameters: {optimiser: sgd}", overrides=["momentum=0.5"])
    optimiser = {"name": "sgd", "momentum": 0.5, "nesterov": False}
    assert plain(run.config)["parameters"]["optimiser"] == optimiser


def test_the_name_of_runs_can_be_set(sweep: Read) -> None:
    found = sweep(FILE, overrides=['name="w{width}"'])
    assert found.names is not None
    assert found.names.of(next(iter(found)).axis_values) == "w16"


def test_a_key_that_is_set_is_no_longer_conditional(sweep: Read) -> None:
    file = """
        parameters: {activation: [tanh, elu]}
        when:
          - {if: {activation: tanh}, parameters: {clip: [1, 2], depth: [1, 3]}}
          - {if: {activation: elu}, clip: 7}
        """
    assert axes(sweep(file, overrides=["clip=1.5"])) == {"activation": 2, "depth": 3}
    assert axes(sweep(file, overrides=["when="])) == {"activation": 2}


def test_the_stored_text_repeats_the_launch_under_any_name(sweep: Read) -> None:
    found = sweep(FILE, name="mine.yaml", overrides=["width=8,16", "steps_strategy=[5, 6]"])
    assert found.text.startswith("\n# what the user wrote\n")
    again = sweep(found.text, name="copy.yaml")
    assert (again.group, again.text) == ("mine", found.text)
    assert [run.id for run in again] == [run.id for run in found]


def test_overrides_of_the_command_line_come_before_those_of_the_copy(sweep: Read) -> None:
    first = sweep(FILE, overrides=["width=8,16", "momentum=0.1"])
    second = sweep(first.text, overrides=["width=4,5"])
    assert second.axes[0].values == (4, 5)
    assert second.text.splitlines()[-1] == ("""--set: [momentum=0.1, group="some", 'width=4,5']""")
    assert [run.id for run in sweep(second.text)] == [run.id for run in second]


def test_a_file_in_braces_is_written_anew_to_keep_the_overrides(sweep: Read) -> None:
    found = sweep("{trainer: orbit_study, parameters: {width: [16, 64]}}", overrides=["depth=3,4"])
    assert [run.id for run in sweep(found.text)] == [run.id for run in found]
    assert found.count() == 4


def test_a_config_with_other_values(sweep: Read) -> None:
    (run,) = sweep("parameters: {width: 3}")
    config = override_config(run.config, ["width=5", "optimiser=sgd", "momentum=.5"])
    (same,) = sweep("parameters: {width: 5, optimiser: {name: sgd, momentum: 0.5}}")
    assert config == same.config
    with pytest.raises(ConfigError) as caught:
        override_config(config, ["depth=1,2", "widht=3"])
    assert [problem.message for problem in caught.value.problems] == [
        "widht: unknown key; did you mean `width`?",
        "parameters.depth: one run has one value, not 2",
    ]
    with pytest.raises(ConfigError, match="must hold for elu"):
        override_config(config, ["width=13", "activation=elu"])
