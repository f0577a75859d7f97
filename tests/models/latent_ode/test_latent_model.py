"""The latent ODE's parts against SciPy, and what must not change its encoder."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from models.latent_ode.config import Parameters
from models.latent_ode.model import Encoder, LatentOde, Posterior, SolverSettings
from models.latent_ode.objective import elbo, gaussian_kl, log_likelihood

TINY = Parameters(latent_size=3, hidden_size=8, width=8, depth=1)
MODEL = LatentOde(TINY, key=jr.key(0))
TIGHT = SolverSettings(rtol=1e-6, atol=1e-7, max_steps=4096)
T = jnp.linspace(0.0, 4.0, 12)
Y = jr.normal(jr.key(1), (12, 6))
SEEN = jnp.ones((12, 6), bool)


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-2, 1)), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=30)
def test_kl_against_numerical_integration(parts: list[tuple[float, float]]) -> None:
    expected = 0.0
    for mean, log_std in parts:
        q, p = stats.norm(mean, np.exp(log_std)), stats.norm()
        low, high = mean - 12 * np.exp(log_std), mean + 12 * np.exp(log_std)
        expected += integrate.quad(
            lambda z, q=q, p=p: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), low, high
        )[0]
    mean, log_std = np.array(parts, dtype=np.float32).T
    kl = gaussian_kl(Posterior(jnp.asarray(mean), jnp.asarray(log_std)))
    assert float(kl) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_kl_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    assert float(gaussian_kl(Posterior(jnp.zeros(5), jnp.zeros(5)))) == 0
    assert float(gaussian_kl(Posterior(jnp.zeros(5), 0.1 * jnp.ones(5)))) > 0


def test_log_likelihood_against_scipy() -> None:
    predicted = Y + 0.3 * jr.normal(jr.key(2), Y.shape)
    mask = jr.bernoulli(jr.key(3), 0.5, Y.shape)
    expected = stats.norm.logpdf(np.asarray(Y), np.asarray(predicted), 0.2)[np.asarray(mask)].sum()
    assert float(log_likelihood(predicted, Y, mask, 0.2)) == pytest.approx(expected, rel=1e-5)


def test_unobserved_values_reach_neither_the_bound_nor_its_gradient() -> None:
    mask = jr.bernoulli(jr.key(3), 0.6, Y.shape)
    hidden = jnp.where(mask, Y, jnp.nan)

    def bound(model: LatentOde, y: jax.Array) -> jax.Array:
        parts = elbo(model, T, y, mask, 0.1, seen=6, solver=TIGHT, key=jr.key(4))
        return parts.log_likelihood - parts.kl

    both: Any = eqx.filter_jit(eqx.filter_value_and_grad(bound))
    value, gradient = both(MODEL, hidden)
    same, same_gradient = both(MODEL, Y)
    assert float(value) == float(same)
    leaves = jax.tree.leaves(eqx.filter(gradient, eqx.is_array))
    for leaf, other in zip(leaves, jax.tree.leaves(same_gradient), strict=True):
        assert np.isfinite(leaf).all()
        assert np.array_equal(leaf, other)
    assert any(np.any(leaf != 0) for leaf in leaves)
    # A program that calls back to the host would never be written to the compile cache.
    assert "callback" not in both.lower(MODEL, hidden).as_text()


def test_times_without_observations_do_not_change_the_encoder() -> None:
    encoder = Encoder(8, 3, key=jr.key(5))
    # two more times in the middle and one at the end, with garbage instead of values
    t = jnp.insert(T, jnp.array([4, 4, 12]), jnp.array([1.2, 1.3, 4.5]))
    y = jnp.insert(Y, jnp.array([4, 4, 12]), jnp.nan, axis=0)
    mask = jnp.insert(SEEN, jnp.array([4, 4, 12]), False, axis=0)
    for with_gaps, without in zip(encoder.run(t, y, mask), encoder.run(T, Y, SEEN), strict=True):
        assert np.array_equal(with_gaps, without)
    for with_gaps, without in zip(encoder(t, y, mask), encoder(T, Y, SEEN), strict=True):
        assert np.array_equal(with_gaps, without)


def test_the_encoder_reads_times_masks_and_the_gap_before_the_first_observation() -> None:
    encoder = Encoder(8, 3, key=jr.key(5))
    reference = encoder(T, Y, SEEN).mean
    assert not np.allclose(encoder(2 * T, Y, SEEN).mean, reference)
    assert np.allclose(encoder(T + 7, Y, SEEN).mean, reference, atol=1e-5)
    assert not np.allclose(encoder(T, Y.at[:, 5].set(0), SEEN).mean, reference)
    _, first = encoder.run(T, Y, SEEN.at[:3].set(False))
    assert float(first) == float(T[3])
    late = encoder(T, Y, SEEN.at[:3].set(False)).mean
    later = encoder(T.at[0].set(-1.0), Y, SEEN.at[:3].set(False)).mean
    assert not np.allclose(late, later)
    nothing = encoder(T, Y, jnp.zeros_like(SEEN))
    assert np.isfinite(nothing.mean).all()
    assert np.all(encoder.run(T, Y, jnp.zeros_like(SEEN))[0] == 0)


def test_latent_trajectory_equals_scipys() -> None:
    z0 = jnp.array([0.3, -1.0, 0.5])
    solution = integrate.solve_ivp(
        lambda t, z: np.asarray(MODEL.field(jnp.asarray(t), jnp.asarray(z, jnp.float32), None)),
        (0, 4),
        np.asarray(z0, dtype=float),
        t_eval=np.asarray(T),
        rtol=1e-7,
        atol=1e-8,
    )
    expected = jax.vmap(MODEL.decoder)(jnp.asarray(solution.y.T, jnp.float32))
    got = MODEL.solve(z0, T, TIGHT)
    assert bool(got.ok)
    assert np.allclose(got.y, expected, atol=1e-4)


def test_times_that_repeat_at_the_end_keep_the_state() -> None:
    t = jnp.concatenate([T[:8], jnp.full(4, T[7])])
    padded, short = MODEL.solve(jnp.ones(3), t, TIGHT), MODEL.solve(jnp.ones(3), T[:8], TIGHT)
    assert bool(padded.ok)
    assert np.allclose(padded.y[:8], short.y, atol=1e-6)
    assert np.allclose(padded.y[8:], short.y[-1], atol=1e-6)


def test_a_failed_solve_is_a_value() -> None:
    fast = eqx.tree_at(lambda model: model.field.scale, MODEL, jnp.array(1e4))
    solution = fast.solve(jnp.ones(3), T, SolverSettings(1e-6, 1e-7, 16))
    assert not bool(solution.ok)
    assert not np.isfinite(solution.y).all()


def test_vmap_equals_a_loop_and_jit_equals_no_jit() -> None:
    z0 = jr.normal(jr.key(7), (4, 3))
    solve = jax.jit(lambda z: MODEL.solve(z, T, TIGHT).y)
    batch = jax.vmap(solve)(z0)
    for one, z in zip(batch, z0, strict=True):
        assert np.allclose(one, solve(z), atol=1e-4)
    arguments: dict[str, Any] = {"seen": 6, "solver": TIGHT, "key": jr.key(6)}
    eager = elbo(MODEL, T, Y, SEEN, 0.1, **arguments)
    compiled = eqx.filter_jit(elbo)(MODEL, T, Y, SEEN, 0.1, **arguments)
    assert float(eager.log_likelihood) == pytest.approx(float(compiled.log_likelihood), rel=1e-4)


def test_samples_follow_the_posterior() -> None:
    posterior = Posterior(jnp.array([1.0, -2.0]), jnp.log(jnp.array([0.5, 2.0])))
    z = np.asarray(jax.vmap(posterior.sample)(jr.split(jr.key(8), 4000)))
    for k, (mean, std) in enumerate([(1.0, 0.5), (-2.0, 2.0)]):
        assert stats.kstest(z[:, k], stats.norm(mean, std).cdf).pvalue > 1e-3


@pytest.mark.parametrize("activation", ["tanh", "softplus", "silu"])
def test_every_activation_gives_a_bounded_field_with_finite_gradients(
    activation: Literal["tanh", "softplus", "silu"],
) -> None:
    model = LatentOde(Parameters(latent_size=2, activation=activation, width=4), key=jr.key(9))
    for z in ([0.0, 0.0], [1e4, -1e4], [1.0, 2.0]):
        value, gradient = eqx.filter_value_and_grad(lambda f, z: jnp.sum(f(T[0], z, None)))(
            model.field, jnp.array(z)
        )
        assert abs(float(value)) <= 2
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
