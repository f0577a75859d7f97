"""Datasets as the latent ODE sees them: scales, thinning, masks, padding."""

import numpy as np
import pytest

from models.latent_ode.config import COMPONENTS, Config, Data, Parameters
from models.latent_ode.series import Scales, observe, windows
from models.two_body import Dataset, DatasetError, load

DATA = load("complex_TBP_12_train")
SCALES = Scales.of(DATA)


def test_scales_make_states_and_times_of_order_one() -> None:
    series = observe(DATA, Data(stride=1), SCALES)
    assert np.sqrt(np.mean(np.sum(series.y[..., :3] ** 2, axis=-1))) == pytest.approx(1, rel=1e-5)
    assert np.sqrt(np.mean(np.sum(series.y[..., 3:] ** 2, axis=-1))) == pytest.approx(1, rel=1e-5)
    assert np.median(series.t[:, -1]) == pytest.approx(2 * np.pi, rel=1e-5)
    assert np.all(series.t[:, 0] == 0)
    assert np.allclose(series.y * SCALES.state, DATA.y, rtol=1e-5, atol=1e-3)
    assert Scales.from_plain(SCALES.plain()) == SCALES


@pytest.mark.parametrize(
    ("fraction", "expected"), [(1.0, 90), (0.5, 45), (0.3, 27), (0.25, 23), (0.02, 2)]
)
def test_even_observations(fraction: float, expected: int) -> None:
    series = observe(DATA, Data(stride=4, observed_fraction=fraction), SCALES)
    assert series.t.shape == (12, 90)
    seen = np.asarray(series.mask.any(axis=-1))
    assert seen[:, 0].all()
    assert np.all(seen.sum(axis=-1) == expected)
    assert np.ptp(np.diff(np.flatnonzero(seen[0]))) <= 1


def test_irregular_observations_differ_by_orbit_and_depend_on_name_and_data_seed_alone() -> None:
    data = Data(stride=4, observed_fraction=0.3, irregular=True)
    first, again = observe(DATA, data, SCALES), observe(DATA, data, SCALES)
    assert np.array_equal(first.mask, again.mask)
    seen = np.asarray(first.mask.any(axis=-1))
    assert np.all(seen.sum(axis=-1) == 27)
    assert not np.array_equal(seen[0], seen[1])
    # the share holds in any part of the orbit, so no part is preferred
    assert 0.15 < seen[:, :45].mean() < 0.45
    other_seed = observe(
        DATA, Data(stride=4, observed_fraction=0.3, irregular=True, data_seed=1), SCALES
    )
    assert not np.array_equal(first.mask, other_seed.mask)
    other_name = Dataset("other", DATA.t, DATA.y, DATA.elements)
    assert not np.array_equal(first.mask, observe(other_name, data, SCALES).mask)


def test_components() -> None:
    series = observe(DATA, Data(observed_components=("x", "vz")), SCALES)
    assert [name for k, name in enumerate(COMPONENTS) if series.mask[..., k].all()] == ["x", "vz"]
    assert not series.mask[..., 1:5].any()


def test_padding_is_neither_real_nor_observed() -> None:
    t, y = np.array(DATA.t), np.array(DATA.y)
    t[3, 100:], y[3, 100:] = np.nan, np.nan
    padded = Dataset("padded", t, y, DATA.elements)
    series = observe(padded, Data(stride=4), SCALES)
    assert list(series.real.sum(axis=-1)) == [90] * 3 + [25] + [90] * 8
    assert not series.mask[3, 25:].any()
    assert np.all(series.t[3, 24:] == series.t[3, 24])
    assert np.isfinite(series.y).all()
    with pytest.raises(DatasetError, match="`stride` of 120 orbit 3 has fewer than two"):
        observe(padded, Data(stride=120), SCALES)


def test_windows_count_times() -> None:
    config = Config(parameters=Parameters(observed_window=0.25, target_window=0.5))
    assert windows(config, 90) == (23, 45)
    assert windows(Config(), 90) == (45, 45)
