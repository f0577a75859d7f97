"""`when`: values that parameters take only where a condition on others holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.cli.text import plan_text
from sweeper.config import Sweep, plain
from sweeper.plan import describe, remaining
from sweeper.records import GroupState

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]

_DEFAULTS = {"width": 64, "depth": 2, "mse_weight": 1.0, "num_trajs": -1}
_VALUES: dict[str, list[Any]] = {
    "width": [64, 8, 16],
    "depth": [1, 2, 3],
    "mse_weight": [1.0, 2.0, 5.0],
    "num_trajs": [-1, 5, 6],
}


def some(key: str) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(_VALUES[key]), min_size=1, max_size=3, unique=True)


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    """Axes, and blocks that set keys under conditions on keys that no block sets."""
    free = draw(st.lists(st.sampled_from(["width", "depth"]), min_size=1, unique=True))
    rest = [key for key in _DEFAULTS if key not in free]
    data: dict[str, Any] = {"parameters": {key: draw(some(key)) for key in free}}
    for key in draw(st.lists(st.sampled_from(rest), max_size=1)):
        data["parameters"][key] = draw(some(key))
    blocks: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        condition = {key: draw(some(key)) for key in draw(st.sets(st.sampled_from(free)))}
        inside = draw(st.lists(st.sampled_from(rest), min_size=1, max_size=2, unique=True))
        blocks.append({"if": condition or {free[0]: _VALUES[free[0]]}})
        blocks[-1] |= {key: draw(some(key)) for key in inside}
    return data | {"when": blocks}


def configs_naively(data: dict[str, Any]) -> set[tuple[Any, ...]]:
    """The values of all keys in every run, by the plainest reading of the rules."""
    given_ = {key: data["parameters"].get(key, [value]) for key, value in _DEFAULTS.items()}
    inside = {key for block in data["when"] for key in block if key != "if"}
    found: set[tuple[Any, ...]] = set()
    for point in itertools.product(*(given_[key] for key in given_ if key not in inside)):
        values = dict(zip((key for key in given_ if key not in inside), point, strict=True))
        holding = [
            block
            for block in data["when"]
            if all(values[key] in wanted for key, wanted in block["if"].items())
        ]
        lists = []
        for key in sorted(inside):
            set_here = [value for block in holding for value in block.get(key, [])]
            lists.append(set_here or given_[key])
        for rest in itertools.product(*lists):
            every = values | dict(zip(sorted(inside), rest, strict=True))
            found.add(tuple(every[key] for key in _DEFAULTS))
    return found


@settings(max_examples=150, deadline=None)
@given(data=sweeps())
def test_runs_are_what_the_plainest_reading_gives(
    read_data: Callable[[dict[str, Any]], Sweep | None], data: dict[str, Any]
) -> None:
    found = read_data(data)
    assert found is not None
    runs = list(found)
    configs = [tuple(plain(run.config)["parameters"][key] for key in _DEFAULTS) for run in runs]
    assert set(configs) == configs_naively(data)
    assert len(configs) == len(set(configs)) == found.count() == found.grid_size()


def values(found: Sweep) -> list[list[Any]]:
    return [list(run.axis_values.values()) for run in found]


def test_keys_take_their_values_where_the_condition_holds_and_else_their_defaults(
    sweep: Read,
) -> None:
    found = sweep(
        """
        parameters: {activation: [tanh, elu], width: [8, 16]}
        when:
          - if: {parameters: {activation: tanh}}
            parameters: {clip: [0.1, 1]}
        """
    )
    assert values(found) == [
        ["tanh", 8, 0.1],
        ["tanh", 8, 1.0],
        ["tanh", 16, 0.1],
        ["tanh", 16, 1.0],
        ["elu", 8, None],
        ["elu", 16, None],
    ]
    same = sweep("parameters: {activation: tanh, width: 8, clip: [0.1, 1]}")
    assert [run.id for run in same] == [run.id for run in found][:2]


@pytest.mark.parametrize(
    "optimiser", ["[adam, sgd]", "{name: [adam, sgd]}", "{values: [{name: adam}, sgd]}"]
)
@pytest.mark.parametrize("condition", ["{optimiser: sgd}", "{optimiser: {name: [sgd]}}"])
def test_keys_inside_one_of_several_sections(sweep: Read, optimiser: str, condition: str) -> None:
    found = sweep(
        f"parameters: {{optimiser: {optimiser}}}\n"
        f"when: {{if: {condition}, optimiser: {{momentum: [0.0, 0.9], nesterov: on}}}}"
    )
    same = sweep(
        """
        parameters:
          optimiser:
            - adam
            - {name: sgd, momentum: 0, nesterov: true}
            - {name: sgd, momentum: 0.9, nesterov: true}
        """
    )
    assert [run.id for run in found] == [run.id for run in same]


def test_a_value_that_is_the_usual_one_changes_nothing(sweep: Read) -> None:
    found = sweep(
        "parameters: {optimiser: [adam, sgd]}\nwhen: {if: {optimiser: sgd}, momentum: [0]}"
    )
    same = sweep("parameters: {optimiser: [adam, sgd]}")
    assert [run.id for run in found] == [run.id for run in same]


def test_conditions_may_be_on_keys_that_other_blocks_set(sweep: Read) -> None:
    found = sweep(
        """
        parameters: {optimiser: [adam, sgd], width: [8, 16]}
        when:
          - if: {optimiser: sgd, width: 16}
            momentum: [0.5, 0.9]
          - if: {momentum: 0.9}
            nesterov: [on, off]
          - if: {nesterov: on}
            mse_weight: [3, 4]
        """
    )
    sgd = [
        (width, optimiser["momentum"], optimiser["nesterov"], weight)
        for optimiser, width, weight in values(found)
        if optimiser["name"] == "sgd"
    ]
    assert found.count() == len(sgd) + 2
    assert sgd == [
        (16, 0.5, False, 1.0),
        (16, 0.9, True, 3.0),
        (16, 0.9, True, 4.0),
        (16, 0.9, False, 1.0),
        (8, 0.0, False, 1.0),
    ]


def test_zipped_axes_exclude_and_seeds_go_with_it(sweep: Read) -> None:
    found = sweep(
        """
        parameters: {width: [8, 16], depth: [1, 2], mse_weight: [1, 2]}
        zip: [width, depth]
        when:
          - {if: {depth: 2}, mse_weight: [2, 7]}
        exclude: {mse_weight: 7, seed: 1}
        seeds: 2
        """
    )
    assert (found.grid_size(), found.count()) == (8, 7)
    assert [one[:3] for one in values(found)[::2]] == [
        [8, 1, 1.0],
        [8, 1, 2.0],
        [16, 2, 2.0],
        [16, 2, 7.0],
    ]


def test_a_plan_says_when(sweep: Read) -> None:
    found = sweep(
        """
        parameters: {activation: [tanh, elu, gelu], optimiser: {name: sgd}}
        when:
          - {if: {activation: [tanh, elu], optimiser: sgd}, clip: [0.1, 1], width: 8}
          - {if: {activation: gelu}, width: [16, 32]}
        """
    )
    described = describe(remaining(found, GroupState()), found)
    assert described["axes"][1]["cases"] == [
        {"when": "activation in {tanh, elu}, optimiser.name = sgd", "values": [0.1, 1.0]},
        {"when": "", "values": [None]},
    ]
    text = " ".join(plan_text({**described, "slots": 1}).split())
    assert "width 8 when activation in {tanh, elu}, optimiser.name = sgd; 16, 32 when" in text
    assert described["excluded"] == 0


EXAMPLE = "`when: [{if: {optimiser: {name: sgd}}, momentum: [0, 0.9]}]`"


@pytest.mark.parametrize(
    ("text", "line", "col", "message"),
    [
        ("when: {optimiser: {name: sgd}}", 3, 7,
         f"when: a block needs its condition under `if`: {EXAMPLE}"),
        ("when: [sgd]", 3, 8, f"when: expected a block with a condition: {EXAMPLE}"),
        ("when: {if: {depth: 1}}", 3, 7,
         f"when: nothing depends on this condition: write keys beside `if`: {EXAMPLE}"),
        ("when: {if: tanh, width: 8}", 3, 12,
         "when: `if` takes a mapping of keys to values, as `exclude` does"),
        ("when: {if: {depth: one}, width: 8}", 3, 20,
         "when: parameters.depth: expected an integer > 0, got `one`"),
        ("when: {if: {dpeth: 1}, width: 8}", 3, 13,
         "when: `dpeth` is not a key of the config; did you mean `depth`?"),
        ("when: {if: {depth: 1}, wdth: 8}", 3, 24,
         "when: `wdth` is not a key of the config; did you mean `width`?"),
        ("when: {if: {depth: 1}, width: [8, x]}", 3, 35,
         "parameters.width: expected an integer > 0, got `x`"),
        ("when: {if: {depth: 1}, depth: [8, 9]}", 3, 24,
         "when: `parameters.depth` depends on itself"),
        ("when: {if: {depth: 1}, b1: 0.5}", 3, 24, "when: `b1` is not a key of the config"),
        ("when: {if: {depth: 1}, optimiser: sgd}", 3, 24,
         "when: `optimiser` is a section: give keys inside it"),
        ("when: {if: {depth: 1}, width: [3, 4]}\nzip: [depth, width]", 4, 14,
         "zip: `parameters.width` has values that depend on a `when`: it can't be zipped"),
        ("when: {if: {depth: 1}, seed: [3, 4]}\nseeds: 3", 4, 1,
         "seeds: `parameters.seed` is given too, on line 3: keep one of them"),
    ],
)  # fmt: skip
def test_errors_say_what_to_write(
    errors: Errors, text: str, line: int, col: int, message: str
) -> None:
    start = "parameters:\n  {depth: [1, 2], optimiser: {name: sgd}}\n"
    ((found_line, found_col, said), *rest) = errors(start + text)
    assert (found_line, found_col, said.partition("; did you mean `parameters")[0], rest) == (
        line,
        col,
        message,
        [],
    )


def test_a_value_that_the_axis_lists_too_is_an_error(errors: Errors) -> None:
    found = errors(
        "parameters: {optimiser: [sgd, {name: sgd, momentum: 0.9}, adam]}\n"
        "when: {if: {momentum: 0}, momentum: [0, 0.9]}\n"
    )
    said = "when: gives a value that `parameters.optimiser` lists too: keep one of them"
    assert found == [(2, 27, said)]


def test_a_field_of_that_name_stays_a_field(sweep: Read, tmp_path: Path) -> None:
    (tmp_path / "timely_study.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    when: float = 0.0\n"
        "def train(configs, runs): ...\n"
    )
    found = sweep("trainer: timely_study\nwhen: [1, 2]", search=[tmp_path])
    assert values(found) == [[1.0], [2.0]]


def test_many_blocks_are_counted_without_listing(sweep: Read) -> None:
    found = sweep(
        """
        parameters:
          width: {range: [1, 1001]}
          depth: {range: [1, 1001]}
          batch_size: {range: [1, 1001]}
        when:
          - {if: {width: 7}, clip: {linspace: [1, 2, 1000]}}
          - {if: {width: 7, depth: 7}, mse_weight: {linspace: [1, 2, 1000]}}
        """
    )
    assert found.count() == 999 * 10**6 + 999 * 10**6 + 10**9
