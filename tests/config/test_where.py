"""`--where`: conditions of the command line mean what they mean in a sweep file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweeper.config import Sweep
from sweeper.errors import ConfigError

Read = Callable[..., Sweep]

TEXT = "seeds: 2\nparameters: {depth: [4, 2], width: [8, 16], activation: [tanh, elu]}"


def found(sweep: Sweep, *where: str) -> list[tuple[Any, ...]]:
    return [tuple(run.axis_values.values()) for run in sweep.matching(where)]


@pytest.mark.parametrize(
    ("where", "only"),
    [
        (["depth=2"], "{depth: 2}"),
        (["rtol=0.000001,depth=2"], "{depth: 2}"),
        ([" depth = 2 , width=[8, 16] "], "{depth: 2, width: [8, 16]}"),
        (["parameters.depth=4,activation='tanh',seed=1"], "{depth: 4, activation: tanh, seed: 1}"),
        (["depth=4,width=8", "depth=2,width=16"], "[{depth: 4, width: 8}, {depth: 2, width: 16}]"),
        (["batch_size=256"], "{batch_size: 256}"),
    ],
)
def test_the_runs_are_those_that_only_would_keep(sweep: Read, where: list[str], only: str) -> None:
    kept = sweep(f"{TEXT}\nonly: {only}", name="only.yaml")
    assert found(sweep(TEXT), *where) == [tuple(run.axis_values.values()) for run in kept]


def test_the_ids_are_those_of_the_sweep(sweep: Read) -> None:
    whole = sweep(TEXT)
    ids = [run.id for run in whole if run.axis_values["parameters.width"] == 16]
    assert [run.id for run in whole.matching(["width=16"])] == ids


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("dept=2", "--where: `dept` is not a key of the config; did you mean `depth`?"),
        ("depth=3", "--where: `parameters.depth` is never `3` in this sweep; it has `4`, `2`"),
        ("activation=gelu", "--where: `parameters.activation` is never `gelu` in this sweep"),
        ("activation=tanj", "--where: parameters.activation: expected one of `tanh`, "),
        ("depth=two", "--where: parameters.depth: expected an integer > 0, got `two`"),
        ("depth", "--where: expected `key=value`, got `depth`"),
        ("depth=", "--where: expected `key=value`, got `depth=`"),
        ("", "--where: expected `key=value`, got ``"),
        ("depth=[2", "--where: `[2` is not a value in YAML"),
        ("depth=2: 3", "--where: `2: 3` is not a value in YAML"),
        ("depth=[2,3]", "--where: `parameters.depth` is never `3` in this sweep"),
    ],
)
def test_what_holds_for_no_run_is_an_error(sweep: Read, where: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(sweep(TEXT), where)
    assert str(caught.value).startswith(message)


def test_every_error_is_reported(sweep: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        found(sweep(TEXT), "dept=2,width=7", "foo")
    assert len(caught.value.problems) == 3
