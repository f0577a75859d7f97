"""Made datasets: physics, reproducibility, and what the parts of a name mean."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from models.two_body import (
    EARTH_RADIUS,
    MU,
    ORBIT_SAMPLES,
    Dataset,
    DatasetError,
    load,
    parse_name,
)
from models.two_body.orbits import angular_momentum, elements_from_states, energy, period

FAMILIES = ("complex", "simple", "circular")
EVERY_NAME = [
    f"{family}_TBP{planar}{fixnu0}_{orbits}{split}"
    for family, planar, fixnu0, orbits, split in itertools.product(
        FAMILIES, ("", "_planar"), ("", "_fixnu0"), (1, 7), ("", "_train", "_test")
    )
]


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_name_of_the_grammar(name: str) -> None:
    parsed = parse_name(name)
    assert str(parsed) == name
    data = load(name)
    assert data.name == name
    assert data.t.shape == (parsed.orbits, 360)
    assert data.y.shape == (parsed.orbits, 360, 6)
    assert data.elements.shape == (parsed.orbits, 6)
    a, e, i, Omega, omega, nu0 = data.elements.T
    assert np.all((a >= 6578.137) & (a <= 42164))
    upper = {"complex": np.minimum(0.99, 1 - EARTH_RADIUS / a), "simple": 0.1, "circular": 0.0}
    assert np.all((e >= 0) & (e <= upper[parsed.family]))
    assert np.all(nu0 == 0) if parsed.fixnu0 else np.all((nu0 >= 0) & (nu0 < 360))
    assert np.isnan(Omega).all() if parsed.planar else np.all((Omega >= 0) & (Omega < 360))
    if parsed.planar:
        assert np.all(i == 0)
        assert np.all(data.y[..., [2, 5]] == 0)
    assert np.isnan(omega).all() == (parsed.planar or parsed.family == "circular")


@pytest.mark.parametrize("name", [name for name in EVERY_NAME if "_7_test" in name])
def test_keplers_laws(name: str) -> None:
    data = load(name)
    a = data.elements[:, 0]
    assert np.allclose(energy(data.y), -MU / (2 * a[:, None]), rtol=1e-10)
    h = angular_momentum(data.y)
    size = np.linalg.norm(h, axis=-1, keepdims=True)
    assert np.max(np.abs(h - h[:, :1]) / size) < 1e-10
    # The elements at each sample give the orbit's period and a mean anomaly that grows by 1°.
    every = elements_from_states(data.y)
    assert np.allclose(period(every[..., 0]), period(a)[:, None], rtol=1e-10)
    assert np.allclose(data.t, np.arange(360) / 360 * period(a)[:, None], rtol=1e-14)
    r = np.linalg.norm(data.y[..., :3], axis=-1)
    r_v = np.sum(data.y[..., :3] * data.y[..., 3:], axis=-1)
    # e e^{iE} = (1 − r/a) + i (r·v)/sqrt(μa), so it needs no angles of the orbit's plane
    e = data.elements[:, 1:2]
    if np.all(e > 1e-3):
        E = np.unwrap(np.arctan2(r_v / np.sqrt(MU * a[:, None]), 1 - r / a[:, None]), axis=-1)
        M = E - e * np.sin(E)
        assert np.allclose(np.diff(M, axis=-1), np.radians(1), rtol=1e-9)
        assert np.degrees(M[:, -1] - M[:, 0]) == pytest.approx(359)


@pytest.mark.parametrize("name", ["complex_TBP_planar_10_train", "complex_TBP_10_test"])
def test_states_equal_a_high_order_integration(name: str) -> None:
    data = load(name)
    for k in (0, int(np.argmax(data.elements[:, 1]))):
        solution = solve_ivp(
            lambda _, y: np.concatenate([y[3:], -MU * y[:3] / np.linalg.norm(y[:3]) ** 3]),
            (0, data.t[k, -1]),
            data.y[k, 0],
            method="DOP853",
            t_eval=data.t[k],
            rtol=1e-13,
            atol=1e-10,
        )
        for part in (slice(0, 3), slice(3, 6)):
            error = np.linalg.norm(solution.y.T[:, part] - data.y[k, :, part], axis=-1)
            assert np.max(error / np.linalg.norm(data.y[k, :, part], axis=-1)) < 1e-8


def test_first_sample_lies_at_nu0_after_the_periapsis() -> None:
    data = load("complex_TBP_50")
    elements = elements_from_states(data.y[:, 0])
    turned = np.exp(1j * (elements[:, 2:] - np.radians(data.elements[:, 2:])))
    assert np.allclose(turned, 1, atol=1e-9)
    fixed = load("complex_TBP_planar_fixnu0_50")
    a, e = fixed.elements[:, 0], fixed.elements[:, 1]
    assert np.allclose(fixed.y[:, 0, 0], a * (1 - e), rtol=1e-13)
    assert np.allclose(fixed.y[:, 0, 1], 0, atol=1e-9)
    assert np.all(fixed.y[:, 0, 4] > 0)


def test_draws_follow_the_stated_laws() -> None:
    a, e, i, Omega, omega, nu0 = load("complex_TBP_2000", seed=3).elements.T
    assert np.all(a * (1 - e) >= EARTH_RADIUS * (1 - 1e-12))
    for sample in (
        (a - 6578.137) / (42164 - 6578.137),
        e / np.minimum(0.99, 1 - EARTH_RADIUS / a),
        (1 - np.cos(np.radians(i))) / 2,
        Omega / 360,
        omega / 360,
        nu0 / 360,
    ):
        assert kstest(sample, "uniform").pvalue > 1e-3


def test_names_and_seeds_are_independent_draws() -> None:
    names = ["complex_TBP_planar_10_train", "complex_TBP_planar_10_test", "complex_TBP_planar_10"]
    names += ["complex_TBP_planar_100_train", "complex_TBP_planar_fixnu0_10_train"]
    first = [load(name).elements[0, 0] for name in names] + [load(names[0], seed=1).elements[0, 0]]
    assert len(set(first)) == len(first)
    assert load(names[0]) is load(names[0])
    train, test = load("complex_TBP_planar_1000_train"), load("complex_TBP_planar_1000_test")
    assert abs(np.corrcoef(train.elements[:, 0], test.elements[:, 0])[0, 1]) < 0.1


# Written down once; a change of a draw or of the mathematics must not pass unnoticed.
GOLDEN = [
    (
        "complex_TBP_planar_10_train",
        0,
        0,
        0,
        (11492.402550069417, -9236.475500261375, 0.0, 2.6697887935426183, 5.992678005670885, 0.0),
    ),
    (
        "complex_TBP_100_test",
        0,
        99,
        359,
        (
            -6086.809675335758,
            476.0081658656536,
            -14803.034429988647,
            -1.4707617780186744,
            -4.8211390819850255,
            1.2874823812957357,
        ),
    ),
    (
        "circular_TBP_4_train",
        7,
        2,
        100,
        (
            24989.83572018051,
            11354.418078020137,
            -14767.56240533894,
            -1.4987764235183012,
            -0.7955141165350864,
            -3.1478977501596206,
        ),
    ),
]


@pytest.mark.parametrize(("name", "seed", "orbit", "sample", "state"), GOLDEN)
def test_golden_states(
    name: str, seed: int, orbit: int, sample: int, state: tuple[float, ...]
) -> None:
    y = load(name, seed=seed).y[orbit, sample]
    for part in (slice(0, 3), slice(3, 6)):
        expected = np.array(state)[part]
        assert np.linalg.norm(y[part] - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("complx_TBP_planar_10_train", "complex_TBP_planar_10_train"),
        ("complex_TBP_fixnu0_planar_10_train", "complex_TBP_planar_fixnu0_10_train"),
        ("complex_planar_10_tset", "complex_TBP_planar_10_test"),
        ("Simple-tbp-Planar-100", "simple_TBP_planar_100"),
        ("circular_TBP_010", "circular_TBP_10"),
        ("circular_TBP_fixnu_5", "circular_TBP_fixnu0_5"),
        ("complex_TBP_0_train", "complex_TBP_10_train"),
        ("complex_TBP_planar_10_train\n", "complex_TBP_planar_10_train"),
        ("", "complex_TBP_10"),
    ],
)
def test_a_wrong_name_is_told_the_nearest_right_one(wrong: str, nearest: str) -> None:
    parse_name(nearest)
    with pytest.raises(DatasetError, match=re.escape(f"did you mean `{nearest}`?")):
        load(wrong)


def test_sets_that_no_memory_holds_are_refused() -> None:
    with pytest.raises(DatasetError, match="`orbits <= 100000` must hold"):
        load("complex_TBP_1000000000")
    with pytest.raises(DatasetError, match="data_seed >= 0"):
        load("complex_TBP_1", seed=-1)


def test_arrays_are_read_only_and_first_takes_the_first() -> None:
    data = load("complex_TBP_7")
    with pytest.raises(ValueError, match="read-only"):
        data.y[0, 0, 0] = 1
    assert np.array_equal(data.first(2).y, data.y[:2])
    assert len(data.first(2)) == 2
    assert data.first(-1) is data
    assert data.first(100) is data
    assert np.all(data.lengths == ORBIT_SAMPLES)


def test_from_states_finds_the_elements() -> None:
    made = load("complex_TBP_7")
    data = Dataset.from_states("again", made.t, made.y)
    assert np.allclose(data.elements, made.elements, rtol=1e-9)
    with pytest.raises(DatasetError, match="energy < 0"):
        Dataset.from_states("fast", made.t, made.y * [1, 1, 1, 9, 9, 9])


def test_the_package_imports_no_jax() -> None:
    code = "import models.two_body, sys; print('jax' in sys.modules, 'wandb' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False", "False"]
