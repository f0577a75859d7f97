"""The one format of model files: every family keeps its models, and refuses what doesn't fit."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import equinox as eqx
import jax
import numpy as np
import pytest

from models import latent_ode, neural_ode
from models.latent_ode.model import LatentOde
from models.latent_ode.series import Scales
from models.latent_ode.storage import Trained, build
from models.latent_ode.storage import write as write_latent
from models.neural_ode.config import Parameters
from models.neural_ode.model import NeuralODE
from models.neural_ode.storage import Bundle, Header
from models.neural_ode.storage import write as write_neural
from models.training import checkpoints
from models.training.checkpoints import ModelFileError
from models.two_body import Units

Change: TypeAlias = Callable[[dict[str, Any]], object]
Saved: TypeAlias = tuple[Path, Callable[[Change], None]]


def save_neural(path: Path) -> NeuralODE:
    architecture = Parameters(width=5, activation="prelu").architecture()
    model = NeuralODE(architecture, rng=np.random.default_rng(3))
    header = Header(architecture, Units(42164.0, 13713.4), "final", 1e-6, 1e-8, 1024)
    write_neural(path, Bundle(header, {"final": model}))
    return model


def save_latent(path: Path) -> LatentOde:
    parameters = latent_ode.Parameters(latent_size=3, hidden_size=4, width=5, depth=1)
    config = latent_ode.Config(parameters=parameters, seed=2)
    trained = Trained(config, Scales(7000.0, 7.5, 900.0), build(config))
    write_latent(trained, path)
    return trained.model


class Loaded(Protocol):
    @property
    def model(self) -> eqx.Module: ...


FAMILIES: Mapping[str, tuple[Callable[[Path], eqx.Module], Callable[[Path], Loaded]]] = {
    "neural_ode": (save_neural, neural_ode.load),
    "latent_ode": (save_latent, latent_ode.load),
}


def arrays(model: eqx.Module) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(model) if hasattr(leaf, "dtype")]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def saved(family: str, tmp_path: Path) -> Saved:
    """A file of a family, with a function that changes its line of JSON."""
    path = tmp_path / checkpoints.FILE
    FAMILIES[family][0](path)

    def edit(change: Change) -> None:
        line, _, rest = path.read_bytes().partition(b"\n")
        data = json.loads(line)
        change(data)
        path.write_bytes(json.dumps(data).encode() + b"\n" + rest)

    return path, edit


def test_what_is_loaded_is_what_was_saved(family: str, tmp_path: Path) -> None:
    save, load = FAMILIES[family]
    model = save(tmp_path / checkpoints.FILE)
    found = load(tmp_path).model
    structure: Any = jax.tree.structure(model)
    assert jax.tree.structure(found) == structure
    assert len(arrays(model)) > 4
    for a, b in zip(arrays(found), arrays(model), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_a_run_without_a_model_says_so(family: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist: only runs that finished"):
        FAMILIES[family][1](tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(format="sweeper model 0"), "train the run again"),
        (lambda d: d.update(family="n_body"), "a model of the family 'n_body'"),
        (lambda d: d.pop("family"), "a model of the family None"),
        (lambda d: d.pop("format"), "is not a model file"),
        (lambda d: d.pop("names"), "damaged header"),
        (lambda d: d.pop("header"), "damaged header"),
        (lambda d: d.update(header=[1]), "damaged header"),
        (lambda d: d["names"].pop(), "more than its header says"),
        (lambda d: d["names"].append("more"), "ends too early"),
    ],
)
def test_files_that_do_not_fit_are_refused_with_the_reason(
    change: Change, told: str, family: str, saved: Saved
) -> None:
    path, edit = saved
    edit(change)
    with pytest.raises(ModelFileError, match=told):
        FAMILIES[family][1](path.parent)


def test_a_file_of_another_family_is_refused(family: str, saved: Saved) -> None:
    [other] = FAMILIES.keys() - {family}
    with pytest.raises(ModelFileError, match=f"of the family '{family}', not '{other}'"):
        FAMILIES[other][1](saved[0].parent)


def test_torn_and_foreign_files_are_refused(family: str, saved: Saved) -> None:
    path, _ = saved
    whole = path.read_bytes()
    line, arrays_of = whole.split(b"\n", 1)
    torn = [whole[:length] for length in (0, 10, len(line), len(whole) // 2, len(whole) - 1)]
    foreign = [b"no model\n" + arrays_of, b"[1]\n" + arrays_of, whole + b"x"]
    for content in torn + foreign:
        path.write_bytes(content)
        with pytest.raises(ModelFileError):
            FAMILIES[family][1](path.parent)
