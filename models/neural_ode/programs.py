"""Which compiled programs a config needs; imports no JAX."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from models.neural_ode.config import Architecture, Config, Loss
from models.neural_ode.phases import Phase, phases, segment_count
from models.training.config import Adam, AdamW, Optimiser
from models.training.split import train_count

__all__ = ["Program", "key", "lanes_for", "program_of", "shape_of_batch"]

_CHUNK_BYTES = 4 << 20
_LONGEST_CHUNK = 64
_CPU_LANES = 64


@dataclass(frozen=True)
class Program:
    """What shapes a compiled chunk of training steps.

    `places` segments per batch of `samples` points each, `lanes` of them integrated side by side.
    """

    architecture: Architecture
    loss: Loss
    energy: bool
    optimiser: Optimiser
    places: int
    samples: int
    lanes: int
    max_steps: int

    @property
    def length(self) -> int:
        """Steps that fit one chunk: a few megabytes of batches."""
        step_bytes = self.places * self.samples * 7 * 4
        return max(1, min(_LONGEST_CHUNK, _CHUNK_BYTES // step_bytes))


def program_of(config: Config, places: int, samples: int, platform: str) -> Program:
    """The program of a phase with such batches, on ``cpu`` or another platform of JAX."""
    p = config.parameters
    return Program(
        architecture=p.architecture(),
        loss=p.loss_fcn,
        energy=p.energy_weight > 0,
        optimiser=_without_decay(p.optimiser),
        places=places,
        samples=samples,
        lanes=lanes_for(places, platform),
        max_steps=p.max_steps,
    )


def lanes_for(places: int, platform: str) -> int:
    """How many segments are integrated side by side.

    64 on a CPU: 32 take as long, 128 take 40 % longer, because more of them wait for the last
    segment. A GPU takes all at once: there a round costs, and a lane doesn't.
    """
    return min(places, _CPU_LANES) if platform == "cpu" else places


def shape_of_batch(segments: int, batch_size: int) -> int:
    """How many places a batch has: the batch size, or the next power of two over the segments.

    Powers of two, so that training sets and windows of many sizes share a compiled step; places
    without a segment cost next to nothing.
    """
    return min(batch_size, 1 << max(0, segments - 1).bit_length())


def _without_decay(optimiser: Optimiser) -> Optimiser:
    """The optimiser without what is an argument of the step: Adam for AdamW."""
    if isinstance(optimiser, AdamW):
        return Adam(b1=optimiser.b1, b2=optimiser.b2, eps=optimiser.eps)
    return optimiser


def key(config: Config) -> Hashable:
    """Equal for configs that need the same programs; see `models.neural_ode.program_key`.

    Raises ValueError where the phase lists don't fit each other.
    """
    p = config.parameters
    shapes = {_shape(config, phase) for phase in phases(p)}
    return (
        p.architecture(),
        p.loss_fcn,
        p.energy_weight > 0,
        _without_decay(p.optimiser),
        p.max_steps,
        config.device,
        tuple(sorted(shapes, key=repr)),
    )


def _shape(config: Config, phase: Phase) -> Hashable:
    """Places and samples of a phase's batches; for files, whose size isn't known, what fixes it."""
    from models.two_body import ORBIT_SAMPLES, DatasetError, parse_name

    p, name = config.parameters, config.data.dataset_name
    try:
        orbits = parse_name(name).orbits
    except DatasetError:
        return name, p.num_trajs, p.train_val_split, p.batch_size, phase.window, phase.segment
    taken = orbits if p.num_trajs < 0 else min(orbits, p.num_trajs)
    segments = train_count(taken, p.train_val_split) * segment_count(
        phase.window, phase.segment, ORBIT_SAMPLES
    )
    return shape_of_batch(segments, p.batch_size), phase.segment
