"""The statistics of numbers against SciPy, against their definitions, and at the edges."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from models.training.statistics import describe, half_sample_mode, mean, percent_errors

RNG = np.random.default_rng(1)


def test_describe_against_scipy() -> None:
    x = RNG.lognormal(size=5001)
    figures = describe(x)
    assert figures["mean"] == pytest.approx(np.mean(x))
    assert figures["median"] == pytest.approx(np.median(x))
    assert figures["std"] == pytest.approx(np.std(x))
    assert figures["skewness"] == pytest.approx(stats.skew(x))
    assert figures["q3"] - figures["q1"] == pytest.approx(stats.iqr(x))
    low, high = np.quantile(x, [0.25, 0.75])
    beyond = (x < low - 1.5 * stats.iqr(x)) | (x > high + 1.5 * stats.iqr(x))
    assert figures["outliers_pct"] == pytest.approx(100 * beyond.mean())
    assert 5 < figures["outliers_pct"] < 12


def test_measures_of_asymmetry_follow_their_definitions() -> None:
    # quartiles 2, 3, 6 by linear interpolation; the tightest half is {2, 3}
    figures = describe([2.0, 3.0, 6.0, 1.0, 10.0])
    sigma = np.std([1, 2, 3, 6, 10])
    assert (figures["q1"], figures["median"], figures["q3"]) == (2, 3, 6)
    assert figures["bowley"] == pytest.approx((6 + 2 - 6) / 4)
    assert figures["mode"] == pytest.approx(2.0)
    assert figures["pearson_sk1"] == pytest.approx((4.4 - 2) / sigma)
    assert figures["pearson_sk2"] == pytest.approx(3 * (4.4 - 3) / sigma)
    assert figures["outliers_pct"] == 0


@pytest.mark.parametrize(
    ("distribution", "mode", "width"),
    [
        (stats.norm(5, 2), 5.0, 1.0),
        (stats.gamma(3), 2.0, 0.8),
        (stats.expon(), 0.0, 0.2),
        (stats.lognorm(0.5), np.exp(-0.25), 0.3),
    ],
)
def test_mode_of_known_distributions(distribution: Any, mode: float, width: float) -> None:
    x = distribution.rvs(size=20001, random_state=3)
    assert half_sample_mode(x) == pytest.approx(mode, abs=width)
    outliers = np.concatenate([x, np.full(500, 1e6) + np.arange(500)])
    assert half_sample_mode(outliers) == pytest.approx(mode, abs=width)


@given(hnp.arrays(float, st.integers(1, 60), elements=st.floats(-1e6, 1e6)))
@settings(deadline=None)
def test_properties_of_any_sample(x: npt.NDArray[np.float64]) -> None:
    figures = describe(x)
    low, high = x.min(), x.max()
    for name in ("mean", "median", "mode", "q1", "q3"):
        assert low - 1e-9 <= figures[name] <= high + 1e-9
    assert half_sample_mode(RNG.permutation(x)) == figures["mode"]
    if figures["bowley"] == figures["bowley"]:
        assert -1 - 1e-6 <= figures["bowley"] <= 1 + 1e-6


def test_without_spread_or_numbers() -> None:
    constant = describe(np.full(9, 3.0))
    assert (constant["mean"], constant["mode"], constant["std"]) == (3, 3, 0)
    assert np.isnan([constant[k] for k in ("skewness", "pearson_sk1", "bowley")]).all()
    empty = describe([])
    assert list(empty) == list(constant)
    assert np.isnan(list(empty.values())).all()


def test_percent_errors() -> None:
    assert percent_errors([3.0, 0, 4], [3.0, 5, 4]) == pytest.approx(100)


def test_the_mean_of_nothing_is_no_number() -> None:
    assert mean(np.array([1.0, 4.0])) == 2.5
    assert np.isnan(mean(np.array([])))
