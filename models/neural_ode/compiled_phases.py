"""The phases of a config made ready: segments, compiled chunk, knobs; and how each is validated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from models.neural_ode.config import Config
from models.neural_ode.curriculum import Batches, Segments, blocks, cut
from models.neural_ode.losses import Sums, Weights, percent, rms, value
from models.neural_ode.model import NeuralODE
from models.neural_ode.phases import Phase, phases
from models.neural_ode.programs import program_of, shape_of_batch
from models.neural_ode.solve import Control, Workspace
from models.neural_ode.step import Chunk, Knobs, Orders, compiled, fresh_state
from models.training.optimisers import weight_decay
from models.training.schedules import learning_rates
from models.two_body import Dataset, Units

__all__ = ["Measured", "Stage", "make_stages", "validate"]


@dataclass(frozen=True)
class Stage:
    """A phase ready to run; `number` counts from 1, `lr` (steps,) is the rate of each step."""

    number: int
    phase: Phase
    chunk: Chunk
    training: Segments
    validation: Batches
    lr: npt.NDArray[np.float32]
    knobs: Knobs
    config: Config


class Measured(NamedTuple):
    """Loss without regularisers of the weights, percent error and root mean square error."""

    loss: float
    percent: float
    rms: float


def make_stages(
    config: Config, training: Dataset, validation: Dataset, units: Units, device: Any
) -> list[Stage]:
    """All phases with their programs compiled. Raises ValueError where one has no segment."""
    p = config.parameters
    made = []
    for number, phase in enumerate(phases(p), 1):
        segments = cut(training, units, phase.window, phase.segment)
        places = shape_of_batch(len(segments), p.batch_size)
        chunk = compiled(program_of(config, places, phase.segment, device.platform), device)
        made.append(
            Stage(
                number=number,
                phase=phase,
                chunk=chunk,
                training=segments,
                validation=blocks(cut(validation, units, phase.window, phase.segment), places),
                lr=learning_rates(p.lr_schedule, phase.lr, phase.steps, p.lr_final),
                knobs=_knobs(config),
                config=config,
            )
        )
    return made


def _knobs(config: Config) -> Knobs:
    p = config.parameters
    clip = math.inf if p.gradient_clip is None else p.gradient_clip
    knobs = Knobs(
        control=Control(p.rtol, p.atol),
        weights=Weights(
            mse=p.mse_weight,
            attraction=p.attraction_weight,
            l1=p.l1_weight,
            l2=p.l2_weight,
            energy=p.energy_weight,
            epsilon=p.epsilon,
        ),
        decay=weight_decay(p.optimiser),
        clip=clip,
        max_unsolved=p.max_unsolved,
    )
    as_arrays: Knobs = jax.tree.map(np.float32, knobs)
    return as_arrays


def validate(stage: Stage, model: NeuralODE, workspace: Workspace) -> tuple[Measured, Workspace]:
    """The model on all validation segments of a stage; NaN where one of them can't be solved."""
    chunk, parts = stage.chunk, stage.validation
    state = fresh_state(model, chunk.program.optimiser)
    rates = np.zeros(chunk.program.length, np.float32)
    total = Sums(*np.zeros(len(Sums._fields)))
    for start in range(0, len(parts.real), chunk.program.length):
        some = parts.part(start, chunk.program.length)
        steps = len(some.real)
        _, workspace, rows, done = chunk.run(
            state,
            workspace,
            some.padded(len(rates)),
            Orders(rates, np.int32(steps), False),
            stage.knobs,
        )
        if int(done) < steps:
            return Measured(math.nan, math.nan, math.nan), workspace
        total = Sums(
            *(a + float(np.asarray(b)[:steps].sum()) for a, b in zip(total, rows.sums, strict=True))
        )
    loss = value(stage.config.parameters.loss_fcn, total, stage.knobs.weights)
    return Measured(float(loss), float(percent(total)), float(rms(total))), workspace
