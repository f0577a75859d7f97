"""Renamed parameters: ids stay, old records are read with the new keys, old keys are explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sweeper.config import plain, read_sweep, run_id
from sweeper.config.renames import is_id_of, recorded_config
from sweeper.errors import ConfigError, TrainerError
from sweeper.keys import moved, renamed_keys
from sweeper.trainer import Trainer, load_trainer

OLD = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Adam:
    lr: float = 0.1

@dataclass(frozen=True)
class Config:
    alpha: float = 0.5
    optim: Adam = Adam()
    steps: int = 3

def train(configs, runs): ...
"""
NEW = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Adam:
    rate: float = 0.1

@dataclass(frozen=True)
class Loss:
    penalty: float = 0.5

@dataclass(frozen=True)
class Config:
    steps: int = 3
    loss: Loss = Loss()
    optimiser: Adam = Adam()

def train(configs, runs): ...

renamed = {renamed}
"""
RENAMED = {"alpha": "loss.penalty", "optim": "optimiser", "optim.lr": "optimiser.rate"}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Trainer]:
    """Load a trainer by a name of its own: modules are imported once."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name: str, text: str) -> Trainer:
        (tmp_path / f"{name}.py").write_text(text)
        return load_trainer(name)

    return load


Make = Callable[[str, str], Trainer]


def ids(folder: Path, name: str, text: str) -> list[str]:
    file = folder / "sweep.yaml"
    file.write_text(f"trainer: {name}\n{text}")
    return [run.id for run in read_sweep(file)]


def test_a_sweep_with_the_new_keys_has_the_ids_of_the_old_ones(tmp_path: Path, make: Make) -> None:
    old = make("rn_old", OLD)
    make("rn_new", NEW.replace("{renamed}", repr(RENAMED)))
    wanted = [
        run_id("rn_new", {"alpha": alpha, "optim": {"lr": 0.2}, "steps": 3}) for alpha in (1.0, 2.0)
    ]
    assert [
        run_id("rn_new", {**plain(old.Config()), "alpha": alpha, "optim": {"lr": 0.2}})
        for alpha in (1.0, 2.0)
    ] == wanted
    assert ids(tmp_path, "rn_new", "loss: {penalty: [1, 2]}\noptimiser: {rate: 0.2}\n") == wanted
    # A whole section as one value of an axis, whose JSON text is made apart.
    text = "loss: [{penalty: 1}, {penalty: 2}]\noptimiser: {rate: 0.2}\n"
    assert ids(tmp_path, "rn_new", text) == wanted


def test_a_record_with_old_keys_is_read_with_the_new_ones(make: Make) -> None:
    old = make("rr_old", OLD)
    new = make("rr_new", NEW.replace("{renamed}", repr(RENAMED)))
    stored = plain(old.Config(alpha=2.0))
    config = recorded_config(new, stored)
    assert plain(config) == {"steps": 3, "loss": {"penalty": 2.0}, "optimiser": {"rate": 0.1}}
    assert recorded_config(new, plain(config)) == config
    for run in (run_id("rr_new", stored), run_id("rr_new", plain(config))):
        assert is_id_of(run, new, plain(config))
    assert not is_id_of(run_id("rr_new", {**stored, "alpha": 3.0}), new, plain(config))
    with pytest.raises(ConfigError, match="alpha: unknown key"):
        recorded_config(new, {**stored, "loss": {"penalty": 1.0}})


def test_a_key_that_was_renamed_twice_has_the_ids_of_both_names(make: Make) -> None:
    names = {"alpha": "loss.penalty", "beta": "loss.penalty"}
    new = make("rt_new", NEW.replace("{renamed}", repr(names)))
    config = plain(new.Config())
    rest = {"steps": 3, "optimiser": {"rate": 0.1}}
    for name in names:
        assert recorded_config(new, {**rest, name: 7.0}).loss.penalty == 7.0
        assert is_id_of(run_id("rt_new", {**rest, name: 0.5}), new, config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alpha: [1, 2]", "2:1: alpha: unknown key; renamed to `loss.penalty`"),
        ("optim: {lr: 1}", "2:1: optim: unknown key; renamed to `optimiser`"),
        ("loss: {penalty: [1, 2]}\nexclude: {alpha: 1}",
         "3:11: exclude: `alpha` is not a key of the config; renamed to `loss.penalty`"),
        ("alpah: 1", "2:1: alpah: unknown key; known are"),
    ],
)  # fmt: skip
def test_a_sweep_file_with_an_old_key_is_told_the_new_one(
    tmp_path: Path, make: Make, text: str, said: str
) -> None:
    make("rf_new", NEW.replace("{renamed}", repr(RENAMED)))
    with pytest.raises(ConfigError) as error:
        ids(tmp_path, "rf_new", text)
    assert f"sweep.yaml:{said}" in str(error.value)


def test_an_old_key_inside_a_value_and_one_in_default_yaml_are_told_too(
    tmp_path: Path, make: Make
) -> None:
    make("rv_new", NEW.replace("{renamed}", repr({"optimiser.lr": "optimiser.rate"})))
    said = "optimiser.lr: unknown key; renamed to `optimiser.rate`"
    with pytest.raises(ConfigError, match=said):
        ids(tmp_path, "rv_new", "optimiser: [{lr: 1}, {rate: 2}]\n")
    (tmp_path / "default.yaml").write_text("trainer: rv_new\noptimiser: {lr: 1}\n")
    with pytest.raises(ConfigError, match=f"default.yaml:2:13: {said}"):
        ids(tmp_path, "rv_new", "steps: 4\n")


@pytest.mark.parametrize(
    ("renamed", "said"),
    [
        ("['alpha']", "`renamed` must be a mapping of old keys to new ones, such as"),
        ("{'alpha': 3}", "`renamed` must be a mapping"),
        ("{'alpha': 'loss..penalty'}", "`renamed` must be a mapping"),
        ("{'a': 'b', 'b': 'loss.penalty'}",
         "`renamed` has `a` → `b` and `b` → `loss.penalty`: give the newest key for each old one"),
        ("{'steps': 'loss.penalty'}",
         "`renamed` has `steps` → `loss.penalty`, but `steps` is still a field of its Config"),
        ("{'alpha': 'loss.penalyt'}",
         "`renamed` has `alpha` → `loss.penalyt`, but its Config has no field `loss.penalyt`; did "
         "you mean `loss.penalty`?"),
    ],
)  # fmt: skip
def test_renames_that_mean_nothing_are_errors_of_the_trainer(
    tmp_path: Path, make: Make, renamed: str, said: str, request: pytest.FixtureRequest
) -> None:
    name = f"rx_{abs(hash(request.node.name))}"
    text = NEW.replace("{renamed}", renamed)
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises((ConfigError, TrainerError)) as error:
        ids(tmp_path, name, "steps: 4\n")
    assert f"trainer {name!r}: {said}" in str(error.value)


def test_values_by_dotted_key_are_renamed_below_inside_and_around() -> None:
    values = {"alpha": 1, "optim": {"lr": 2, "name": "a"}, "steps": 3}
    renamed = {"alpha": "loss.penalty", "optim": "optimiser", "optim.lr": "optimiser.rate"}
    assert renamed_keys(values, renamed) == {
        "loss.penalty": 1,
        "optimiser": {"rate": 2, "name": "a"},
        "steps": 3,
    }
    assert renamed_keys({"optim.lr": 1, "optim.b": 2}, renamed) == {
        "optimiser.rate": 1,
        "optimiser.b": 2,
    }
    assert renamed_keys({"alpha": 1, "loss.penalty": 2}, renamed) == {
        "alpha": 1,
        "loss.penalty": 2,
    }
    assert renamed_keys(values, {}) is values


names = st.sampled_from("abcd")
keys = st.lists(names, min_size=1, max_size=2).map(".".join)
trees: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=8
)


def leaves(data: Any) -> list[int]:
    if isinstance(data, dict):
        return sorted(leaf for value in data.values() for leaf in leaves(value))
    return [data]


@example({"a": {"b": 1}}, {"a": "a.c"})
@example({"a": {"b": {"c": 1}}}, {"a.b": "a"})
@given(st.dictionaries(names, trees, max_size=4), st.dictionaries(keys, keys, max_size=4))
def test_no_value_is_lost_and_no_input_changed_whatever_moves(
    data: dict[str, Any], moves: dict[str, str]
) -> None:
    before = repr(data)
    found = moved(data, moves)
    assert leaves(found) == leaves(data)
    assert repr(data) == before


@given(st.dictionaries(names, st.integers(), max_size=4), st.sampled_from(["e", "a.x", "e.f.g"]))
def test_a_move_back_undoes_a_move(data: dict[str, Any], new: str) -> None:
    data = {key: value for key, value in data.items() if key != "a"}
    there = {**data, "b": 1}
    assert moved(moved(there, {"b": new}), {new: "b"}) == there
