"""The generalisation test, measured again by other means: SciPy, km and s, and by hand."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tiny_trainings import Done

from models.neural_ode import load
from models.neural_ode.evaluation import measure, predict
from models.neural_ode.trained import Trained
from models.two_body import MU, Dataset
from models.two_body import load as load_data
from models.two_body.orbits import acceleration
from models.two_body.statistics import acceleration_statistics, drift_statistics

TEST_SETS = ("simple_TBP_planar_1_test", "simple_TBP_planar_2_test")


@pytest.fixture(scope="module")
def trained(tiny_run: Done) -> Trained:
    return load(tiny_run.folder)


def test_orbits_are_propagated_as_scipy_integrates_the_model(trained: Trained) -> None:
    [orbit] = (data := load_data(TEST_SETS[0])).y
    oracle = solve_ivp(
        lambda _, y: np.concatenate([y[3:], trained.acceleration(y)]),
        (0, data.t[0, 90]),
        orbit[0],
        t_eval=data.t[0, :91],
        rtol=1e-6,
    )
    found = trained.propagate(data)[0, :91]
    for part in (slice(0, 3), slice(3, 6)):
        error = np.linalg.norm(found[:, part] - oracle.y.T[:, part], axis=-1)
        # The tolerances of the tiny training are 1e-4.
        assert error.max() < 5e-3 * np.linalg.norm(orbit[0, part])


@pytest.mark.parametrize("name", TEST_SETS)
def test_figures_are_those_of_accelerations_in_km_and_s(
    name: str, tiny_run: Done, trained: Trained
) -> None:
    """Whatever the units of a test set would be: those of the model are taken."""
    data = load_data(name)
    truth, path = acceleration(data.y), trained.propagate(data)
    along, there = trained.acceleration(path), acceleration(path)
    r, r_true = path[..., :3], data.y[..., :3]
    expected = {
        "": acceleration_statistics(there, along, r) | drift_statistics(path, mu=MU),
        "in_time/": acceleration_statistics(truth, along, r, r_true=r_true),
        "pointwise/": acceleration_statistics(truth, trained.acceleration(data.y), r_true),
    }
    for prefix, figures in expected.items():
        for figure, value in figures.items():
            found = tiny_run.result[f"{prefix}{name}/{figure}"]
            assert found == pytest.approx(value, rel=5e-3, abs=5e-3, nan_ok=True), figure
    by_measure = [tiny_run.result[f"{prefix}{name}/mean"] for prefix in expected]
    assert len({round(value, 3) for value in by_measure}) == 3


def test_the_mean_of_all_tests_weighs_every_sample_alike(tiny_run: Done) -> None:
    one, two = (tiny_run.result[f"{name}/mean"] for name in TEST_SETS)
    assert one != two
    assert tiny_run.result["tests/mean"] == pytest.approx((one + 2 * two) / 3)


def test_the_share_of_failed_orbits_and_the_figures_of_the_rest(trained: Trained) -> None:
    """With such tolerances 64 steps of the solver are enough for some orbits only."""
    strict = trained.solver._replace(rtol=3e-8, atol=3e-10)
    whole = load_data("complex_TBP_planar_10_test")
    [prediction], _ = predict(trained.model, trained.units, [whole], strict)
    solved = np.isfinite(prediction.states).all((1, 2))
    assert 2 <= solved.sum() <= 8
    rest = Dataset("rest", whole.t[solved], whole.y[solved], whole.elements[solved])
    found, _ = measure(trained.model, trained.units, [whole, rest], strict)
    for prefix in ("", "in_time/"):
        figures, expected = (
            {key.rpartition("/")[2]: x for key, x in found.items() if key.startswith(start)}
            for start in (f"{prefix}{whole.name}/", f"{prefix}rest/")
        )
        assert figures.pop("failed_pct") == pytest.approx(100 * np.mean(~solved))
        assert expected.pop("failed_pct") == 0
        assert (figures.pop("orbits"), expected.pop("orbits")) == (10, solved.sum())
        for figure in ("mean", "median", "theta_deg", "slope", "orbit_mean", "samples"):
            assert figures[figure] == pytest.approx(expected[figure], rel=1e-3), figure
    # At the true states nothing is integrated, so nothing fails.
    assert found[f"pointwise/{whole.name}/failed_pct"] == 0


def test_padding_of_an_orbit_is_no_failure(trained: Trained) -> None:
    data = load_data(TEST_SETS[1])
    t, y = np.array(data.t), np.array(data.y)
    t[1, 100:], y[1, 100:] = np.nan, np.nan
    short = Dataset("short", t, y, data.elements)
    path = trained.propagate(short)
    np.testing.assert_allclose(path[0], trained.propagate(data)[0], rtol=1e-4, atol=1)
    assert np.isfinite(path[1, :100]).all()
    assert np.isnan(path[1, 100:]).all()
    figures, _ = measure(trained.model, trained.units, [short], trained.solver)
    assert figures["short/failed_pct"] == 0
    assert figures["short/samples"] == 460
