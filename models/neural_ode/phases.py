"""The curriculum as arithmetic: phases, windows, counts of segments. Plain Python, no arrays.

A plan of a million runs calls `problems` for each of them, so everything here is cheap and its
results are cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from models.neural_ode.config import Config, Data, Parameters

__all__ = [
    "Phase",
    "phases",
    "problems",
    "segment_count",
    "segment_ratio",
    "window_bounds",
]

_Entry = TypeVar("_Entry")
_STRATEGIES = ("length_strategy", "segment_length_strategy", "lr_strategy", "steps_strategy")


@dataclass(frozen=True)
class Phase:
    """One phase of the curriculum: `window` as fractions of an orbit, `segment` in samples."""

    window: tuple[float, float]
    segment: int
    lr: float
    steps: int


def phases(parameters: Parameters) -> tuple[Phase, ...]:
    """The phases of the four strategies; a list of length one serves every phase.

    Raises ValueError, naming the keys and their lengths, where the lists don't fit each other.
    """
    said = _unequal(*(len(getattr(parameters, name)) for name in _STRATEGIES))
    if said:
        raise ValueError(said)
    count = max(len(getattr(parameters, name)) for name in _STRATEGIES)
    windows, segments, rates, steps = (
        _spread(getattr(parameters, name), count) for name in _STRATEGIES
    )
    entries = zip(windows, segments, rates, steps, strict=True)
    return tuple(Phase((w[0], w[1]), s, r, n) for w, s, r, n in entries)


def _spread(entries: tuple[_Entry, ...], count: int) -> tuple[_Entry, ...]:
    return entries * count if len(entries) == 1 else entries


def window_bounds(window: tuple[float, float], samples: int) -> tuple[int, int]:
    """First sample of a window and the one after its last, of an orbit with so many samples.

    Both are rounded to the nearest sample, so that [0, 0.1] and [0.1, 0.2] share none.
    """
    return round(window[0] * samples), round(window[1] * samples)


def segment_count(window: tuple[float, float], segment: int, samples: int) -> int:
    """How many whole segments follow each other in the window of one orbit."""
    start, stop = window_bounds(window, samples)
    return max(0, stop - start) // segment


def segment_ratio(segment: int, samples: int) -> float:
    """The length of a segment as a fraction of its orbit: 18 of 360 samples are 0.05."""
    return segment / samples


def problems(config: Config) -> list[str]:
    """Why valid values don't work together, as sentences. Loads no data."""
    p = config.parameters
    said = list(_strategy_problems(*(getattr(p, name) for name in _STRATEGIES)))
    said += _data_problems(
        config.data,
        p.num_trajs,
        p.planar_constraint,
        p.length_strategy,
        p.segment_length_strategy,
    )
    return said


@lru_cache(maxsize=4096)
def _unequal(*lengths: int) -> str | None:
    """The sentence about strategies of unequal lengths, or None if they fit."""
    several = [(name, n) for name, n in zip(_STRATEGIES, lengths, strict=True) if n > 1]
    if len({n for _, n in several}) <= 1:
        return None
    counts = ", ".join(f"`{name}` has {n}" for name, n in several)
    return (
        f"the phase lists have unequal lengths: {counts}; "
        "give each one entry per phase, or a single one for all phases"
    )


@lru_cache(maxsize=4096)
def _strategy_problems(
    windows: tuple[tuple[float, float], ...],
    segments: tuple[int, ...],
    rates: tuple[float, ...],
    steps: tuple[int, ...],
) -> tuple[str, ...]:
    unequal = _unequal(len(windows), len(segments), len(rates), len(steps))
    said = [unequal] if unequal else []
    said += [
        f"`length_strategy` has the window [{start}, {stop}]: `start < stop` must hold"
        for start, stop in dict.fromkeys(windows)
        if not start < stop
    ]
    return tuple(said)


@lru_cache(maxsize=4096)
def _data_problems(
    data: Data,
    num_trajs: int,
    planar: bool,
    windows: tuple[tuple[float, float], ...],
    segments: tuple[int, ...],
) -> tuple[str, ...]:
    # Imported here because it imports NumPy, which most commands don't need.
    from models.two_body import ORBIT_SAMPLES

    said: list[str] = []
    dataset = data.dataset_name
    train = _named("data.dataset_name", dataset, said)
    for name in data.test_datasets:
        _named("data.test_datasets", name, said)
    if num_trajs == 0:
        said.append("`num_trajs` is 0: no orbit would be trained on; −1 takes all")
    if train is not None:
        orbits, is_planar = train
        if num_trajs > orbits:
            said.append(f"`num_trajs` is {num_trajs}, but {dataset} has {orbits} orbits")
        if planar and not is_planar:
            said.append(
                f"`planar_constraint` is true, but the orbits of {dataset} are not planar: "
                "set `planar_constraint: false`"
            )
        said += _segment_problems(windows, segments, ORBIT_SAMPLES)
    return tuple(said)


def _named(key: str, name: str, said: list[str]) -> tuple[int, bool] | None:
    """Orbits and planarity of a dataset's name; None for a file or artifact, or after an error."""
    from pathlib import Path

    from models.two_body import DatasetError, is_name, parse_name
    from models.two_body.names import ARTIFACT_PREFIX

    if not is_name(name):
        if not name.startswith(ARTIFACT_PREFIX) and not Path(name).is_file():
            said.append(f"`{key}`: there is no file {name}")
        return None
    try:
        parsed = parse_name(name)
    except DatasetError as error:
        said.append(f"`{key}`: {error}")
        return None
    return parsed.orbits, parsed.planar


def _segment_problems(
    windows: tuple[tuple[float, float], ...], segments: tuple[int, ...], samples: int
) -> list[str]:
    """Phases in which no orbit of so many samples holds a whole segment."""
    count = max(len(windows), len(segments))
    if len(windows) not in (1, count) or len(segments) not in (1, count):
        return []
    said = []
    pairs = zip(_spread(windows, count), _spread(segments, count), strict=True)
    for number, (window, segment) in enumerate(pairs, 1):
        if window[0] < window[1] and not segment_count(window, segment, samples):
            start, stop = window_bounds(window, samples)
            said.append(
                f"phase {number} has no usable segment: `segment_length_strategy` asks for "
                f"{segment} samples, but the window [{window[0]}, {window[1]}] of an orbit of "
                f"{samples} samples holds {stop - start}"
            )
    return said
