"""Windows, segments and batches."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.neural_ode.curriculum import Segments, blocks, cut, draw
from models.neural_ode.phases import segment_count, segment_ratio, window_bounds
from models.neural_ode.programs import shape_of_batch
from models.training.split import split
from models.two_body import Dataset, Units, load

DATA = load("complex_TBP_planar_4_train")
UNITS = Units.of(DATA)


def starts(segments: Segments, dataset: Dataset = DATA) -> list[tuple[int, int]]:
    """(orbit, sample) at which each segment starts, found again by its first state."""
    y = UNITS.normalise_states(dataset.y).astype(np.float32)
    found = []
    for segment in segments.y:
        [place] = np.argwhere((y == segment[0]).all(-1))
        orbit, sample = map(int, place)
        found.append((orbit, sample))
    return found


def test_360_samples_at_18_are_20_segments_of_5_percent() -> None:
    segments = cut(DATA, UNITS, (0.0, 1.0), 18)
    assert len(segments) == 4 * 20
    assert segment_ratio(18, 360) == 0.05
    assert sorted(starts(segments)) == [(o, 18 * k) for o in range(4) for k in range(20)]


def test_segments_are_consecutive_samples_with_their_own_time() -> None:
    segments = cut(DATA, UNITS, (0.25, 0.75), 50)
    for (orbit, first), t, y in zip(starts(segments), segments.t, segments.y, strict=True):
        assert 90 <= first <= 270 - 50
        part = slice(first, first + 50)
        np.testing.assert_allclose(y, UNITS.normalise_states(DATA.y[orbit, part]), rtol=1e-6)
        times = UNITS.normalise_times(DATA.t[orbit, part] - DATA.t[orbit, first])
        np.testing.assert_allclose(t, times, rtol=1e-6)
        assert t[0] == 0


def test_orbits_with_padding_lose_only_what_they_lack() -> None:
    t, y = DATA.t.copy(), DATA.y.copy()
    t[1, 100:], y[1, 100:] = np.nan, np.nan
    short = Dataset("short", t, y, DATA.elements)
    segments = cut(short, UNITS, (0.0, 0.5), 25)
    counts = np.bincount([orbit for orbit, _ in starts(segments, short)])
    assert list(counts) == [7, 2, 7, 7]  # half of 360 is 180, half of 100 is 50
    assert np.isfinite(segments.y).all()


def test_no_segment_is_an_error_that_says_why() -> None:
    with pytest.raises(ValueError, match=r"no usable segment.*400 samples"):
        cut(DATA, UNITS, (0.0, 1.0), 400)


@given(st.integers(2, 400), st.integers(2, 60), st.floats(0, 1), st.floats(0, 1))
def test_counting_segments_agrees_with_cutting_them(
    samples: int, segment: int, a: float, b: float
) -> None:
    window = (min(a, b), max(a, b))
    start, stop = window_bounds(window, samples)
    assert 0 <= start <= stop <= samples
    count = segment_count(window, segment, samples)
    assert count * segment <= stop - start < (count + 1) * segment


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_windows_that_follow_each_other_share_no_sample(edges: list[float]) -> None:
    edges = [0.0, *sorted(edges), 1.0]
    bounds = [window_bounds(pair, 360) for pair in itertools.pairwise(edges)]
    assert sum(stop - start for start, stop in bounds) == 360
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))


def test_batches_are_drawn_without_repetition() -> None:
    segments = cut(DATA, UNITS, (0.0, 1.0), 18)
    batches = draw(segments, 32, 50, np.random.default_rng(0))
    assert batches.y.shape == (50, 32, 18, 6)
    assert (batches.real == 32).all()
    for batch in batches.y:
        assert len(np.unique(batch[:, 0], axis=0)) == 32
    seen = np.unique(batches.y[:, :, 0].reshape(-1, 6), axis=0)
    assert len(seen) == len(segments)


def test_drawing_in_parts_is_drawing_at_once() -> None:
    segments = cut(DATA, UNITS, (0.0, 1.0), 18)
    whole = draw(segments, 32, 7, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    parts = [draw(segments, 32, steps, rng) for steps in (1, 4, 2)]
    np.testing.assert_array_equal(whole.y, np.concatenate([part.y for part in parts]))


def test_fewer_segments_than_places_are_all_drawn() -> None:
    segments = cut(DATA, UNITS, (0.0, 1.0), 90)
    batches = draw(segments, 32, 3, np.random.default_rng(0))
    assert (batches.real == 16).all()
    np.testing.assert_array_equal(batches.y[2, :16], segments.y)
    assert batches.padded(8).y.shape == (8, 32, 90, 6)


@pytest.mark.parametrize("places", [1, 7, 32, 80, 200])
def test_blocks_hold_every_segment_once(places: int) -> None:
    segments = cut(DATA, UNITS, (0.0, 1.0), 18)
    parts = blocks(segments, places)
    assert parts.y.shape[1] == places
    held = [y for block, real in zip(parts.y, parts.real, strict=True) for y in block[:real]]
    assert len(held) == len(segments)
    assert len(np.unique(np.stack(held)[:, 0], axis=0)) == len(segments)


@pytest.mark.parametrize(
    ("segments", "batch_size", "places"),
    [(1, 256, 1), (20, 256, 32), (200, 256, 256), (2000, 256, 256), (64, 100, 64), (65, 100, 100)],
)
def test_batches_have_few_shapes(segments: int, batch_size: int, places: int) -> None:
    assert shape_of_batch(segments, batch_size) == places


def test_data_of_a_split_keeps_its_orbits_apart() -> None:
    training, validation = split(len(DATA), 0.5)
    pieces = [
        dataclasses.replace(DATA, t=DATA.t[p], y=DATA.y[p], elements=DATA.elements[p])
        for p in (training, validation)
    ]
    first = {tuple(y) for y in cut(pieces[0], UNITS, (0.0, 1.0), 18).y[:, 0]}
    second = {tuple(y) for y in cut(pieces[1], UNITS, (0.0, 1.0), 18).y[:, 0]}
    assert len(first) == len(second) == 40
    assert not first & second
