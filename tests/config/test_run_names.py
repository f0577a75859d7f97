"""The key `name` of a sweep file: what its runs are called."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeper.config import Sweep

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]

GRID = """
name: {name}
data: {{dataset_name: d, problem: 2BP}}
parameters:
  width: [8, 16]
  lr_strategy: [1e-3, 1e-3]
  activation: tanh
"""


def names(found: Sweep) -> list[str]:
    assert found.names is not None
    return [found.names.of(spec.axis_values) for spec in found]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("'{activation}-{width}'", ["tanh-8", "tanh-16"]),
        ("'w{parameters.width:03d}'", ["w008", "w016"]),
        ("'{{{width}}}'", ["{8}", "{16}"]),
        ("'{width} {lr_strategy}'", ["8 [0.001, 0.001]", "16 [0.001, 0.001]"]),
    ],
)
def test_a_name_is_made_of_labels_and_keys(sweep: Read, template: str, expected: list[str]) -> None:
    assert names(sweep(GRID.format(name=template))) == expected


def test_a_name_changes_no_id(sweep: Read) -> None:
    named, other = (sweep(GRID.format(name=f"'{{width}}{it}'")) for it in "ab")
    assert [spec.id for spec in named] == [spec.id for spec in other]


def test_without_the_key_runs_have_no_names(sweep: Read) -> None:
    assert sweep(GRID.format(name="'{width}'").replace("name: '{width}'", "")).names is None


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("'{widht}'", "name: `widht` is not a key of the config; did you mean `width`?"),
        (
            "'{width'",
            "name: expected '}' before end of string; write a brace itself as `{{` or `}}`",
        ),
        ("'{}'", "name: expected keys in braces, `{width}` say, got '{}'"),
        ("'{width!r}'", "name: expected keys in braces, `{width}` say, got '{width!r}'"),
        ("test", "name: all runs would have this name: put keys in braces, as `{width}`"),
        (
            "'{width:9999999999}'",
            "name: `9999999999` is no format that is understood; `{parameters.width:g}` is",
        ),
        (
            "'{activation:g}'",
            "name: `parameters.activation` has the value `tanh`, which `g` doesn't fit",
        ),
    ],
)
def test_what_is_wrong_with_a_name_is_said_at_its_place(
    errors: Errors, template: str, message: str
) -> None:
    assert errors(GRID.format(name=template)) == [(2, 7, message)]


def test_a_config_with_a_name_of_its_own_keeps_it(sweep: Read) -> None:
    found = sweep("trainer: named_study\nname: ['{width}', b]\n")
    assert (found.names, [spec.config.name for spec in found]) == (None, ["{width}", "b"])
