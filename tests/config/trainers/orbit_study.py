"""A trainer with the shape of the neural-ODE study and none of its weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval


@dataclass(frozen=True)
class Adam:
    name: Literal["adam"] = "adam"
    b1: Annotated[float, Interval(ge=0, lt=1)] = 0.9


@dataclass(frozen=True)
class Sgd:
    name: Literal["sgd"] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class Data:
    dataset_name: str = "complex_TBP_planar_10_train"
    problem: Literal["2BP", "3BP"] = "2BP"


@dataclass(frozen=True)
class Parameters:
    length_strategy: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    segment_length_strategy: tuple[Annotated[int, Ge(2)], ...] = (18,)
    lr_strategy: tuple[Annotated[float, Gt(0)], ...] = (1e-3,)
    steps_strategy: tuple[Annotated[int, Gt(0)], ...] = (1000,)
    width: Annotated[int, Gt(0)] = 64
    depth: Annotated[int, Gt(0)] = 2
    batch_size: Annotated[int, Gt(0)] = 256
    train_val_split: Annotated[float, Interval(gt=0, le=1)] = 1.0
    num_trajs: int = -1
    loss: Literal["percent_error", "percent_error_plus_nmse", "mean_squared_error"] = (
        "percent_error"
    )
    mse_weight: float = 1.0
    activation: Literal["tanh", "leaky_relu", "gelu", "elu"] = "leaky_relu"
    feature_layer: str = "sph_4D_rinv_vel"
    output_layer: Literal[
        "mlp_4D", "mlp_4D_signed", "mlp_4D_unit_softplus", "mlp_4D_logmag_unit_exp"
    ] = "mlp_4D_signed"
    planar_constraint: bool = True
    clip: Annotated[float, Gt(0)] | None = None
    optimiser: Adam | Sgd = field(default_factory=Adam)
    rtol: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width == 13 and self.activation == "elu":
            raise ValueError("`width != 13` must hold for elu, but got width=13")


@dataclass(frozen=True)
class Config:
    data: Data = field(default_factory=Data)
    parameters: Parameters = field(default_factory=Parameters)


def train(configs: Sequence[Config], runs: Sequence[Any]) -> None:
    """Nothing is ever trained by the tests of config."""
