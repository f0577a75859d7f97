"""Run ids, and configs as plain data and YAML."""

from __future__ import annotations

import base64
import dataclasses
import enum
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import GenericAlias
from typing import Any, Literal, TypeAlias

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.config import Sweep, from_plain, plain, run_id, to_yaml
from sweeper.config.problems import Report
from sweeper.config.run_config import read_config
from sweeper.config.yaml_nodes import data_of, parse
from sweeper.errors import ConfigError

Read = Callable[..., Sweep]


def ids(sweep: Sweep) -> list[str]:
    return [run.id for run in sweep]


# Should one of these change, every finished run of every user would be trained again.
def test_ids_are_pinned(sweep: Read) -> None:
    assert run_id("a", {}) == "xkj6j4au6m"
    assert (
        run_id("models.neural_ode", {"b": {"x": 1.0, "y": [1, 2.5e-8]}, "a": "ü"}) == "jm4vjbll2x"
    )
    assert run_id("t", {"none": None, "true": True, "text": "1"}) == "fl7uaqvy5v"
    assert ids(sweep("parameters: {width: [16, 64]}\nseeds: 2")) == [
        "4z3vflu5jd",
        "ytaxo7sgg2",
        "sduzvquv67",
        "lu4cvx7uxr",
    ]


def test_an_id_is_the_hash_of_the_trainers_name_and_the_sorted_config() -> None:
    text = 't\n{"a":[1,2.0],"b":{"c":1e-08,"d":null}}'
    digest = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()
    assert run_id("t", {"b": {"d": None, "c": 1e-8}, "a": [1, 2.0]}) == digest[:10]


def test_every_run_has_the_id_of_its_config(sweep: Read) -> None:
    found = sweep(
        "parameters: {width: [13, 16], activation: [elu, tanh], clip: [null, 1]}\nseeds: 2"
    )
    assert sum(bool(run.invalid) for run in found) == 4
    for run in found:
        if not run.invalid:
            assert run.id == run_id(found.trainer.name, plain(run.config))
    assert len(set(ids(found))) == found.count() == 16


@pytest.mark.parametrize(
    "text",
    [
        "parameters: {rtol: 1.0, mse_weight: 0.0, width: 16}\ndata: {problem: 2BP}",
        "data: {problem: 2BP}\nparameters: {width: 16, mse_weight: 0, rtol: 1}",
        "parameters: {width: [16], rtol: 1e0, mse_weight: -0.0}",
        "group: another\nresources: {cpus_per_run: 3}\nseeds: 1\n"
        "parameters: {width: 1_6, rtol: 1.00, mse_weight: 0.}",
    ],
)
def test_the_same_config_has_the_same_id_however_it_is_written(sweep: Read, text: str) -> None:
    assert ids(sweep(text)) == ids(sweep("parameters: {width: 16, rtol: 1, mse_weight: 0}"))


def test_other_values_types_and_trainers_have_other_ids(sweep: Read) -> None:
    assert run_id("t", {"a": 1}) != run_id("t", {"a": 1.0})
    assert run_id("t", {"a": 1}) != run_id("t", {"a": True})
    assert run_id("t", {"a": 1}) != run_id("t", {"a": "1"})
    assert run_id("t", {"a": 1}) != run_id("u", {"a": 1})
    assert run_id("t", {"a": -0.0}) == run_id("t", {"a": 0.0})
    with pytest.raises(ConfigError, match="no run id"):
        run_id("t", {"a": float("nan")})


def test_ids_do_not_depend_on_the_process(sweep: Read, tmp_path: Path) -> None:
    found = sweep("parameters: {optimiser: [adam, sgd], activation: [tanh, gelu]}\nseeds: 2")
    code = (
        "import sys; from pathlib import Path; from sweeper.config import read_sweep;"
        "print(*(run.id for run in read_sweep(Path(sys.argv[1]), search=[Path(sys.argv[2])])))"
    )
    for seed in ("0", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", code, found.path, Path(__file__).parent / "trainers"],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ids(found)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


# A type that a field can have, with a strategy for its values.
Typed: TypeAlias = tuple[Any, st.SearchStrategy[Any]]


def literal(*words: Any) -> Typed:
    return Literal[words], st.sampled_from(words)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "on",
        "1e-3",
        "1_000",
        "010",
        "0o17",
        "0x1F",
        "null",
        "~",
        "<<",
        "=",
        "-",
        "",
        " ",
        "a: b",
        "#",
        ".inf",
    ]
)
# Without -0.0, which is read as 0.0.
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
SINGLE: list[Typed] = [
    (int, st.integers()),
    (float, FLOATS),
    (bool, st.booleans()),
    (str, TEXT),
    (Colour, st.sampled_from(Colour)),
    literal("tanh", "on", "1"),
    literal(1, 2),
    (int | float, st.integers() | FLOATS),
]


@st.composite
def typed(draw: st.DrawFn, depth: int = 3) -> Typed:
    """A type, mostly one made of others."""
    shape = draw(st.integers(0, 8)) if depth else 0
    if shape <= 2:
        single: Typed = draw(st.sampled_from(SINGLE))
        return single
    if shape == 8:
        made: Typed = draw(dataclass_types(depth - 1))
        return made
    item, values = draw(typed(depth - 1))
    other, others = draw(typed(depth - 1)) if shape == 5 else (None, st.none())
    shapes: dict[int, Typed] = {
        3: (GenericAlias(tuple, (item, ...)), st.lists(values, max_size=3).map(tuple)),
        4: (GenericAlias(list, item), st.lists(values, max_size=3)),
        5: (GenericAlias(tuple, (item, other)), st.tuples(values, others)),
        6: (GenericAlias(dict, (str, item)), st.dictionaries(TEXT, values, max_size=3)),
        7: (item | None, values | st.none()),
    }
    return shapes[shape]


@st.composite
def dataclass_types(draw: st.DrawFn, depth: int = 3) -> Typed:
    """A dataclass, or two that a tag distinguishes, with a strategy for instances."""
    options = []
    tags: list[str | None] = draw(st.sampled_from([[None], ["one", "two"]]))
    for tag in tags:
        fields = {f"f{n}": draw(typed(depth)) for n in range(draw(st.integers(1, 3)))}
        if tag is not None:
            fields["kind"] = literal(tag)
        cls = dataclasses.make_dataclass(
            "Made", [(name, annotation) for name, (annotation, _) in fields.items()], frozen=True
        )
        options.append((cls, st.builds(cls, **{name: own for name, (_, own) in fields.items()})))
    if len(options) == 1:
        return options[0]
    (one, first), (two, second) = options
    return one | two, first | second


@st.composite
def configs(draw: st.DrawFn) -> Any:
    """An instance of a made-up config dataclass."""
    annotation, values = draw(typed())
    cls = dataclasses.make_dataclass("Config", [("field", annotation)], frozen=True)
    return cls(draw(values))


@settings(max_examples=150, deadline=None)
@given(configs())
def test_plain_data_and_yaml_read_back_to_the_config(config: Any) -> None:
    cls = type(config)
    data = plain(config)
    assert repr(from_plain(cls, data)) == repr(config)
    assert from_plain(cls, json.loads(json.dumps(data))) == config
    text = to_yaml(config)
    root = parse(text, Report("f"))
    assert root is not None
    assert data_of(root) == data
    assert from_plain(cls, data_of(root)) == config
    assert plain(from_plain(cls, data_of(root))) == data
    # Anybody else's YAML reader takes it the same way.
    assert yaml.safe_load(text) == data
    assert to_yaml(data) == text


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "a \u2029", "\n", "a\n\nb ", " \r\n", "\t"])
def test_text_with_ends_of_lines_is_read_back(text: str) -> None:
    data = {"field": {text: text}}
    assert yaml.safe_load(to_yaml(data)) == data
    root = parse(to_yaml(data), Report("f"))
    assert root is not None
    assert data_of(root) == data


def test_yaml_is_readable(sweep: Read) -> None:
    text = """
        parameters:
          length_strategy: [[0, .1], [0, 1]]
          rtol: 1e-8
          optimiser: sgd
          clip: 1e3
        """
    (run,) = sweep(text)
    assert (
        to_yaml(run.config)
        == """\
data:
  dataset_name: complex_TBP_planar_10_train
  problem: 2BP
parameters:
  length_strategy: [[0.0, 0.1], [0.0, 1.0]]
  segment_length_strategy: [18]
  lr_strategy: [0.001]
  steps_strategy: [1000]
  width: 64
  depth: 2
  batch_size: 256
  train_val_split: 1.0
  num_trajs: -1
  loss: percent_error
  mse_weight: 1.0
  activation: leaky_relu
  feature_layer: sph_4D_rinv_vel
  output_layer: mlp_4D_signed
  planar_constraint: true
  clip: 1000.0
  optimiser:
    name: sgd
    momentum: 0.0
    nesterov: false
  rtol: 1.0e-08
  seed: 0
"""
    )


def test_a_stored_config_is_read_back(sweep: Read, tmp_path: Path) -> None:
    found = sweep("parameters: {rtol: 1e-8, optimiser: sgd}")
    (run,) = found
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(run.config), encoding="utf-8")
    assert from_plain(found.trainer.Config, read_config(file)) == run.config
    file.write_text("a: 1\na: 2\n")
    with pytest.raises(ConfigError, match="given twice"):
        read_config(file)


@dataclasses.dataclass(frozen=True)
class Small:
    x: int = 1
    y: float = 2.0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": "a", "z": 1}, ["x: expected an integer", "z: unknown key"]),
        ({"x": 1.5}, ["x: expected an integer, got the number 1.5"]),
        ({"y": float("nan")}, ["must be finite"]),
        ({"x": object()}, ["x: expected an integer"]),
        (["x"], ["expected a mapping"]),
        ("x", ["expected a mapping"]),
    ],
)
def test_data_that_is_not_a_config_is_refused(data: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_plain(Small, data)
    assert len(caught.value.problems) == len(words)
    assert all(word in str(caught.value) for word in words)


def test_what_is_left_out_gets_the_default() -> None:
    assert from_plain(Small, {"y": 3}) == Small(1, 3.0)
