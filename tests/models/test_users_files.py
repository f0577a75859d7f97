"""The forms in which users write their sweep files: each plans, and means what it means to them.

The files follow the description of the users' own (keys, brackets, quotes, comments), one form a
file. Each must give exactly these axes and these runs, in this order.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from models.neural_ode.config import Config
from models.two_body import load
from sweeper.config import Sweep, read_sweep

FILES = Path(__file__).parent / "users_files"
DATA = {"dataset_name", "problem"}
WHOLE = (0.0, 1.0)
GROWING = tuple((0.0, k / 10) for k in range(1, 11))
SLIDING = tuple((k / 10, (k + 1) / 10) for k in range(10))


@dataclass(frozen=True)
class Meaning:
    """The values of each axis, slowest first, and the single values; all else is the default."""

    axes: dict[str, list[Any]] = field(default_factory=dict)
    single: dict[str, Any] = field(default_factory=dict)


MEANINGS = {
    "segments_as_lists": Meaning({"segment_length_strategy": [(4,), (10,), (18,)]}),
    "rate_in_two_brackets": Meaning(
        single={"lr_strategy": (0.0005,), "steps_strategy": (2000,)},
    ),
    "ten_windows": Meaning(single={"length_strategy": GROWING}),
    "ten_windows_in_one_more_bracket": Meaning(single={"length_strategy": GROWING}),
    "several_length_strategies": Meaning(
        {"length_strategy": [GROWING, SLIDING, ((0.0, 0.5), WHOLE), (WHOLE,)]}
    ),
    "values_in_brackets": Meaning(
        single={
            "dataset_name": "complex_TBP_planar_100_train",
            "width": 32,
            "depth": 4,
            "activation": "tanh",
        }
    ),
    "bare_values": Meaning(
        single={
            "dataset_name": "complex_TBP_planar_100_train",
            "width": 32,
            "depth": 4,
            "activation": "tanh",
        }
    ),
    "split_as_integer": Meaning(single={"train_val_split": 1.0}),
    "split_as_float": Meaning(single={"train_val_split": 1.0}),
    "problem_in_single_quotes": Meaning(
        single={"dataset_name": "complex_TBP_planar_100_train", "problem": "2BP"}
    ),
    "problem_in_double_quotes": Meaning(
        single={"dataset_name": "complex_TBP_planar_100_train", "problem": "2BP"}
    ),
    "blanks_before_colons": Meaning({"depth": [2, 4]}, {"width": 32, "lr_strategy": (0.01,)}),
    "section_twice": Meaning({"width": [16, 32], "segment_length_strategy": [(4,), (10,)]}),
    "no_wandb": Meaning(single={"dataset_name": "complex_TBP_planar_4_train", "width": 32}),
    "names_without_train": Meaning(
        {
            "dataset_name": [
                "complex_TBP_planar_16",
                "simple_TBP_planar_4",
                "complex_TBP_planar_16_train",
            ]
        }
    ),
    "commented_out": Meaning(
        {
            "dataset_name": ["complex_TBP_planar_10_train", "complex_TBP_planar_100_train"],
            "output_layer": ["mlp_4D_signed", "mlp_4D_softplus"],
        },
        {"length_strategy": (WHOLE,), "lr_strategy": (0.001,)},
    ),
    "comments_after_values": Meaning(
        {"depth": [2, 4]},
        {
            "width": 32,
            "activation": "tanh",
            "lr_strategy": (0.01,),
            "length_strategy": ((0.0, 0.1), WHOLE),
            "loss_fcn": "percent_error_plus_nmse",
        },
    ),
    "all_keys": Meaning(
        single={
            "dataset_name": "complex_TBP_100_train",
            "problem": "TBP",
            "length_strategy": ((0.0, 0.2), WHOLE),
            "lr_strategy": (0.01, 0.0001),
            "steps_strategy": (300, 20),
            "segment_length_strategy": (4, 10),
            "width": 16,
            "depth": 3,
            "train_val_split": 0.8,
            "batch_size": 64,
            "num_trajs": 50,
            "loss_fcn": "mean_squared_error",
            "activation": "gelu",
            "feature_layer": "cartesian",
            "output_layer": "mlp_simple",
            "planar_constraint": False,
            "rtol": 1e-5,
            "atol": 1e-7,
        }
    ),
    "sweep-2BP-12-10": Meaning(
        {
            "dataset_name": [f"complex_TBP_planar_{orbits}_train" for orbits in (1, 10, 100)],
            "length_strategy": [((0.0, 0.1), WHOLE, WHOLE), (WHOLE,)],
            "segment_length_strategy": [(4,), (10,), (18,)],
            "depth": [2, 4],
            "activation": ["tanh", "leaky_relu"],
            "feature_layer": ["sph_4D_rinv_vel", "sph_4D_rinv_vel_harmonics"],
            "output_layer": [
                "mlp_4D_signed",
                "mlp_4D_unit",
                "mlp_4D_unit_softplus",
                "mlp_4D_logmag_unit_exp",
            ],
        },
        {
            "lr_strategy": (0.001, 0.001, 0.0001),
            "steps_strategy": (1000, 1000, 1000),
            "loss_fcn": "percent_error_plus_nmse",
        },
    ),
}


def read(name: str) -> Sweep:
    return read_sweep(FILES / f"{name}.yaml")


def config_of(values: Mapping[str, Any]) -> Config:
    """The default config with some values of its data or parameters changed."""
    data = {name: value for name, value in values.items() if name in DATA}
    parameters = {name: value for name, value in values.items() if name not in DATA}
    config = Config()
    return replace(
        config,
        data=replace(config.data, **data),
        parameters=replace(config.parameters, **parameters),
    )


def test_every_file_has_a_meaning() -> None:
    assert {file.stem for file in FILES.iterdir()} == MEANINGS.keys()


@pytest.mark.parametrize("name", MEANINGS)
def test_the_axes_are_those_that_the_user_means(name: str) -> None:
    expected = {
        f"{'data' if key in DATA else 'parameters'}.{key}": values
        for key, values in MEANINGS[name].axes.items()
    }
    found = {axis.key: list(axis.values) for axis in read(name).axes}
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize("name", MEANINGS)
def test_the_runs_are_those_that_the_user_means(name: str) -> None:
    meaning = MEANINGS[name]
    expected = [
        config_of(meaning.single | dict(zip(meaning.axes, point, strict=True)))
        for point in itertools.product(*meaning.axes.values())
    ]
    sweep = read(name)
    assert [run.config for run in sweep] == expected
    assert sweep.count() == len(expected)
    assert sweep.group == name
    for run in sweep:
        assert run.invalid == ()
        assert sweep.trainer.check(run.config) == []


def test_the_whole_sweep_of_the_users_has_576_runs() -> None:
    assert read("sweep-2BP-12-10").count() == 576


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("values_in_brackets", "bare_values"),
        ("split_as_integer", "split_as_float"),
        ("problem_in_single_quotes", "problem_in_double_quotes"),
        ("ten_windows", "ten_windows_in_one_more_bracket"),
    ],
)
def test_two_ways_to_write_a_value_give_the_same_run(one: str, other: str) -> None:
    assert [run.id for run in read(one)] == [run.id for run in read(other)]


@pytest.mark.parametrize("name", MEANINGS)
def test_only_a_repeated_section_gives_a_warning(name: str) -> None:
    warnings = [(problem.line, problem.message) for problem in read(name).warnings]
    expected = [(9, "`parameters` is given twice, on line 3 and on line 9")]
    assert warnings == (expected if name == "section_twice" else [])


def test_a_name_without_a_split_is_a_draw_of_its_own() -> None:
    own, train = (load(f"complex_TBP_planar_16{split}") for split in ("", "_train"))
    assert len(own) == len(train) == 16
    assert not (own.y == train.y).all(axis=(1, 2)).any()
