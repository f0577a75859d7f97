"""The trainer as a sweep sees it: cheap to import, checked before it runs, keyed by program."""

import dataclasses
import subprocess
import sys
import timeit
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from models import neural_ode
from models.neural_ode import Config, check, program_key
from models.neural_ode import config as words
from models.neural_ode.config import Parameters
from models.neural_ode.phases import Phase, phases
from models.training import config as shared_words
from models.training.config import Adam, AdamW, Sgd
from sweeper.config import identity, plain, run_id
from sweeper.trainer import load_trainer

REPOSITORY = Path(__file__).parents[3]


def test_a_new_parameter_changes_no_id() -> None:
    # What the default config's id was before `max_unsolved`.
    assert run_id("models.neural_ode", identity(Config())) == "eaeew6mt2w"


def test_importing_the_trainer_is_quick_and_imports_no_jax() -> None:
    code = (
        "import time, sys; began = time.process_time(); import models.neural_ode as m;"
        "took = time.process_time() - began;"
        "assert not m.check(m.Config()); m.program_key(m.Config());"
        "heavy = {'jax', 'equinox', 'optax', 'diffrax', 'ray', 'wandb'} & set(sys.modules);"
        "print(took, *heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    took, *heavy = done.stdout.split()
    assert heavy == []
    assert float(took) < 0.1


def test_it_keeps_the_contract() -> None:
    trainer = load_trainer("models.neural_ode")
    assert trainer.Config is Config
    assert trainer.headline == "tests/mean"
    assert trainer.evaluate is not None
    assert callable(neural_ode.train)


def test_importing_the_training_does_not_hide_the_functions() -> None:

    assert {type(getattr(neural_ode, name)).__name__ for name in ("train", "evaluate", "load")} == {
        "function"
    }


def test_the_default_file_says_the_defaults() -> None:
    text = (REPOSITORY / "configs" / "default.yaml").read_text()
    loaded = yaml.safe_load(text)
    assert loaded.pop("trainer") == "models.neural_ode"
    assert _numbers(loaded) == plain(Config())


def _numbers(value: Any) -> Any:
    """YAML 1.1 of PyYAML reads 1e-3 as text."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def test_every_key_of_the_default_file_has_a_comment() -> None:
    bare, above = [], ""
    for line in (REPOSITORY / "configs" / "default.yaml").read_text().splitlines():
        key = line.partition("#")[0].strip()
        explained = "#" in line or above.lstrip().startswith("#")
        if key.partition(":")[2].strip() and not explained:
            bare.append(line)
        above = line
    assert bare == []


def test_words_and_catalogues_are_the_same() -> None:
    from models.neural_ode.activations import ACTIVATIONS
    from models.neural_ode.features import LAYERS
    from models.neural_ode.heads import HEADS
    from models.neural_ode.losses import LOSSES
    from models.training.optimisers import BUILDERS
    from models.training.schedules import SCHEDULES

    assert get_args(words.FeatureLayer) == tuple(LAYERS)
    assert get_args(words.OutputLayer) == tuple(HEADS)
    assert get_args(words.Activation) == tuple(ACTIVATIONS)
    assert get_args(words.Loss) == tuple(LOSSES)
    assert get_args(shared_words.LrSchedule) == tuple(SCHEDULES)
    assert [cls().name for cls in get_args(shared_words.Optimiser)] == list(BUILDERS)


def test_catalogues_cannot_be_changed() -> None:
    from models.neural_ode.heads import HEADS

    heads: Any = HEADS
    with pytest.raises(TypeError):
        heads["mine"] = heads["mlp_4D"]


def test_a_single_entry_serves_every_phase() -> None:
    p = Parameters(
        length_strategy=((0.0, 0.1), (0.0, 1.0)),
        segment_length_strategy=(4,),
        lr_strategy=(1e-3, 1e-4),
        steps_strategy=(7,),
    )
    assert phases(p) == (Phase((0.0, 0.1), 4, 1e-3, 7), Phase((0.0, 1.0), 4, 1e-4, 7))


def changed(data: Mapping[str, Any] | None = None, **parameters: Any) -> Config:
    config = Config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **(data or {})),
        parameters=dataclasses.replace(config.parameters, **parameters),
    )


FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "lists": (
        {"lr_strategy": (1e-3, 1e-4), "steps_strategy": (1, 2, 3)},
        ["`lr_strategy` has 2", "`steps_strategy` has 3"],
    ),
    "segment": (
        {"length_strategy": ((0.0, 0.1),), "segment_length_strategy": (37,)},
        ["37 samples", "holds 36"],
    ),
    "second phase": (
        {"length_strategy": ((0.0, 1.0), (0.5, 0.52)), "segment_length_strategy": (18,)},
        ["phase 2", "holds 7"],
    ),
    "window": ({"length_strategy": ((0.5, 0.2),)}, ["[0.5, 0.2]", "start < stop"]),
    "name": ({"data": {"dataset_name": "complx_TBP_planar_10_train"}}, ["did you mean", "complex"]),
    "test name": ({"data": {"test_datasets": ("nothing",)}}, ["data.test_datasets", "nothing"]),
    "no file": ({"data": {"dataset_name": "there/is/no.npz"}}, ["there/is/no.npz"]),
    "too many orbits": ({"num_trajs": 11}, ["11", "10 orbits"]),
    "no orbits": ({"num_trajs": 0}, ["`num_trajs` is 0"]),
    "not planar": (
        {"data": {"dataset_name": "complex_TBP_10_train"}},
        ["planar_constraint: false"],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_work_is_told_with_the_values_that_cause_it(case: str) -> None:
    changes, parts = FAULTS[case]
    [said] = check(changed(**changes))
    assert all(part in said for part in parts), said


def test_the_largest_segment_that_fits_is_no_fault() -> None:
    assert check(changed(length_strategy=((0.0, 0.1),), segment_length_strategy=(36,))) == []
    assert check(changed(segment_length_strategy=(360,))) == []
    three_d = changed(data={"dataset_name": "complex_TBP_10_train"}, planar_constraint=False)
    assert check(three_d) == []


def test_all_faults_are_told_at_once() -> None:
    config = changed(
        data={"dataset_name": "complex_TBP_10_train"}, num_trajs=99, segment_length_strategy=(400,)
    )
    assert len(check(config)) == 3


def test_checking_a_million_points_takes_less_than_a_minute() -> None:
    configs = [changed(lr_strategy=(1e-3 * k,), width=k) for k in range(1, 51)]
    best = min(timeit.repeat(lambda: [check(c) for c in configs], number=20, repeat=5))
    assert best / (20 * 50) < 60e-6


SAME_PROGRAM: dict[str, dict[str, Any]] = {
    "learning rate": {"lr_strategy": (1e-4,)},
    "steps": {"steps_strategy": (7,)},
    "weights of losses": {"mse_weight": 50.0, "l2_weight": 1e-3},
    "tolerances": {"rtol": 1e-5, "atol": 1e-7},
    "window with as many segments to fill the batch": {"length_strategy": ((0.0, 0.9),)},
    "a phase more of the same shape": {"lr_strategy": (1e-3, 1e-4)},
    "weight decay": {"optimiser": AdamW(weight_decay=0.1)},
    "schedule": {"lr_schedule": "cosine", "gradient_clip": 1.0},
    "split": {"train_val_split": 0.8},
}
OTHER_PROGRAM: dict[str, dict[str, Any]] = {
    "width": {"width": 32},
    "activation": {"activation": "tanh"},
    "head": {"output_layer": "mlp_4D"},
    "loss": {"loss_fcn": "percent_error_plus_nmse"},
    "segment length": {"segment_length_strategy": (10,)},
    "batch size": {"batch_size": 64},
    "energy term": {"energy_weight": 1.0},
    "optimiser": {"optimiser": Sgd()},
    "betas": {"optimiser": Adam(b1=0.5)},
}


@pytest.mark.parametrize("case", SAME_PROGRAM)
def test_what_is_an_argument_makes_no_other_program(case: str) -> None:
    assert program_key(changed(**SAME_PROGRAM[case])) == program_key(Config())


@pytest.mark.parametrize("case", OTHER_PROGRAM)
def test_what_shapes_the_program_makes_another(case: str) -> None:
    assert program_key(changed(**OTHER_PROGRAM[case])) != program_key(Config())


def test_seeds_and_data_seeds_share_a_program() -> None:
    assert program_key(dataclasses.replace(Config(), seed=5)) == program_key(Config())
    assert program_key(changed(data={"data_seed": 3})) == program_key(Config())
    assert hash(program_key(Config())) == hash(program_key(dataclasses.replace(Config(), seed=9)))


def test_datasets_are_checked_by_name_before_anything_is_evaluated() -> None:
    assert neural_ode.check_dataset("complex_TBP_planar_10_test") == []
    assert neural_ode.check_dataset("data/orbits.npz") == []
    (problem,) = neural_ode.check_dataset("complx_TBP_planar_10_test")
    assert "did you mean `complex_TBP_planar_10_test`?" in problem
