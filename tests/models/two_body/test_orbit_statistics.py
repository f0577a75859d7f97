"""The statistics of orbits: accelerations whose figures are known, SciPy, and the edges."""

import numpy as np
import pytest
from scipy import stats

from models.two_body import MU, load
from models.two_body.orbits import acceleration
from models.two_body.statistics import (
    acceleration_statistics,
    drift_statistics,
    local_slope,
    log_slope,
)

RNG = np.random.default_rng(1)
DATA = load("complex_TBP_6_test")
R = DATA.y[..., :3]
TRUTH = acceleration(R)


def test_a_perfect_model() -> None:
    figures = acceleration_statistics(TRUTH, TRUTH, R)
    assert figures["mean"] == figures["orbit_mean"] == figures["failed_pct"] == 0
    assert figures["theta_deg"] == pytest.approx(0, abs=1e-6)
    assert figures["radial_pct"] == 0
    assert figures["slope"] == pytest.approx(-2, abs=1e-12)
    assert figures["slope_truth"] == pytest.approx(-2, abs=1e-12)
    assert (figures["orbits"], figures["samples"]) == (6, 6 * 360)


def test_known_errors_angles_and_slopes() -> None:
    figures = acceleration_statistics(TRUTH, -1.5 * TRUTH, R)
    assert figures["mean"] == pytest.approx(250)
    assert figures["theta_deg"] == pytest.approx(180)
    assert figures["radial_pct"] == 100
    r = np.linalg.norm(R, axis=-1, keepdims=True)
    cubic = acceleration_statistics(TRUTH, -R / r**4, R)
    assert cubic["slope"] == pytest.approx(-3)
    # the truth turned by 30° about the orbit's normal: an error of 2 sin 15°
    planar = load("complex_TBP_planar_3_test")
    truth = acceleration(planar.y)
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turned = acceleration_statistics(
        truth, truth @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]), planar.y[..., :3]
    )
    assert turned["theta_deg"] == pytest.approx(30)
    assert turned["mean"] == pytest.approx(200 * np.sin(np.radians(15)))
    assert turned["std"] == pytest.approx(0, abs=1e-9)


def test_samples_and_orbits_are_told_apart() -> None:
    # orbit k errs by k percent; the first has only ten samples
    prediction = TRUTH * (1 + np.arange(6) / 100)[:, None, None]
    truth = np.array(TRUTH)
    truth[0, 10:] = np.nan
    figures = acceleration_statistics(truth, prediction, R)
    assert figures["orbit_mean"] == pytest.approx(2.5)
    assert figures["orbit_median"] == pytest.approx(2.5)
    assert figures["orbit_std"] == pytest.approx(np.std(np.arange(6)))
    assert figures["mean"] == pytest.approx(360 * 15 / (5 * 360 + 10))
    assert figures["samples"] == 5 * 360 + 10
    assert figures["failed_pct"] == 0


def test_failed_orbits_are_counted_and_left_out() -> None:
    prediction = np.array(TRUTH)
    prediction[1, 200:] = np.nan
    prediction[4] = np.inf
    figures = acceleration_statistics(TRUTH, prediction, R)
    assert figures["failed_pct"] == pytest.approx(100 * 2 / 6)
    assert figures["mean"] == 0
    assert figures["samples"] == 4 * 360
    # padding of the truth is no failure, whatever the model says there
    padded = np.array(TRUTH)
    padded[1, 200:] = np.nan
    assert acceleration_statistics(padded, prediction, R)["failed_pct"] == pytest.approx(100 / 6)
    nothing = acceleration_statistics(TRUTH, np.full_like(TRUTH, np.nan), R)
    assert nothing["failed_pct"] == 100
    assert np.isnan(nothing["mean"])
    assert np.isnan(nothing["orbit_mean"])
    assert list(nothing) == list(figures)
    assert all(type(value) is float for value in {**nothing, **figures}.values())


def test_slope_along_the_predicted_path() -> None:
    # a model that knows Newton's law but flies elsewhere: judged at its own positions
    elsewhere = R * np.linspace(1, 2, 360)[:, None]
    figures = acceleration_statistics(TRUTH, acceleration(elsewhere), elsewhere, r_true=R)
    assert figures["slope"] == pytest.approx(-2, abs=1e-12)
    assert figures["slope_truth"] == pytest.approx(-2, abs=1e-12)
    assert figures["mean"] > 1


def test_slope_against_scipy_and_on_one_radius() -> None:
    noisy = TRUTH * RNG.lognormal(sigma=0.3, size=(6, 360, 1))
    fit = stats.linregress(
        np.log(np.linalg.norm(R, axis=-1)).ravel(), np.log(np.linalg.norm(noisy, axis=-1)).ravel()
    )
    assert log_slope(R, noisy) == pytest.approx(fit.slope)
    circle = load("circular_TBP_1").y[..., :3]
    assert np.isnan(log_slope(circle.astype(np.float32), acceleration(circle)))


def test_local_slope_finds_where_the_law_changes() -> None:
    radius = np.geomspace(0.1, 10, 400)
    r = radius[:, None] * [1.0, 0, 0]
    a = np.where(radius < 1, radius**-2, radius**-1)[:, None] * [-1.0, 0, 0]
    result = local_slope(r, a, bins=10)
    assert np.allclose(result.slopes, [-2] * 5 + [-1] * 5)
    assert result.counts.sum() == 400
    assert np.allclose(result.edges, np.geomspace(0.1, 10, 11))
    assert np.allclose(result.centres, np.geomspace(0.1, 10, 21)[1::2])
    given_edges = local_slope(r, a, bins=[0.01, 0.05, 0.9, 5])
    assert np.isnan(given_edges.slopes[0])
    assert given_edges.counts[0] == 0
    assert given_edges.slopes[1] == pytest.approx(-2)
    assert np.isnan(local_slope(np.empty((0, 3)), np.empty((0, 3)), bins=4).slopes).all()


def test_drift() -> None:
    assert max(drift_statistics(DATA.y, mu=MU).values()) < 1e-10
    # the energy of a state whose speed grows by 1 % grows by v·dv = 0.01 v²
    pushed = np.array(DATA.y)
    pushed[:, 1:, 3:] *= 1.01
    figures = drift_statistics(pushed, mu=MU)
    assert figures["angular_momentum_drift"] == pytest.approx(0.01 * 359 / 360)
    assert figures["angular_momentum_drift_max"] == pytest.approx(0.01)
    v2 = np.sum(DATA.y[..., 3:] ** 2, axis=-1)
    a = DATA.elements[:, 0]
    expected = 0.5 * (1.01**2 - 1) * v2 / (MU / (2 * a[:, None]))
    assert figures["energy_drift_max"] == pytest.approx(expected[:, 1:].max())
    pushed[0, 100:] = np.nan
    pushed[1] = np.nan
    assert np.isfinite(list(drift_statistics(pushed, mu=MU).values())).all()
    assert np.isnan(list(drift_statistics(np.full((2, 3, 6), np.nan), mu=MU).values())).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        acceleration_statistics(TRUTH, TRUTH[:2], R)
    with pytest.raises(ValueError, match=r"\(orbits, samples, 3\)"):
        acceleration_statistics(TRUTH[0], TRUTH[0], R[0])
