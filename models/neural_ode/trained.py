"""A trained model taken from its run's folder, with its units: to evaluate, integrate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from models.neural_ode import storage
from models.neural_ode.config import Config
from models.neural_ode.evaluation import Solver, measure, predict
from models.neural_ode.model import NeuralODE, acceleration
from models.training import checkpoints
from models.training.device import choose
from models.two_body import Dataset, Units, load

__all__ = ["Trained", "evaluate_run", "load_run"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A model in km and s; `model` and `units` are what it is made of, for normalised states.

    `solver` integrates with the tolerances of the training.
    """

    model: NeuralODE
    units: Units
    solver: Solver

    def acceleration(self, states: npt.ArrayLike) -> Array:
        """Accelerations (..., 3) in km/s² at states (..., 6) in km and km/s."""
        return self.units.denormalise_accelerations(self._each(_accelerations, states))

    def features(self, states: npt.ArrayLike) -> Array:
        """What the first layer sees (..., F) of states (..., 6) in km and km/s."""
        return self._each(_features, states)

    def outputs(self, states: npt.ArrayLike) -> Array:
        """The raw outputs z (..., O) of the network at states (..., 6) in km and km/s."""
        return self._each(_outputs, states)

    def propagate(self, dataset: Dataset) -> Array:
        """The model's own orbits (N, T, 6) in km and km/s from the first states of a dataset.

        At the dataset's times; NaN where an orbit failed or the dataset has no sample.
        """
        predictions, _ = predict(self.model, self.units, [dataset], self.solver)
        return self.units.denormalise_states(predictions[0].states)

    def _each(self, function: Any, states: npt.ArrayLike) -> Array:
        normalised = self.units.normalise_states(states)
        flat = normalised.reshape(-1, 6).astype(np.float32)
        found = np.asarray(function(self.model, flat), np.float64)
        return found.reshape(*normalised.shape[:-1], found.shape[-1])


_accelerations = jax.jit(jax.vmap(acceleration, (None, 0)))
_features = jax.jit(jax.vmap(lambda model, y: model.features(y), (None, 0)))
_outputs = jax.jit(jax.vmap(lambda model, y: model.output(y), (None, 0)))


def load_run(folder: Path, which: str) -> Trained:
    """The model `which` of a run's folder. Raises ModelFileError."""
    bundle = storage.read(folder / checkpoints.FILE)
    header = bundle.header
    solver = Solver(header.rtol, header.atol, header.max_steps, jax.devices()[0])
    return Trained(bundle.model(which), header.units, solver)


def evaluate_run(config: Config, folder: Path, datasets: Sequence[str]) -> dict[str, float]:
    """The best model of a run on datasets (names or files) that need not be those of its config.

    Raises ModelFileError if the run has no model or one of another architecture.
    """
    p = config.parameters
    bundle = storage.read(folder / checkpoints.FILE, expected=p.architecture())
    device = choose(config.device)
    solver = Solver(p.rtol, p.atol, p.max_steps, device)
    loaded = [load(name, seed=config.data.data_seed) for name in datasets]
    with jax.default_device(device):
        figures, _ = measure(bundle.model("best"), bundle.header.units, loaded, solver)
    return figures
