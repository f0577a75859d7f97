"""What a sweep file may set for a neural ODE, with the bounds and the defaults of every value.

No JAX here: sweep files are read, checked and planned on machines where it is never imported.
Choices are `Literal` types, so that a misspelt word is reported with its line; each has a
catalogue of the same words that says what they mean (`features.LAYERS`, `heads.HEADS`,
`activations.ACTIVATIONS`, `losses.LOSSES`; those that all families share are in
`models.training.config`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen

from models.training.config import (
    Adam,
    Count,
    Device,
    LrSchedule,
    Optimiser,
    Positive,
    Weight,
)
from sweeper.trainer import Formerly

__all__ = [
    "Activation",
    "Architecture",
    "Config",
    "Data",
    "FeatureLayer",
    "Loss",
    "OutputLayer",
    "Parameters",
]

FeatureLayer = Literal[
    "cartesian",
    "sph_4D_rinv_vel",
    "sph_4D_rinv_vinv",
    "sph_4D_rinv_vel_harmonics",
    "sph_4D_rinv_vrvt",
    "sph_4D_logr_vel",
]

OutputLayer = Literal[
    "mlp_simple",
    "mlp_simple_hybrid",
    "mlp_4D",
    "mlp_4D_signed",
    "mlp_4D_activation",
    "mlp_4D_unit",
    "mlp_4D_unit_scaled",
    "mlp_4D_signed_unit",
    "mlp_4D_softplus",
    "mlp_4D_accsoftplus",
    "mlp_4D_unit_softplus",
    "mlp_4D_logmag_exp",
    "mlp_4D_logmag_unit_exp",
    "mlp_4D_logmag_unit_softplus",
    "mlp_4D_logmag_unit_tanh_exp",
    "mlp_4D_logmag_unit_tanh_softplus",
    "mlp_rtn",
    "mlp_rtn_logmag",
]

Activation = Literal[
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "swish",
    "softplus",
    "shifted_softplus",
    "prelu",
]

Loss = Literal[
    "mean_squared_error",
    "percent_error",
    "percent_error_plus_nmse",
    "percent_error_with_attraction",
]

Fraction = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True)
class Data:
    """Which orbits are trained and tested on.

    `dataset_name` and `test_datasets` are names such as ``complex_TBP_planar_10_train``, files
    (.npz, .parquet) or W&B artifacts (see `models.two_body`); `data_seed` draws the orbits of a
    name. Both values of `problem` mean the same physics.
    """

    dataset_name: str = "complex_TBP_planar_10_train"
    problem: Literal["2BP", "TBP"] = "2BP"
    data_seed: Annotated[int, Ge(0)] = 0
    test_datasets: tuple[str, ...] = (
        "complex_TBP_planar_1_test",
        "complex_TBP_planar_10_test",
        "complex_TBP_planar_100_test",
    )


@dataclass(frozen=True)
class Architecture:
    """What shapes a network: all that a saved model needs in order to be built again."""

    feature_layer: FeatureLayer
    harmonics_degree: int
    width: int
    depth: int
    activation: Activation
    output_layer: OutputLayer
    output_scale: float
    planar_constraint: bool
    epsilon: float


@dataclass(frozen=True)
class Parameters:
    """The network, its loss and its training.

    The four strategies hold one entry per phase; a list of length one serves every phase.
    `length_strategy`: the window of each orbit that is trained on, as fractions [start, stop] of
    its samples. `segment_length_strategy`: samples per segment. `lr_strategy`: learning rate at the
    phase's start. `steps_strategy`: steps of the optimiser.

    `harmonics_degree` is for the feature layer with harmonics alone, `output_scale` for the head
    `mlp_4D_unit_scaled`, `mse_weight` and `attraction_weight` for the losses that have them.
    `planar_constraint` sets the z parts of velocity and acceleration to zero. `epsilon` keeps unit
    vectors, logarithms and roots finite. `l1_weight`, `l2_weight` weigh ‖θ‖₁ and ‖θ‖₂² of all
    parameters, `energy_weight` the energy drift along predicted segments.

    `batch_size` segments are drawn at each step, all of them if there are fewer. `train_val_split`
    is the fraction of orbits that trains, the rest validates; `num_trajs` takes the first so many
    orbits, −1 all. `validation_every` counts steps.

    `rtol`, `atol`: tolerances of the solver for the normalised states, in float32; `max_steps`: how
    many steps it may try on a segment (or test orbit) before the solution counts as failed.
    `max_unsolved`: the fraction of a batch's segments whose solution may fail at a training step;
    so many are left out of it, and one more ends the run as diverged. With 0 the first one does.
    `lr_schedule` runs within each phase, from its learning rate to `lr_final` times that;
    `gradient_clip` bounds the global norm of the gradient, null means no bound.
    """

    length_strategy: Annotated[tuple[tuple[Fraction, Fraction], ...], MinLen(1)] = ((0.0, 1.0),)
    segment_length_strategy: Annotated[tuple[Annotated[int, Ge(2)], ...], MinLen(1)] = (18,)
    lr_strategy: Annotated[tuple[Positive, ...], MinLen(1)] = (1e-3,)
    steps_strategy: Annotated[tuple[Count, ...], MinLen(1)] = (1000,)

    feature_layer: FeatureLayer = "sph_4D_rinv_vel"
    harmonics_degree: Annotated[int, Interval(ge=1, le=10)] = 3
    width: Annotated[int, Interval(ge=1, le=4096)] = 64
    depth: Annotated[int, Interval(ge=0, le=32)] = 2
    activation: Activation = "leaky_relu"
    output_layer: OutputLayer = "mlp_4D_signed"
    output_scale: Positive = 10.0
    planar_constraint: bool = True
    epsilon: Annotated[float, Interval(ge=1e-12, le=1e-2)] = 1e-8

    loss_fcn: Loss = "percent_error"
    mse_weight: Weight = 1.0
    attraction_weight: Weight = 1.0
    l1_weight: Weight = 0.0
    l2_weight: Weight = 0.0
    energy_weight: Weight = 0.0

    batch_size: Annotated[int, Interval(ge=1, le=65536)] = 256
    train_val_split: Annotated[float, Interval(gt=0, le=1)] = 1.0
    num_trajs: Annotated[int, Ge(-1)] = -1
    validation_every: Count = 100

    rtol: Positive = 1e-6
    atol: Positive = 1e-8
    max_steps: Annotated[int, Interval(ge=16, le=65536)] = 1024
    max_unsolved: Annotated[float, Ge(0), Lt(1), Formerly(0.0)] = 0.0

    optimiser: Optimiser = field(default_factory=Adam)
    lr_schedule: LrSchedule = "constant"
    lr_final: Annotated[float, Gt(0), Le(1)] = 0.01
    gradient_clip: Positive | None = None

    def architecture(self) -> Architecture:
        """The part that a saved model must agree with."""
        names = Architecture.__dataclass_fields__
        return Architecture(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Config:
    """One training. `seed` draws the weights and the batches."""

    data: Data = field(default_factory=Data)
    parameters: Parameters = field(default_factory=Parameters)
    seed: Annotated[int, Ge(0)] = 0
    device: Device = "auto"
