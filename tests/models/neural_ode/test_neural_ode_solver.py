"""The solver against diffrax, SciPy and Kepler; its gradient against diffrax and differences."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from models.neural_ode import tsit5
from models.neural_ode.adjoint import backward
from models.neural_ode.config import Parameters
from models.neural_ode.curriculum import cut
from models.neural_ode.model import NeuralODE, vector_field
from models.neural_ode.solve import (
    Control,
    Params,
    Problems,
    Solution,
    Tape,
    Workspace,
    _initial_steps,
    forward,
    rank,
    row_count,
)
from models.two_body import Units, load

DATA = load("complex_TBP_planar_4_train")
UNITS = Units.of(DATA)
CONTROL = Control(1e-6, 1e-8)

Field: TypeAlias = Callable[[Params, jax.Array], jax.Array]
Solved: TypeAlias = tuple[Solution, Tape, Workspace]
ByDiffrax: TypeAlias = tuple[NeuralODE, tuple[jax.Array, jax.Array, jax.Array]]
"""The gradient; states, attempts and accepted steps."""


@pytest.fixture(scope="module", autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def network() -> NeuralODE:
    small = Parameters(width=8, depth=1, activation="tanh").architecture()
    drawn = NeuralODE(small, rng=np.random.default_rng(1))
    larger: NeuralODE = jax.tree.map(lambda leaf: 2 * jnp.asarray(leaf, jnp.float64), drawn)
    return larger


@pytest.fixture(scope="module")
def problems() -> Problems:
    segments = cut(DATA, UNITS, (0.0, 1.0), 40)
    t, y = jnp.asarray(segments.t, jnp.float64), jnp.asarray(segments.y, jnp.float64)
    return Problems(t[:30], y[:30, 0], 30)


@functools.cache
def _compiled_forward(field: Field) -> Callable[..., Solved]:
    return jax.jit(
        lambda params, problems, control, space, max_steps: forward(
            field, params, problems, control, space, max_steps=max_steps
        )
    )


@functools.cache
def _compiled_backward(field: Field) -> Callable[..., Any]:
    return jax.jit(functools.partial(backward, field))


def solve(
    field: Field,
    params: Params,
    problems: Problems,
    control: Control = CONTROL,
    *,
    lanes: int = 8,
    max_steps: int = 200,
    rows: int | None = None,
) -> Solved:
    count, samples = problems.t.shape
    rows = rows or row_count(count, lanes, samples, 200)
    space = Workspace.empty(rows, lanes, problems.y0.shape[1], jnp.float64)
    return _compiled_forward(field)(params, problems, control, space, max_steps)


def pull_back(field: Field, params: Params, solved: Solved, cotangent: jax.Array) -> Any:
    _, tape, space = solved
    return _compiled_backward(field)(params, tape, cotangent, space)


def newton(params: jax.Array, y: jax.Array) -> jax.Array:
    """The truth, as a field; `params` scales gravity."""
    r = jnp.sqrt(jnp.sum(y[:3] ** 2))
    return jnp.concatenate([y[3:], -params * y[:3] / r**3])


@pytest.fixture(scope="module")
def solved(network: NeuralODE, problems: Problems) -> Solved:
    return solve(vector_field, network, problems)


@pytest.fixture(scope="module")
def by_diffrax(network: NeuralODE, problems: Problems) -> ByDiffrax:
    """The same problems, and dL/dmodel for L = Σ c·y, by diffrax from the same first steps."""
    rhs = jax.vmap(lambda y: vector_field(network, y), 1, 1)
    first = jnp.minimum(_initial_steps(rhs, problems.y0.T, CONTROL)[1], problems.t[:, -1])

    def one(
        model: NeuralODE, t: jax.Array, y0: jax.Array, dt0: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, model: vector_field(model, y)),
            diffrax.Tsit5(),
            t[0],
            t[-1],
            dt0,
            y0,
            args=model,
            saveat=diffrax.SaveAt(ts=t),
            stepsize_controller=diffrax.PIDController(rtol=CONTROL.rtol, atol=CONTROL.atol),
            max_steps=256,
            throw=False,
        )
        return found.ys, found.stats["num_steps"], found.stats["num_accepted_steps"]

    def total(model: NeuralODE) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
        every = jax.vmap(one, (None, 0, 0, 0))
        y, steps, accepted = every(model, problems.t, problems.y0, first)
        return jnp.sum(_cotangent(y.shape) * y), (y, steps, accepted)

    oracle = jax.jit(jax.grad(total, has_aux=True)).lower(network)
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    gradient, values = oracle.compile(options)(network)
    return gradient, values


def _cotangent(shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(np.random.default_rng(5).normal(size=shape))


def test_the_tableau_is_that_of_diffrax() -> None:
    theirs = diffrax.Tsit5.tableau
    for row, other in zip(tsit5.STAGES, theirs.a_lower, strict=True):
        np.testing.assert_allclose(row, other, rtol=1e-14)
    np.testing.assert_allclose(tsit5.ERROR, theirs.b_error, rtol=1e-12)
    # At θ = 1 the interpolant is the solution, at its start its slope is k₁.
    np.testing.assert_allclose(tsit5.INTERPOLANT.sum(0), theirs.b_sol, atol=1e-13)
    np.testing.assert_allclose(tsit5.INTERPOLANT[0], [1, 0, 0, 0, 0, 0, 0], atol=1e-13)


def test_it_takes_the_steps_of_diffrax_and_saves_the_same_states(
    solved: Solved, by_diffrax: ByDiffrax
) -> None:
    solution, _, _ = solved
    y, steps, accepted = by_diffrax[1]
    assert solution.solved.all()
    assert len(set(np.asarray(steps))) > 2  # problems of unequal length share the lanes
    np.testing.assert_array_equal(solution.attempts, steps)
    np.testing.assert_array_equal(solution.accepted, accepted)
    np.testing.assert_allclose(solution.y, y, rtol=1e-10, atol=1e-11)


def test_its_gradient_is_that_of_diffrax(
    network: NeuralODE, solved: Solved, by_diffrax: ByDiffrax
) -> None:
    gradient = pull_back(vector_field, network, solved, _cotangent(solved[0].y.shape))
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(by_diffrax[0]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


def test_its_gradient_agrees_with_differences_of_a_tight_solve() -> None:
    """A field with one parameter, so that central differences are exact to their order."""
    t = jnp.linspace(0, 2.0, 9)[None].repeat(3, 0)
    y0 = jnp.array([[1, 0, 0, 0, 1, 0], [0.7, 0, 0, 0, 1.3, 0.1], [0.5, 0.5, 0, -0.8, 0.9, 0]])
    problems, tight = Problems(t, y0.astype(float), 3), Control(1e-11, 1e-12)
    pull = _cotangent((3, 9, 6))

    def total(mu: float) -> float:
        solution, _, _ = solve(newton, jnp.asarray(mu), problems, tight)
        return float(jnp.sum(pull * solution.y))

    by_difference = (total(1 + 1e-5) - total(1 - 1e-5)) / 2e-5
    for control, close in ((tight, 1e-7), (CONTROL, 1e-4)):
        solved = solve(newton, jnp.asarray(1.0), problems, control)
        assert solved[0].solved.all()
        found = pull_back(newton, jnp.asarray(1.0), solved, pull)
        assert float(found) == pytest.approx(by_difference, rel=close)


def test_the_gradient_of_a_network_agrees_with_differences_of_a_tight_solve(
    network: NeuralODE, problems: Problems
) -> None:
    """Along random directions of all weights, biases and slopes."""
    tight = Control(1e-10, 1e-12)
    gradients = []
    for control in (tight, CONTROL):
        solved = solve(vector_field, network, problems, control)
        assert solved[0].solved.all()
        pull = _cotangent(solved[0].y.shape)
        gradients.append(pull_back(vector_field, network, solved, pull))
    rng = np.random.default_rng(7)
    for _ in range(3):
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), network)

        def total(h: float, direction: Any = direction) -> float:
            moved = jax.tree.map(lambda leaf, d: leaf + h * d, network, direction)
            solution, _, _ = solve(vector_field, moved, problems, tight)
            return float(jnp.sum(pull * solution.y))

        by_difference = (total(1e-4) - total(-1e-4)) / 2e-4
        for gradient, close in zip(gradients, (1e-5, 1e-3), strict=True):
            products = jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)
            assert float(sum(jax.tree.leaves(products))) == pytest.approx(by_difference, rel=close)


def test_the_number_of_lanes_changes_nothing(problems: Problems) -> None:
    mu = jnp.asarray(1.0)
    one, other = (solve(newton, mu, problems, lanes=n) for n in (8, 3))
    np.testing.assert_array_equal(one[0].attempts, other[0].attempts)
    np.testing.assert_allclose(one[0].y, other[0].y, rtol=1e-12, atol=1e-13)
    pull = _cotangent(one[0].y.shape)
    by_one, by_other = (pull_back(newton, mu, solved, pull) for solved in (one, other))
    np.testing.assert_allclose(by_one, by_other, rtol=1e-10)


def test_whole_orbits_of_the_truth_are_those_of_kepler() -> None:
    t = jnp.asarray(UNITS.normalise_times(DATA.t))
    y = UNITS.normalise_states(DATA.y)
    problems = Problems(t, jnp.asarray(y[:, 0]), 4)
    solution, _, _ = solve(
        newton, jnp.asarray(1.0), problems, Control(1e-10, 1e-12), lanes=2, max_steps=2000
    )
    assert solution.solved.all()
    scale = np.linalg.norm(y, axis=-1).max()
    assert np.abs(solution.y - y).max() < 1e-6 * scale


def test_a_stiff_turn_agrees_with_scipy() -> None:
    def field(params: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.stack([y[1], params * (1 - y[0] ** 2) * y[1] - y[0]])

    t = np.linspace(0, 8, 21)
    y0 = np.array([2.0, 0.0])
    oracle = solve_ivp(
        lambda _, y: [y[1], 5 * (1 - y[0] ** 2) * y[1] - y[0]],
        (0, 8),
        y0,
        method="DOP853",
        t_eval=t,
        rtol=1e-12,
        atol=1e-12,
    )
    problems = Problems(jnp.asarray(t[None]), jnp.asarray(y0[None]), 1)
    solution, _, _ = solve(
        field, jnp.asarray(5.0), problems, Control(1e-9, 1e-9), max_steps=2000, rows=2000
    )
    np.testing.assert_allclose(solution.y[0], oracle.y.T, atol=2e-6)


def test_it_converges_with_its_order() -> None:
    """Errors at fixed tolerance ratios: rtol 16 times smaller is an error 16 times smaller."""
    t = jnp.linspace(0, 6.0, 4)[None]
    problems = Problems(t, jnp.array([[1.0, 0, 0, 0, 1, 0]]), 1)
    errors = []
    for rtol in (1e-5, 1e-8):
        solution, _, _ = solve(newton, jnp.asarray(1.0), problems, Control(rtol, rtol / 100))
        exact = np.stack([np.cos(t[0]), np.sin(t[0])], axis=-1)
        errors.append(np.abs(solution.y[0, :, :2] - exact).max())
    assert errors[1] < errors[0] / 300


def test_only_the_counted_problems_are_solved(network: NeuralODE, problems: Problems) -> None:
    solution, tape, _ = solve(vector_field, network, problems._replace(count=11))
    assert solution.solved.sum() == 11
    assert np.isfinite(solution.y[:11]).all()
    assert np.isnan(solution.y[11:]).all()
    assert (solution.attempts[11:] == 0).all()
    assert (tape.last[11:] == -1).all()


def test_a_problem_that_cannot_be_solved_takes_no_other_with_it() -> None:
    def field(params: jax.Array, y: jax.Array) -> jax.Array:
        return params * y**2  # from y = 1 infinite at t = 1

    t = jnp.linspace(0, 0.9, 5)[None].repeat(5, 0).at[2].multiply(2.0)
    y0 = jnp.ones((5, 1)).at[4].set(jnp.nan)
    solved = solve(field, jnp.asarray(1.0), Problems(t, y0, 5), lanes=2)
    solution = solved[0]
    np.testing.assert_array_equal(solution.solved, [True, True, False, True, False])
    good = np.array([0, 1, 3])
    np.testing.assert_allclose(solution.y[good, :, 0], 1 / (1 - t[good]), rtol=1e-5)
    assert np.isnan(solution.y[2]).all()
    pull = jnp.where(solution.solved[:, None, None], 1.0, jnp.nan) * jnp.ones_like(solution.y)
    gradient = pull_back(field, jnp.asarray(1.0), solved, pull)
    # y = 1/(1 − p t): dy/dp = t/(1 − p t)² for each of the three good ones.
    assert float(gradient) == pytest.approx(3 * float(jnp.sum(t[0] / (1 - t[0]) ** 2)), rel=1e-4)


def test_the_end_of_attempts_and_of_memory_are_values(
    network: NeuralODE, problems: Problems
) -> None:
    capped, _, _ = solve(vector_field, network, problems, max_steps=3)
    attempts = np.asarray(capped.attempts)
    assert 0 < capped.solved.sum() < 30
    assert attempts.max() == 3
    full, _, _ = solve(newton, jnp.asarray(1.0), problems, rows=12)
    assert 0 < full.solved.sum() < 30
    assert np.isnan(full.y[~np.asarray(full.solved)]).all()


def test_rank_counts_the_free_lanes_before() -> None:
    free = jnp.array([True, False, True, True, False])
    np.testing.assert_array_equal(rank(free), [0, 1, 1, 2, 3])
