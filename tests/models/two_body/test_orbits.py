"""Kepler's laws, SciPy's integrator as oracle, and the way from elements to states and back."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from models.two_body import MU
from models.two_body.orbits import (
    acceleration,
    angular_momentum,
    eccentric_anomaly,
    elements_from_states,
    energy,
    mean_from_true,
    period,
    propagate,
    states_from_elements,
    true_from_mean,
)

angles = st.floats(0, 2 * np.pi, exclude_max=True)
eccentricities = st.one_of(
    st.just(0.0), st.just(0.99), st.floats(0, 0.99), st.floats(-16, -2).map(lambda p: 10**p)
)
inclinations = st.one_of(st.just(0.0), st.just(np.pi), st.floats(0, np.pi))


def relative(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Difference of position and of velocity, each relative to its own size."""
    parts = [np.linalg.norm(a[..., s] - b[..., s], axis=-1) for s in (slice(0, 3), slice(3, 6))]
    sizes = [np.linalg.norm(b[..., s], axis=-1) for s in (slice(0, 3), slice(3, 6))]
    return float(np.max([part / size for part, size in zip(parts, sizes, strict=True)]))


@given(st.floats(-100, 100), eccentricities)
@settings(deadline=None)
def test_eccentric_anomaly_solves_keplers_equation(M: float, e: float) -> None:
    E = eccentric_anomaly(M, e)
    # E itself and both differences are rounded, each by up to half a unit in the last place.
    assert abs(E - e * np.sin(E) - M) <= 3 * np.spacing(max(1.0, abs(M)))
    assert abs(E - M) <= e * (1 + 1e-12) + 1e-14 * abs(M)


def test_keplers_equation_next_to_periapsis_and_next_to_the_parabola() -> None:
    M = np.concatenate([10.0 ** np.arange(-300, 0, 10), np.linspace(0, 50, 1001)])
    for e in (0.9, 0.99, 0.999999, 1 - 1e-12):
        E = eccentric_anomaly(M, e)
        assert np.all(np.abs(E - e * np.sin(E) - M) <= 1e-15 * np.maximum(1, M))
    with pytest.raises(ValueError, match="bound orbits"):
        eccentric_anomaly(0.1, 1.0)


@given(angles, st.floats(0, 0.99))
@settings(deadline=None)
def test_true_and_mean_anomaly_are_inverse(nu: float, e: float) -> None:
    back = true_from_mean(mean_from_true(nu, e), e)
    assert abs(np.angle(np.exp(1j * (back - nu)))) < 1e-12


def test_radius_follows_the_conic_and_periapsis_is_the_fastest_point() -> None:
    nu = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    a, e = 20000.0, 0.7
    elements = np.stack(np.broadcast_arrays(a, e, 0.5, 1.0, 2.0, nu), axis=-1)
    y = states_from_elements(elements)
    r = np.linalg.norm(y[:, :3], axis=-1)
    assert np.allclose(r, a * (1 - e**2) / (1 + e * np.cos(nu)), rtol=1e-13)
    assert np.argmax(np.linalg.norm(y[:, 3:], axis=-1)) == 0


@pytest.mark.parametrize("e", [0.0, 0.1, 0.85, 0.99])
def test_propagation_equals_a_high_order_integration(e: float) -> None:
    elements = np.array([26600.0, e, 1.1, 0.7, 4.0, 2.5])
    t = np.linspace(0, float(period(elements[0])), 37)
    solution = solve_ivp(
        lambda _, y: np.concatenate([y[3:], -MU * y[:3] / np.linalg.norm(y[:3]) ** 3]),
        (0, t[-1]),
        states_from_elements(elements),
        method="DOP853",
        t_eval=t,
        rtol=1e-13,
        atol=1e-10,
    )
    assert relative(propagate(elements, t), solution.y.T) < 1e-8


orbits = st.tuples(st.floats(6600, 1e5), eccentricities, inclinations, angles, angles, angles).map(
    np.array
)


@given(orbits, st.floats(0, 3e5))
@settings(deadline=None)
def test_elements_to_states_and_back(orbit: npt.NDArray[np.float64], t: float) -> None:
    a, e, i = orbit[:3]
    y = propagate(orbit, np.array([0.0, t]))
    elements = elements_from_states(y)
    assert relative(states_from_elements(elements), y) < 1e-10
    assert np.allclose(elements[:, 0], a, rtol=1e-10)
    assert np.allclose(elements[:, 1], e, atol=2e-13)
    # Where the angles are well defined, they come back too.
    if e > 1e-3 and 1e-3 < i < np.pi - 1e-3:
        turned = np.exp(1j * (elements[0, 2:] - orbit[2:]))
        assert np.allclose(turned, 1, atol=1e-9)


def test_undefined_angles_are_nan() -> None:
    equatorial, circular, both = (
        elements_from_states(states_from_elements(np.array([8000.0, e, i, np.nan, np.nan, 0.3])))
        for e, i in ((0.2, 0.0), (0.0, 0.5), (0.0, 0.0))
    )
    assert np.isnan(equatorial[3])
    assert equatorial[4] == pytest.approx(0, abs=1e-12)
    assert np.isnan(circular[4])
    assert circular[5] == pytest.approx(0.3)
    assert np.isnan(both[3:5]).all()
    assert both[5] == pytest.approx(0.3)


def test_no_elements_without_an_orbit() -> None:
    with pytest.raises(ValueError, match="energy < 0"):
        elements_from_states([7000, 0, 0, 0, 12, 0])
    with pytest.raises(ValueError, match="r × v"):
        elements_from_states([7000, 0, 0, 1, 0, 0])
    assert np.isnan(elements_from_states(np.full(6, np.nan))).all()


def test_conserved_quantities_and_acceleration() -> None:
    elements = np.array([12000.0, 0.4, 0.3, 0.2, 0.1, 0.0])
    y = propagate(elements, np.linspace(0, 1e5, 1000))
    assert np.allclose(energy(y), -MU / (2 * 12000), rtol=1e-12)
    h = angular_momentum(y)
    assert np.allclose(np.linalg.norm(h, axis=-1), np.sqrt(MU * 12000 * (1 - 0.16)), rtol=1e-12)
    assert np.allclose(h, h[0], rtol=1e-12)
    # a = dv/dt by central differences of the propagation itself
    step = 0.5
    before, after = (propagate(elements, np.array([t])) for t in (1000 - step, 1000 + step))
    slope = (after - before)[0, 3:] / (2 * step)
    here = propagate(elements, np.array([1000.0]))[0]
    assert np.allclose(acceleration(here), slope, rtol=1e-6)
    assert np.array_equal(acceleration(here), acceleration(here[:3]))
