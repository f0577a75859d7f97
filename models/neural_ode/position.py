"""Where a training is: what a checkpoint holds, and how it goes on from one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from models.neural_ode.compiled_phases import Stage
from models.neural_ode.model import NeuralODE
from models.neural_ode.step import State, fresh_state
from models.neural_ode.storage import FAMILY
from models.training import resume
from sweeper.trainer import Run

__all__ = ["Best", "Position", "Progress", "begin_phase", "checkpoint", "restored"]


@dataclass
class Progress:
    """The progress of a training so far; `last` holds the metrics of the last step.

    `unsolved` counts the segments that were left out of steps.
    """

    total: int
    step: int = 0
    seconds: float = 0.0
    per_step_s: float = math.inf
    last: dict[str, float] = field(default_factory=dict)
    unsolved: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class Best:
    """The model of a phase with the lowest validation loss."""

    model: NeuralODE
    loss: float


@dataclass
class Position:
    """A place in a phase, `done` steps after its start; `bests` are those of the phases before."""

    progress: Progress
    bests: list[Best]
    state: State
    best: Best
    rng: np.random.Generator
    done: int = 0


def begin_phase(stage: Stage, model: NeuralODE, progress: Progress, bests: list[Best]) -> Position:
    """The start of a phase, with a fresh optimiser and draws of its own."""
    return Position(
        progress=progress,
        bests=bests,
        state=fresh_state(model, stage.chunk.program.optimiser),
        best=Best(model, math.inf),
        rng=np.random.default_rng([stage.config.seed, stage.number]),
    )


def checkpoint(run: Run, at: Position) -> None:
    """Keep the training as it is, if that is due."""
    bests = [*at.bests, at.best]
    header = {
        "progress": asdict(at.progress),
        "done": at.done,
        "draws": at.rng.bit_generator.state,
        "losses": [best.loss for best in bests],
    }
    state = at.state, [best.model for best in bests]
    resume.checkpoint(run, at.progress.step, FAMILY, header, state)


@dataclass(frozen=True)
class _Header:
    progress: Progress
    done: int
    rng: np.random.Generator
    losses: list[float]


def restored(run: Run, stages: Sequence[Stage], model: NeuralODE) -> Position | None:
    """The position of the last checkpoint; None without one that can be used.

    `model` is any model of the config.
    """

    def header_of(data: Mapping[str, Any]) -> _Header:
        rng = np.random.default_rng(0)
        rng.bit_generator.state = data["draws"]
        progress = Progress(**{**data["progress"], "per_step_s": math.inf, "stopped": False})
        header = _Header(progress, int(data["done"]), rng, [float(it) for it in data["losses"]])
        if not 0 < len(header.losses) <= len(stages):
            raise ValueError(f"phase {len(header.losses)} of {len(stages)}")
        return header

    def blank_of(header: _Header) -> tuple[State, list[NeuralODE]]:
        stage = stages[len(header.losses) - 1]
        return fresh_state(model, stage.chunk.program.optimiser), [model] * len(header.losses)

    found = resume.restored(run, FAMILY, header_of=header_of, blank_of=blank_of)
    if found is None:
        return None
    header, (state, models) = found
    *bests, best = (Best(*pair) for pair in zip(models, header.losses, strict=True))
    return Position(header.progress, bests, state, best, header.rng, header.done)
