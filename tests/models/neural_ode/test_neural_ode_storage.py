"""Saved models: what comes back is what was saved, and what doesn't fit is refused."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_trainings import Done

from models.neural_ode import load
from models.neural_ode.config import Parameters
from models.neural_ode.features import LAYERS
from models.neural_ode.heads import HEADS
from models.neural_ode.model import NeuralODE
from models.neural_ode.storage import Bundle, Header, read, write
from models.training.checkpoints import ModelFileError
from models.two_body import Units
from models.two_body import load as load_data
from models.two_body.orbits import acceleration


def bundle(seed: int = 0, **parameters: Any) -> Bundle:
    architecture = dataclasses.replace(Parameters(width=5), **parameters).architecture()
    names = ("final", "phase_1", "phase_2")
    models = {
        name: NeuralODE(architecture, rng=np.random.default_rng([seed, k]))
        for k, name in enumerate(names)
    }
    header = Header(architecture, Units(42164.0, 13713.4), "phase_1", 1e-6, 1e-8, 1024)
    return Bundle(header, models)


@pytest.mark.parametrize(
    "parameters",
    [{"output_layer": name} for name in HEADS]
    + [{"feature_layer": name} for name in LAYERS]
    + [{"activation": "prelu"}, {"depth": 0}],
    ids=str,
)
def test_what_is_read_is_what_was_written(parameters: dict[str, Any], tmp_path: Path) -> None:
    written = bundle(**parameters)
    write(tmp_path / "model.eqx", written)
    found = read(tmp_path / "model.eqx", expected=written.header.architecture)
    assert found.header == written.header
    assert list(found.models) == list(written.models)
    for name in written.models:
        for a, b in zip(
            jax.tree.leaves(found.models[name]), jax.tree.leaves(written.models[name]), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_best_is_the_model_that_the_header_names(tmp_path: Path) -> None:
    write(tmp_path / "model.eqx", bundle())
    found = read(tmp_path / "model.eqx")
    assert found.model("best") is found.models["phase_1"]
    with pytest.raises(ModelFileError, match="best, final, phase_1, phase_2"):
        found.model("phase_3")


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The file with another header."""
    header, _, arrays = path.read_bytes().partition(b"\n")
    data = json.loads(header)
    change(data["header"])
    path.write_bytes(json.dumps(data).encode() + b"\n" + arrays)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["architecture"].update(width=6), "damaged"),
        (lambda d: d["architecture"].update(output_layer="mlp_5D"), "'mlp_5D'"),
        (lambda d: d["architecture"].pop("epsilon"), "epsilon"),
        (lambda d: d["architecture"].update(gates=3), "gates"),
        (lambda d: d["units"].update(time_s=-1), "time_s"),
        (lambda d: d.pop("units"), "units"),
    ],
)
def test_files_that_do_not_fit_are_refused_with_the_reason(
    change: Callable[[dict[str, Any]], object], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.eqx"
    write(path, bundle())
    edited(path, change)
    with pytest.raises(ModelFileError, match=told):
        read(path)


def test_another_architecture_is_refused_with_both_values(tmp_path: Path) -> None:
    path = tmp_path / "model.eqx"
    write(path, bundle())
    other = Parameters(width=7, activation="gelu").architecture()
    with pytest.raises(ModelFileError) as caught:
        read(path, expected=other)
    for part in ("width 5 (config: 7)", "activation 'leaky_relu' (config: 'gelu')"):
        assert part in str(caught.value)


def test_a_trained_run_is_loaded_in_one_line_with_its_units(tiny_run: Done) -> None:
    trained = load(tiny_run.folder)
    data = load_data(tiny_run.config.data.dataset_name)
    assert trained.units == Units.of(data)
    found = trained.acceleration(data.y)
    truth = acceleration(data.y)
    assert found.shape == (2, 360, 3)
    error = np.linalg.norm(found - truth, axis=-1) / np.linalg.norm(truth, axis=-1)
    assert error.mean() < 0.5  # in km/s²: without units it would be off by 10⁷
    assert trained.features(data.y).shape == (2, 360, 7)
    assert trained.outputs(data.y[0, 0]).shape == (4,)


def test_a_trained_run_propagates_an_orbit(tiny_run: Done) -> None:
    data = load_data("simple_TBP_planar_1_test")
    states = load(tiny_run.folder).propagate(data)
    assert states.shape == data.y.shape
    np.testing.assert_allclose(states[0, 0], data.y[0, 0], rtol=1e-5, atol=1e-3)
    assert np.isfinite(states).all()
    assert not np.allclose(states[0, 180], states[0, 0], rtol=0.1)


def test_final_and_best_can_be_told_apart(tiny_run: Done) -> None:
    with pytest.raises(ModelFileError, match="phase_1"):
        load(tiny_run.folder, "phase_2")
    assert load(tiny_run.folder, "final").units == load(tiny_run.folder, "phase_1").units
