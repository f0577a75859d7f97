"""Configs of the latent ODE: what can't work is told, and nothing of it needs JAX."""

import dataclasses
import json
import subprocess
import sys

import pytest

from models import latent_ode
from models.latent_ode import Config, Data, Parameters, check, program_key
from models.latent_ode.config import config_from_plain


def test_the_defaults_can_work() -> None:
    assert check(Config()) == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (Config(data=Data(dataset_name="complx_TBP_10")), "did you mean `complex_TBP_10`"),
        (Config(data=Data(test_datasets=("simple_TBP",))), "did you mean `simple_TBP_10`"),
        (Config(parameters=Parameters(num_trajs=0)), "`num_trajs` must be -1"),
        (Config(data=Data(observed_components=("x", "x"))), "names one twice"),
        (Config(data=Data(stride=200)), "fewer than two observations"),
        (Config(data=Data(observed_fraction=0.03)), "`observed_fraction` 1.35"),
        (
            Config(parameters=Parameters(observed_window=0.6, target_window=0.5)),
            "`observed_window <= target_window` must hold",
        ),
    ],
)
def test_what_cannot_work_is_told(config: Config, told: str) -> None:
    (problem,) = check(config)
    assert told in problem


def test_files_are_not_judged_by_the_grammar() -> None:
    data = Data(dataset_name="orbits/mine.npz", stride=200, test_datasets=("wandb:a/b/c:v1",))
    assert check(Config(data=data)) == []


def test_datasets_are_checked_by_name_before_anything_is_evaluated() -> None:
    assert latent_ode.check_dataset("complex_TBP_planar_10_test") == []
    assert latent_ode.check_dataset("data/orbits.npz") == []
    (problem,) = latent_ode.check_dataset("complx_TBP_planar_10_test")
    assert "did you mean `complex_TBP_planar_10_test`?" in problem


def test_plain_and_back() -> None:
    config = Config(
        data=Data(observed_components=("x", "vy"), test_datasets=()), parameters=Parameters(lr=1e-2)
    )
    assert config_from_plain(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    with pytest.raises(ValueError, match="no entry `widht`"):
        config_from_plain({"parameters": {"widht": 3}})


def test_program_key_tells_shapes_and_nothing_else() -> None:
    key = program_key(Config())
    same = Config(
        data=Data(observed_fraction=0.5, irregular=True, observed_components=("x",)),
        parameters=Parameters(
            lr=1.0, noise=1.0, kl_weight=0.0, steps=7, gradient_clip=5.0, rtol=0.1
        ),
        seed=9,
    )
    assert program_key(same) == key
    for other in (Parameters(width=1), Parameters(batch_size=2), Parameters(observed_window=0.1)):
        assert program_key(Config(parameters=other)) != key
    assert program_key(Config(data=Data(dataset_name="complex_TBP_3"))) != key


def test_checking_needs_no_jax() -> None:
    code = (
        "import sys; from models import latent_ode as m; m.check(m.Config()); "
        "m.program_key(m.Config()); print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_the_contract_survives_the_modules_behind_it() -> None:
    # `train` and `evaluate` must stay functions: no module of the package may bear their names.
    from models.latent_ode import evaluation, training

    assert callable(latent_ode.train)
    assert callable(latent_ode.evaluate)
    assert {evaluation.__name__, training.__name__}.isdisjoint(
        {"models.latent_ode.train", "models.latent_ode.evaluate"}
    )
