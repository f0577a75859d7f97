"""What can be chosen of a latent ODE; imports no JAX."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, Le, MinLen

from models.training.config import Count, Device, Positive, Weight
from models.two_body import ORBIT_SAMPLES
from models.two_body.names import is_name, name_problems

__all__ = ["COMPONENTS", "Component", "Config", "Data", "Parameters", "config_from_plain"]

Component = Literal["x", "y", "z", "vx", "vy", "vz"]
COMPONENTS: tuple[Component, ...] = ("x", "y", "z", "vx", "vy", "vz")
Fraction = Annotated[float, Interval(gt=0, le=1)]


@dataclass(frozen=True)
class Data:
    """Which orbits, and how much of them is observed.

    `dataset_name` and `test_datasets` are names, files or artifacts (see `models.two_body`);
    `data_seed` draws the orbits and the observations. Both values of `problem` mean the same
    physics. Of each orbit every `stride`-th sample is used. `observed_fraction` of these are
    observed: evenly, or at random ones if `irregular`; and of an observation only the
    `observed_components`.
    """

    dataset_name: str = "complex_TBP_planar_100_train"
    problem: Literal["2BP", "TBP"] = "2BP"
    data_seed: Annotated[int, Ge(0)] = 0
    test_datasets: tuple[str, ...] = ("complex_TBP_planar_10_test", "complex_TBP_planar_100_test")
    stride: Count = 4
    observed_fraction: Fraction = 1.0
    irregular: bool = False
    observed_components: Annotated[tuple[Component, ...], MinLen(1)] = COMPONENTS


@dataclass(frozen=True)
class Parameters:
    """The model, its objective and its training.

    `latent_size` numbers of z; `hidden_size` of the encoder's GRU; `width` and `depth` hidden
    layers of the vector field and of the decoder. The encoder sees the first `observed_window` of
    each orbit, the objective asks for the observations in the first `target_window`, what comes
    after `observed_window` is the extrapolation that evaluation reports. `noise` is the standard
    deviation of the Gaussian likelihood in units of the training states' size; `kl_weight` weighs
    the divergence (1 is the evidence bound proper) and grows to that over the first `kl_warmup` of
    the steps. `gradient_clip` bounds the gradient's global norm. `max_steps` of the solver are
    tried before a solve counts as failed.
    """

    latent_size: Count = 8
    hidden_size: Count = 32
    width: Count = 64
    depth: Count = 2
    activation: Literal["tanh", "softplus", "silu"] = "softplus"
    observed_window: Fraction = 0.5
    target_window: Fraction = 0.5
    noise: Positive = 0.1
    kl_weight: Weight = 1.0
    kl_warmup: Annotated[float, Interval(ge=0, le=1)] = 0.1
    lr: Positive = 3e-3
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    gradient_clip: Positive = 1.0
    steps: Count = 2000
    batch_size: Count = 32
    train_val_split: Fraction = 0.8
    num_trajs: Annotated[int, Ge(-1)] = -1
    validation_every: Count = 100
    rtol: Positive = 1e-3
    atol: Positive = 1e-4
    max_steps: Annotated[int, Ge(16), Le(65536)] = 512


@dataclass(frozen=True)
class Config:
    """A latent ODE and its training; `seed` draws its weights, batches and noise."""

    data: Data = field(default_factory=Data)
    parameters: Parameters = field(default_factory=Parameters)
    seed: Annotated[int, Ge(0)] = 0
    device: Device = "auto"


def problems(config: Config) -> list[str]:
    """Why valid values don't work together, as sentences."""
    found = []
    data, parameters = config.data, config.parameters
    for name in (data.dataset_name, *data.test_datasets):
        found += name_problems(name)
    if parameters.num_trajs == 0:
        found.append("`num_trajs` must be -1 (all orbits) or at least 1, but is 0")
    if len(set(data.observed_components)) < len(data.observed_components):
        found.append(
            f"`observed_components` names one twice: {', '.join(data.observed_components)}"
        )
    if parameters.target_window < parameters.observed_window:
        found.append(
            f"`observed_window <= target_window` must hold, but got "
            f"observed_window={parameters.observed_window}, "
            f"target_window={parameters.target_window}"
        )
    # Files may hold series of another length: training says so if theirs are too short.
    if is_name(data.dataset_name):
        samples = math.ceil(ORBIT_SAMPLES / data.stride)
        seen = math.ceil(parameters.observed_window * samples)
        if math.floor(seen * data.observed_fraction) < 2:
            found.append(
                f"the encoder sees fewer than two observations of an orbit: `stride` {data.stride} "
                f"leaves {samples} samples, of them `observed_window` {seen} and "
                f"`observed_fraction` {seen * data.observed_fraction:.3g}"
            )
    return found


def config_from_plain(plain: Mapping[str, Any]) -> Config:
    """Back from `dataclasses.asdict` by way of JSON.

    Raises ValueError for an entry that a config doesn't have.
    """
    parts: dict[str, Any] = {"data": Data, "parameters": Parameters}
    values: dict[str, Any] = {}
    for key, value in plain.items():
        values[key] = _part(parts[key], value) if key in parts else value
    built: Config = _part(Config, values)
    return built


def _part(cls: Any, values: Mapping[str, Any]) -> Any:
    known = {entry.name for entry in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"a latent ODE's config has no entry `{unknown[0]}`")
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
