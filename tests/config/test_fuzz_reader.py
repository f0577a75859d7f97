"""Fuzz of everything that reads a config: it is read, or its errors are reported, in bounded time.

A few cases of each kind in the quick suite, thousands in the soak.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.config import from_plain, plain, read_sweep, run_id, to_yaml
from sweeper.config.run_config import read_config
from sweeper.errors import ConfigError
from sweeper.plan import describe, remaining
from sweeper.records import GroupState
from sweeper.trainer import load_trainer

TRAINERS = Path(__file__).parent / "trainers"
CPU_LIMIT_S = 20.0  # of processor time, for one case; the usual one takes milliseconds
GROWTH_LIMIT_BYTES = 400e6
MOST_PLANNED = 500  # runs; larger sweeps are counted alone
FEW, MANY = 50, 250 if os.environ.get("SOAK") == "short" else 2_500


@contextmanager
def bounded() -> Iterator[None]:
    """Fail when one case takes too much processor time."""

    def late(_number: int, _frame: object) -> None:
        raise AssertionError(f"more than {CPU_LIMIT_S} s of processor time for one case")

    previous = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


# -- What is read ----------------------------------------------------------------------------------

KEYS = (
    "trainer", "group", "wandb", "zip", "exclude", "only", "seeds", "resources", "when", "--set",
    "if", "log", "linspace", "range", "values", "data", "parameters", "parameters.width",
    "parameters.seed", "dataset_name", "problem",
    "length_strategy", "segment_length_strategy", "lr_strategy", "width", "depth", "activation",
    "clip", "optimiser", "name", "momentum", "b1", "nesterov", "planar_constraint", "seed",
    "cpus_per_run", "memory_per_run", "timeout", "runs_per_wave", "retries", "project", "tags",
    "", "x", "<<", "1", "null", "__class__", "a.b.c", "../x", "\u202e",
)  # fmt: skip
SCALARS = (
    "1", "0", "-1", "18", "1e-3", "1e400", "-.inf", ".nan", "0x10", "0o7", "1_000", "1:30",
    "on", "no", "true", "null", "~", "''", "tanh", "gelu", "sgd", "adam", "percent_error", "2BP",
    "2 GB", "10 min", "auto", "99999999999999999999999999", "1e99 TB", "-5 s", "!!int x",
    "!!python/name:os.system", "'\\0'", '"\\U0001F4A5"', '"\\ud800"', "2026-11-22", "=", "|", ">-",
    "orbit_study", "os", "no.such", "a" * 300, "[", "}", "@", "`", "%", "\t",
)  # fmt: skip


def trees() -> st.SearchStrategy[str]:
    """Values in flow style, with anchors and aliases that may or may not fit."""
    anchors = st.sampled_from(["", "", "", "&a ", "&b ", "&c "])
    leaves = st.sampled_from([*SCALARS, "*a", "*b", "*c"])
    return st.recursive(
        leaves,
        lambda inner: (
            st.tuples(anchors, st.lists(inner, max_size=4)).map(
                lambda pair: f"{pair[0]}[{', '.join(pair[1])}]"
            )
            | st.tuples(anchors, st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4)).map(
                lambda pair: (
                    f"{pair[0]}{{{', '.join(f'{key}: {value}' for key, value in pair[1])}}}"
                )
            )
        ),
        max_leaves=12,
    )


USERS = """\
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


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A user's file with some stretches replaced by pieces of YAML, or by parts of itself."""
    text = USERS
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 12)))
        at = draw(st.integers(0, len(USERS)))
        piece = draw(st.sampled_from(PIECES) | st.just(USERS[at : at + draw(st.integers(0, 30))]))
        text = text[:start] + piece + text[stop:]
    return f"trainer: orbit_study\n{text}"


def raw_bytes() -> st.SearchStrategy[bytes]:
    text = st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
    return (st.binary(max_size=60) | text).map(lambda raw: b"trainer: orbit_study\n" + raw)


SHORT_TREES = st.recursive(
    st.sampled_from(["1", "-1", "0", "1.5", "1e-3", ".inf", "on", "tanh", "sgd", "''", "null"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    | st.dictionaries(
        st.sampled_from(["name", "momentum", "b1", "x", "log", "range", "values", "if", "width"]),
        inner,
        max_size=2,
    ).map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"),
    max_leaves=8,
)  # fmt: skip


@st.composite
def single_keys(draw: st.DrawFn) -> str:
    """Any short value under one key, so that no other error hides what is made of it."""
    key = draw(
        st.sampled_from(
            ["parameters.length_strategy", "parameters.lr_strategy", "parameters.optimiser",
             "parameters.clip", "parameters.planar_constraint", "parameters.feature_layer",
             "parameters.activation", "parameters.mse_weight", "parameters", "data", "zip",
             "exclude", "only", "when", "--set", "seeds", "resources", "wandb", "group", "trainer"]
        )
    )  # fmt: skip
    value = draw(SHORT_TREES)
    section, _, name = key.partition(".")
    return f"{section}: {{{name}: {value}}}\n" if name else f"{section}: {value}\n"


def documents() -> st.SearchStrategy[str]:
    entries = st.lists(st.tuples(st.sampled_from(KEYS), trees()), max_size=7)
    return entries.map(lambda pairs: "".join(f"{key}: {value}\n" for key, value in pairs))


@st.composite
def bombs(draw: st.DrawFn) -> str:
    """Lists of aliases of lists of aliases; merges of merges."""
    width, depth = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    merged = draw(st.booleans())
    lines = ["k0: &k0 " + draw(st.sampled_from(["[1, 2]", "{width: 1}", "x"]))]
    for level in range(1, depth):
        target = f"*k{draw(st.integers(max(0, level - 2), level))}"  # itself too
        if merged:
            lines.append(f"k{level}: &k{level} {{<<: [{', '.join([target] * width)}]}}")
        else:
            lines.append(f"k{level}: &k{level} [{', '.join([target] * width)}]")
    key = draw(st.sampled_from(["parameters", "zip", "exclude", "seeds", "group", "resources"]))
    return "\n".join([*lines, f"{key}: *k{depth - 1}", ""])


@st.composite
def grids(draw: st.DrawFn) -> str:
    """Sweeps that mostly fit, large ones among them, under conditions of any shape."""
    axes = {
        "width": draw(st.lists(st.integers(-1, 2000), min_size=1, max_size=30)),
        "depth": draw(st.lists(st.integers(1, 9), min_size=1, max_size=9)),
        "rtol": draw(st.lists(st.floats(1e-9, 1, allow_nan=False), min_size=1, max_size=9)),
        "activation": draw(
            st.lists(st.sampled_from(["tanh", "elu", "gelu", "elo"]), min_size=1, max_size=4)
        ),
    }
    names = st.sampled_from([*axes, "parameters.width", "widht", "parameters"])
    condition = st.dictionaries(
        names,
        st.one_of(
            st.integers(-1, 9), st.sampled_from(["tanh", "elu"]), st.lists(st.integers(1, 9))
        ),
        max_size=3,
    )
    text = {
        "parameters": axes,
        "seeds": draw(st.one_of(st.integers(-1, 200_000), st.lists(st.integers(), max_size=5))),
        "exclude": draw(st.lists(condition, max_size=4)),
        "only": draw(st.lists(condition, max_size=2)),
        "zip": draw(st.lists(st.lists(names, max_size=3), max_size=2)),
    }
    kept = draw(st.sets(st.sampled_from(sorted(text)), min_size=1))
    return json.dumps({key: value for key, value in text.items() if key in kept})


@st.composite
def whens(draw: st.DrawFn) -> str:
    """Blocks of `when` of any shape on top of axes, one of them of sections."""
    some: dict[str, list[Any]] = {
        "width": [1, 2, [1, 2]],
        "depth": [3, [1, 5]],
        "optimiser.name": ["sgd", ["sgd", "adam"]],
        "momentum": [0, 0.5, [0, 0.9], {"linspace": [0, 1, 3]}, "x"],
        "nesterov": [True, [True, False]],
        "clip": [1.5, [None, 2.5]],
        "mse_weight": [[1, 7], {"log": [1, 100, 3]}],
    }

    def part(*keys: str) -> dict[str, Any]:
        chosen = draw(st.sets(st.sampled_from(keys), min_size=1, max_size=2))
        return {key: draw(st.sampled_from(some[key])) for key in sorted(chosen)}

    data: dict[str, Any] = {
        "parameters": {
            "width": draw(st.sampled_from([1, [1, 2], {"range": [1, 4]}])),
            "depth": draw(st.sampled_from([2, [1, 2, 3]])),
            "optimiser": draw(st.sampled_from(["sgd", ["adam", "sgd"], {"name": ["sgd", "adam"]}])),
        },
        "when": [
            {
                "if": part("width", "optimiser.name", "nesterov", "momentum"),
                **part("momentum", "nesterov", "clip", "mse_weight", "depth"),
            }
            for _ in range(draw(st.integers(1, 3)))
        ],
    }
    if draw(st.booleans()):
        data["exclude"] = part("width", "momentum", "clip")
    return json.dumps(data)


@st.composite
def overrides(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file, and what a command line says instead."""
    text = draw(st.sampled_from([USERS, "{}", "parameters: {optimiser: sgd}\n", "x: 1\n"]))
    values = SHORT_TREES | st.lists(SHORT_TREES, min_size=2, max_size=3).map(",".join)
    values |= st.text(max_size=6) | st.sampled_from(SCALARS)
    pairs = st.tuples(st.sampled_from(KEYS), values).map("=".join)
    return text, draw(st.lists(pairs | st.text(max_size=8), max_size=3))


def json_values() -> st.SearchStrategy[Any]:
    scalars = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
        st.sampled_from(["adam", "sgd", "tanh", "2BP", 10**400, -0.0, "\ud800"]),
    )  # fmt: skip
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
        max_leaves=10,
    )


# -- What is checked -------------------------------------------------------------------------------


def refused(read: Callable[[], Any]) -> ConfigError | None:
    """The reader's errors in its input; None if it took it."""
    try:
        read()
    except ConfigError as error:
        return error
    return None


def assert_readable(error: ConfigError | None) -> None:
    if error is not None:
        assert error.problems
        assert all(0 < len(problem.render()) < 5_000 for problem in error.problems)


def check_sweep(folder: Path, text: str | bytes) -> None:
    """All that `sweep plan` does, up to what it prints."""
    file = folder / "some.yaml"
    file.write_bytes(with_trainer(text) if isinstance(text, str) else text)

    def plan() -> None:
        sweep = read_sweep(file, search=[TRAINERS])
        first = next(iter(sweep))
        if not first.invalid:
            data = plain(first.config)
            assert from_plain(sweep.trainer.Config, data) == first.config
            assert run_id(sweep.trainer.name, data) == first.id
        assert sweep.count() <= sweep.grid_size()
        if sweep.count() <= MOST_PLANNED:
            described = describe(remaining(sweep, GroupState()), sweep)
            assert described["total"] == sweep.count()
            json.dumps(described, allow_nan=False)

    assert_readable(refused(plan))


def check_runs(folder: Path, text: str) -> None:
    """Every point is one run, and no two are the same."""
    file = folder / "some.yaml"
    file.write_bytes(with_trainer(text))

    def expand() -> None:
        sweep = read_sweep(file, search=[TRAINERS])
        ids = [run.id for run in sweep]
        assert len(set(ids)) == len(ids) == sweep.count() <= sweep.grid_size()

    assert_readable(refused(expand))


def check_overrides(folder: Path, case: tuple[str, list[str]]) -> None:
    """What is stored of a file and of a command line means the same as both."""
    text, arguments = case
    file = folder / "some.yaml"
    file.write_bytes(with_trainer(text))

    def again() -> None:
        sweep = read_sweep(file, search=[TRAINERS], overrides=arguments)
        copy = folder / "copy.yaml"
        copy.write_text(sweep.text, encoding="utf-8")
        same = read_sweep(copy, search=[TRAINERS])
        assert (same.count(), next(iter(same)).id) == (sweep.count(), next(iter(sweep)).id)
        if arguments:
            assert (same.group, same.resources) == (sweep.group, sweep.resources)

    assert_readable(refused(again))


def with_trainer(text: str) -> bytes:
    """A file without a trainer would import the default one."""
    if text.startswith("{"):
        text = '{"trainer": "orbit_study"' + (", " if text[1:] != "}" else "") + text[1:]
    elif "trainer:" not in text:
        text = f"trainer: orbit_study\n{text}"
    return text.encode("utf-8", "surrogatepass")


def check_defaults(folder: Path, text: str) -> None:
    """What default.yaml says is used, or its errors are reported under its own name."""
    (folder / "inner").mkdir(exist_ok=True)
    (folder / "default.yaml").write_bytes(with_trainer(text))
    file = folder / "inner" / "some.yaml"
    file.write_text("trainer: orbit_study\nparameters: {width: [16, 64]}\n")
    error = refused(lambda: read_sweep(file, search=[TRAINERS]).count())
    assert_readable(error)
    if error is not None:
        assert all("default.yaml" in problem.file for problem in error.problems)


def check_stored(folder: Path, text: str) -> None:
    """A run's config.yaml from anywhere."""
    file = folder / "config.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    Config = load_trainer("orbit_study", search=[TRAINERS]).Config

    def round_trip() -> None:
        config = from_plain(Config, read_config(file))
        file.write_text(to_yaml(config))
        assert from_plain(Config, read_config(file)) == config

    assert_readable(refused(round_trip))


def check_plain(_folder: Path, data: Any) -> None:
    """Config data as it travels in JSON."""
    Config = load_trainer("orbit_study", search=[TRAINERS]).Config

    def round_trip() -> None:
        config = from_plain(Config, data)
        assert len(run_id("orbit_study", plain(config))) == 10
        assert from_plain(Config, plain(config)) == config

    assert_readable(refused(round_trip))


Check = Callable[[Path, Any], None]
CASES: dict[str, tuple[st.SearchStrategy[Any], Check]] = {
    "documents": (documents(), check_sweep),
    "damaged": (damaged(), check_sweep),
    "bytes": (raw_bytes(), check_sweep),
    "single_keys": (single_keys(), check_sweep),
    "bombs": (bombs(), check_sweep),
    "grids": (grids(), check_sweep),
    "whens": (whens(), check_runs),
    "overrides": (overrides(), check_overrides),
    "defaults": (documents(), check_defaults),
    "stored": (documents() | bombs(), check_stored),
    "plain": (json_values(), check_plain),
}


def fuzz(case: str, folder: Path, examples: int) -> None:
    strategy, check = CASES[case]

    @settings(
        max_examples=examples,
        deadline=None,
        # The short soak judges a change, so it must not differ from one run to the next.
        derandomize=os.environ.get("SOAK") == "short",
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(value=strategy)
    def holds(value: Any) -> None:
        with bounded():
            check(folder, value)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    holds()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < GROWTH_LIMIT_BYTES, f"{grown / 1e6:.0f} MB more than before"


@pytest.mark.parametrize("case", CASES)
def test_any_input_is_read_or_its_errors_are_reported(case: str, tmp_path: Path) -> None:
    fuzz(case, tmp_path, FEW)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", CASES)
def test_any_input_is_read_or_its_errors_are_reported_at_length(case: str, tmp_path: Path) -> None:
    fuzz(case, tmp_path, MANY)
