"""Sweep files of W&B and Hydra in ours, and ours read again."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.config import read_sweep
from sweeper.config.problems import Report
from sweeper.config.yaml_nodes import parse
from sweeper.errors import ConfigError
from sweeper.foreign import translated

TRAINER = """
from dataclasses import dataclass, field
from typing import Any

@dataclass(frozen=True)
class Model:
    width: int = 1
    act: str = "tanh"

@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    steps: int = 1
    drop: float = 0.0
    batch: int = 1
    word: str | None = None
    pair: tuple[int, ...] = ()
    table: dict[str, int] = field(default_factory=dict)
    model: Model = Model()

def train(configs, runs): ...
"""

WANDB = """
program: foreign_train.py
method: bayes
project: orbits
name: my sweep
description: |
  two
  lines
metric: {name: val_acc, goal: maximize}
early_terminate: {type: hyperband}
parameters:
  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}
  steps: {min: 1, max: 3}
  drop: {min: 0.0, max: 0.5}
  batch: {distribution: q_uniform, min: 32, max: 128, q: 32}
  word: {value: "yes"}
  model:
    parameters:
      width: {values: [16, 32]}
      act: {values: [tanh, gelu], probabilities: [0.5, 0.5]}
  group: {values: [1, 2]}
  odd: {distribution: beta}
"""

OURS = r"""
# From wandb.yaml, a sweep of W&B. Compare the keys with your trainer's Config: sweep plan FILE
# method bayes: sweeper trains every combination
# metric val_acc: write `headline = "-val_acc"` in the trainer
# early_terminate: {type: hyperband} has no equivalent
trainer: ./foreign_train.py  # needs Config and train(configs, runs): docs/your-own-training.md
group: my sweep
wandb: {project: orbits, notes: "two\nlines\n"}

lr: {log: [1e-4, 1e-1, 5]}  # drawn from log_uniform_values there: choose how many values
steps: {range: [1, 4]}
drop: {linspace: [0.0, 0.5, 5]}  # drawn in between there: choose how many values
batch: {range: [32, 160, 32]}
word: 'yes'
model:
  width: [16, 32]
  act: [tanh, gelu]  # probabilities are left out
# group: [1, 2]  # means something else here: rename it
# odd:  # has no equivalent: {distribution: beta}
"""

HYDRA = """
defaults:
  - _self_
  - model: big
model:
  width: 8
  act: ${name}
lr: 1e-3
word: ???
hydra:
  mode: MULTIRUN
  sweep: {dir: multirun}
  sweeper:
    params:
      lr: 1e-3,1e-2
      model.width: range(4,20,4)
      +drop: tag(log, interval(1e-2, 1e-1))
      pair: "[1,2],[3,4]"
      table: "{a:1,b:2},{a:3,b:4}"
      dataset/x: a,b
      model.act: glob(*)
"""

OURS_OF_HYDRA = """
# From config.yaml, a config of Hydra. Compare the keys with your trainer's Config: sweep plan FILE
# defaults, {model: big}: copy what that file says
# hydra.sweep.dir: multirun has no equivalent
# dataset/x=a,b: a choice of config files; copy what they say
# trainer: the name of your trainer's module, or its file, ./train.py

model:
  width: {range: [4, 20, 4]}
  # act:  # glob(*) has no equivalent: list the values
lr: [1e-3, 1e-2]
# word:  # must be given
drop: {log: [1e-2, 1e-1, 5]}  # drawn there: choose how many values
pair: [[1, 2], [3, 4]]
table: [{a: 1, b: 2}, {a: 3, b: 4}]
"""

OVERRIDES = r"""
# as in the paper
python foreign_train.py -m lr=1e-3,1e-2 model.width=8,16 \
  '+word=a,"b c"' ~y hydra/launcher=joblib batch='range(5,8)' 'model.act=choice(tanh,gelu)' drop=0
"""

OURS_OF_OVERRIDES = """
# From overrides.txt, overrides of Hydra. Compare the keys with your trainer's Config: sweep plan FILE
# ~y: nothing is taken out of a Config: leave the key out
# hydra/launcher=joblib has no equivalent
trainer: ./foreign_train.py  # needs Config and train(configs, runs): docs/your-own-training.md

lr: [1e-3, 1e-2]
model:
  width: [8, 16]
  act: [tanh, gelu]
word: [a, b c]
batch: {range: [5, 8]}
drop: 0
"""  # noqa: E501  (the line of a file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trainer, as one process can import only one of its name."""
    found = tmp_path_factory.mktemp("foreign")
    (found / "foreign_train.py").write_text(TRAINER)
    return found


@pytest.mark.parametrize(
    ("name", "text", "ours", "runs"),
    [
        ("wandb.yaml", WANDB, OURS, 5 * 3 * 5 * 4 * 2 * 2),
        ("config.yaml", HYDRA, OURS_OF_HYDRA, 2 * 4 * 5 * 2 * 2),
        ("overrides.txt", OVERRIDES, OURS_OF_OVERRIDES, 2 * 2 * 2 * 2 * 3),
    ],
)
def test_a_file_is_translated_into_one_that_we_read(
    folder: Path, name: str, text: str, ours: str, runs: int
) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    found = translated(folder / name)
    assert found == ours.lstrip("\n")
    trainer = "" if "\ntrainer:" in found else "trainer: foreign_train\n"
    (folder / "ours.yaml").write_text(found + trainer, encoding="utf-8")
    sweep = read_sweep(folder / "ours.yaml", search=[folder])
    assert (sweep.count(), sweep.warnings) == (runs, ())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{distribution: log_uniform, min: 0, max: 0}", "x: {log: [1, 1, 5]}"),
        ("{distribution: int_uniform, min: 1, max: 401}", "x: [1, 101, 201, 301, 401]"),
        ("{distribution: normal, mu: 1, sigma: 0.5}", "x: [0.5, 1, 1.5]"),
        ("{distribution: constant, value: 3}", "x: 3"),
        ("{distribution: categorical, values: [a, 'null']}", "x: [a, 'null']"),
    ],
)
def test_distributions_of_wandb(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "w.yaml").write_text(f"method: random\nparameters: {{x: {text}}}")
    assert translated(tmp_path / "w.yaml").splitlines()[-1].partition("  #")[0] == line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("null,1", "x: [null, 1]"),
        ("5", "x: 5"),
        ("", "x: null"),
        ("range(5)", "x: {range: [0, 5]}"),
        ("range(start=1,stop=9,step=2)", "x: {range: [1, 9, 2]}"),
        ("interval(0,1)", "x: {linspace: [0, 1, 5]}"),
        ("sort(3,2)", "x: [3, 2]"),
        ("[1,2]", "x: [1, 2]"),
        ('"1,2"', "x: '1,2'"),
        ("${y},2", "# x:"),
    ],
)
def test_values_of_hydra(tmp_path: Path, value: str, line: str) -> None:
    (tmp_path / "o.txt").write_text(f"'x={value}'\n")
    assert translated(tmp_path / "o.txt").splitlines()[-1].partition("  #")[0] == line


@pytest.mark.parametrize(
    ("name", "text", "place", "message"),
    [
        ("a.txt", "y=2 x=1,[2", (1, 5),
         "x: `1,[2` can't be read: expected values with commas between them"),
        ("a.yaml", "method: grid\nparameters: {lr: 3}", (2, 18),
         "lr: expected a mapping with `value`, `values`, `parameters`, or `min` and `max`"),
        ("a.yaml", "width: 3", (1, 1),
         "is neither a sweep of W&B (`method`, `parameters`) nor one of Hydra (`hydra: {sweeper: "
         "{params: …}}`, or overrides such as `lr=1e-3,1e-2`)"),
        ("a.yaml", "parameters: {width: [3, 4]}", (1, 1),
         "is neither a sweep of W&B (`method`, `parameters`) nor one of Hydra (`hydra: {sweeper: "
         "{params: …}}`, or overrides such as `lr=1e-3,1e-2`)"),
    ],
)  # fmt: skip
def test_errors_have_their_place(
    tmp_path: Path, name: str, text: str, place: tuple[int, int], message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        translated(tmp_path / name)
    (problem,) = caught.value.problems
    assert ((problem.line, problem.col), problem.message) == (place, message)


PIECES = st.sampled_from(
    ["lr", "=", ",", "[", "]", "{", "}", "a: ", "\n", "range(", ")", "1", '"', "'", "$", "~", "+",
     "hydra", "method: grid\n", "parameters:\n", "  x: {values: [1]}\n", "  y: {min: 1, max: 2}\n",
     "# ", "\\", "\u2028", "null", ".", "/", "values", "-"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["a.yaml", "a.txt"]))
def test_any_text_is_translated_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    file = tmp_path_factory.getbasetemp() / name
    file.write_text(text, encoding="utf-8")
    with contextlib.suppress(ConfigError):  # no other error, and what is printed can be read
        found = translated(file)
        report = Report("ours.yaml")
        parse(found + "\nend: 1\n", report)
        assert report.errors() == []
