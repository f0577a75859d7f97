"""Whatever a file holds, the reader either reads it or tells what is wrong: never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.config import from_plain, plain, read_sweep, run_id
from sweeper.errors import ConfigError

TRAINERS = Path(__file__).parent / "trainers"

# A file without a trainer would import the default one.
TRAINER = "trainer: orbit_study\n"
SEED = """\
wandb: {group: some, tags: [a, b]}
data:
  dataset_name: [one, two]
parameters: &p
  length_strategy: [[[0, .1], [0, 1]], [0.0, 1.0]]
  segment_length_strategy: [[4], [10, 18]]
  lr_strategy: 1e-3
  width: [16, 64]
  depth: [1, 2]
  optimiser: [adam, {name: sgd, momentum: 0.9}]
zip: [[width, depth]]
exclude:
  - {width: 16, dataset_name: [one]}
only: [{depth: 1}, {optimiser.name: sgd}]
seeds: 2
resources: {timeout: 10 min, memory_per_run: 2 GB}
"""
PIECES = (
    *"[]{},:-#&*!|>'\"%@`?~\n\t \\",
    ": ", "- ", "\n  ", "<<: ", "*p", "&p ", "null", "true", "on", "1", "-1", "1e-3", ".nan", "{}",
    "[]", "[[]]", "''", '"\\', "!!str ", "---\n", "...\n", "seed", "width", "parameters", "1_0",
    "\u2028", "\ufeff", "\x00", "é", "💥",
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "some.yaml"


def read(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    try:
        sweep = read_sweep(file, search=[TRAINERS])
    except ConfigError as error:
        refused: ConfigError | None = error
    else:
        refused = None
    if refused is not None:
        assert refused.problems
        assert all(problem.render() for problem in refused.problems)
        return
    run = next(iter(sweep))
    assert sweep.count() <= sweep.grid_size()
    if not run.invalid:
        assert from_plain(sweep.trainer.Config, plain(run.config)) == run.config
        assert run_id(sweep.trainer.name, plain(run.config)) == run.id


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The seed with some stretches replaced by other pieces of YAML, or by parts of itself."""
    text = SEED
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 12)))
        at = draw(st.integers(0, len(SEED)))
        piece = draw(st.sampled_from(PIECES) | st.just(SEED[at : at + draw(st.integers(0, 30))]))
        text = text[:start] + piece + text[stop:]
    return text


@settings(max_examples=200, deadline=None)
@given(text=mutated())
def test_a_damaged_sweep_file_is_read_or_told(file: Path, text: str) -> None:
    read(file, (TRAINER + text).encode())


@settings(max_examples=100, deadline=None)
@given(
    raw=st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace"))
)
def test_any_bytes_are_read_or_told(file: Path, raw: bytes) -> None:
    read(file, TRAINER.encode() + raw)


VALUES = st.recursive(
    st.sampled_from(["1", "-1", "0", "1.5", "1e-3", ".inf", "on", "tanh", "sgd", "''", "null"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    | st.dictionaries(
        st.sampled_from(["name", "momentum", "b1", "x"]), inner, max_size=2
    ).map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(
        ["parameters.length_strategy", "parameters.lr_strategy", "parameters.optimiser",
         "parameters.clip", "parameters.planar_constraint", "parameters.feature_layer",
         "parameters.activation", "parameters", "data", "zip", "exclude", "only",
         "seeds", "resources", "wandb",
         "group", "trainer"]
    ),
    value=VALUES,
)  # fmt: skip
def test_any_value_under_any_key_is_read_or_told(file: Path, key: str, value: str) -> None:
    section, _, name = key.partition(".")
    line = f"{section}: {{{name}: {value}}}" if name else f"{section}: {value}"
    trainer = "" if key == "trainer" else TRAINER
    read(file, f"{trainer}{line}\n".encode())
