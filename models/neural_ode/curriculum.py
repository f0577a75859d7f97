"""From orbits to batches of segments: windows, segments, the draws. NumPy only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.neural_ode.phases import window_bounds
from models.two_body import Dataset, Units

__all__ = ["Batches", "Segments", "blocks", "cut", "draw", "turning"]

Floats = npt.NDArray[np.float32]


class Segments(NamedTuple):
    """Segments of normalised orbits: times `t` (n, S) from each one's start, states `y` (n, S, 6).

    Ordered so that the ones expected to need most steps of the solver come first.
    """

    t: Floats
    y: Floats

    def __len__(self) -> int:
        return len(self.t)


class Batches(NamedTuple):
    """K batches of the shape that a compiled step has: `t` (K, B, S), `y` (K, B, S, 6).

    Only the first `real` (K,) segments of each are real, the others repeat its first.
    """

    t: Any
    y: Any
    real: Any

    def part(self, start: int, length: int) -> Batches:
        """At most `length` batches from the one at `start`."""
        chosen = slice(start, start + length)
        return Batches(self.t[chosen], self.y[chosen], self.real[chosen])

    def padded(self, length: int) -> Batches:
        """The same with places for `length` batches; the last ones mean nothing."""
        missing = length - len(self.real)
        if not missing:
            return self
        widths = [((0, missing),) + ((0, 0),) * (array.ndim - 1) for array in self]
        return Batches(*(np.pad(a, width) for a, width in zip(self, widths, strict=True)))


def cut(dataset: Dataset, units: Units, window: tuple[float, float], segment: int) -> Segments:
    """Consecutive segments of `segment` samples from the window of each orbit.

    The window is taken of the samples that an orbit has, without its padding. A rest shorter than
    a segment is dropped. Raises ValueError if nothing is left.
    """
    times, states = [], []
    t, y = units.normalise_times(dataset.t), units.normalise_states(dataset.y)
    for orbit, samples in enumerate(dataset.lengths):
        start, stop = window_bounds(window, int(samples))
        whole = max(0, stop - start) // segment
        chosen = slice(start, start + whole * segment)
        times.append(t[orbit, chosen].reshape(whole, segment))
        states.append(y[orbit, chosen].reshape(whole, segment, 6))
    all_t, all_y = np.concatenate(times), np.concatenate(states)
    if not len(all_t):
        raise ValueError(
            f"dataset {dataset.name!r} has no usable segment: `segment_length_strategy` asks for "
            f"{segment} samples, but the window {list(window)} of its longest orbit holds fewer"
        )
    order = np.argsort(-turning(all_y), kind="stable")
    all_t, all_y = all_t[order], all_y[order]
    # The difference is taken in float64: late times in float32 would lose the digits of a step.
    return Segments((all_t - all_t[:, :1]).astype(np.float32), all_y.astype(np.float32))


def turning(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By how much the velocity turns (rad) and ln r goes up and down along segments (n, S, 6).

    A heuristic for the solver's steps: it steps most where direction and size change fastest.
    """
    r, v = np.linalg.norm(y[..., :3], axis=-1), y[..., 3:]
    sizes = np.linalg.norm(v, axis=-1)
    products = np.maximum(sizes[:, 1:] * sizes[:, :-1], np.finfo(np.float64).tiny)
    cosine = np.sum(v[:, 1:] * v[:, :-1], axis=-1) / products
    turned = np.arccos(np.clip(cosine, -1, 1)).sum(-1)
    result: npt.NDArray[np.float64] = turned + np.abs(np.diff(np.log(r), axis=-1)).sum(-1)
    return result


def draw(segments: Segments, places: int, steps: int, rng: np.random.Generator) -> Batches:
    """`steps` random batches, each without repetition, all segments if they fit."""
    n = len(segments)
    if n <= places:
        return _gather(segments, np.tile(np.arange(n), (steps, 1)), places)
    chosen = np.stack([rng.choice(n, places, replace=False) for _ in range(steps)])
    # Ascending keeps the order of the pool: first the segments that need most steps.
    return _gather(segments, np.sort(chosen, axis=1), places)


def blocks(segments: Segments, places: int) -> Batches:
    """All segments once, in batches of at most `places`."""
    n = len(segments)
    k = -(-n // places)
    index = np.arange(n)
    parts = [index[start::k] for start in range(k)]
    gathered = [_gather(segments, part[None], places) for part in parts]
    return Batches(*(np.concatenate(arrays) for arrays in zip(*gathered, strict=True)))


def _gather(segments: Segments, index: npt.NDArray[np.int64], places: int) -> Batches:
    steps, real = index.shape
    padded = np.concatenate([index, np.repeat(index[:, :1], places - real, axis=1)], axis=1)
    count = np.full(steps, real, np.int32)
    return Batches(segments.t[padded], segments.y[padded], count)
