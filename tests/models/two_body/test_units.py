"""Non-dimensional units: μ = 1 and positions in [−1, 1]."""

import json

import numpy as np
import pytest

from models.two_body import Dataset, Units, load
from models.two_body.orbits import acceleration, energy

DATA = load("complex_TBP_20_train")
UNITS = Units.of(DATA)


def test_positions_lie_in_the_unit_ball_and_mu_is_one() -> None:
    y = UNITS.normalise_states(DATA.y)
    assert np.max(np.linalg.norm(y[..., :3], axis=-1)) == pytest.approx(1, rel=1e-14)
    a = DATA.elements[:, 0] / UNITS.length_km
    assert np.allclose(energy(y, mu=1.0), -1 / (2 * a[:, None]), rtol=1e-12)
    accelerations = UNITS.normalise_accelerations(acceleration(DATA.y))
    assert np.allclose(accelerations, acceleration(y, mu=1.0), rtol=1e-12)
    t = UNITS.normalise_times(DATA.t)
    assert np.allclose(t[:, -1], 2 * np.pi * a**1.5 * 359 / 360, rtol=1e-12)


def test_there_and_back() -> None:
    assert np.allclose(UNITS.denormalise_states(UNITS.normalise_states(DATA.y)), DATA.y, rtol=1e-15)
    assert np.allclose(UNITS.denormalise_times(UNITS.normalise_times(DATA.t)), DATA.t, rtol=1e-15)
    a = acceleration(DATA.y)
    back = UNITS.denormalise_accelerations(UNITS.normalise_accelerations(a))
    assert np.allclose(back, a, rtol=1e-14)
    assert Units.from_plain(json.loads(json.dumps(UNITS.plain()))) == UNITS


def test_padding_does_not_hide_the_largest_radius() -> None:
    t, y = np.array(DATA.t), np.array(DATA.y)
    t[0, 200:], y[0, 200:] = np.nan, np.nan
    assert np.isfinite(Units.of(Dataset("padded", t, y, DATA.elements)).length_km)


@pytest.mark.parametrize(
    "plain", [{}, {"length_km": 1}, {"length_km": None, "time_s": 1}, {"length_km": 0, "time_s": 1}]
)
def test_broken_units_are_refused(plain: dict[str, float | None]) -> None:
    with pytest.raises(ValueError, match="length_km"):
        Units.from_plain(plain)
