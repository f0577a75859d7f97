"""The evidence lower bound of one series."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from models.latent_ode.model import LatentOde, Posterior, SolverSettings

__all__ = ["Elbo", "elbo", "gaussian_kl", "log_likelihood"]


class Elbo(NamedTuple):
    """The bound's parts, per observed value, and whether the solver got through.

    ``log_likelihood − kl`` is the bound; scalars.
    """

    log_likelihood: Float[Array, ""]
    kl: Float[Array, ""]
    ok: Bool[Array, ""]


def gaussian_kl(posterior: Posterior) -> Float[Array, ""]:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ Σ (σ² + μ² − 1 − ln σ²).

    Kingma and Welling, Auto-Encoding Variational Bayes, 2014, appendix B.
    """
    mean, log_std = posterior
    return 0.5 * jnp.sum(jnp.exp(2 * log_std) + mean**2 - 1 - 2 * log_std)


def log_likelihood(
    predicted: Float[Array, "n 6"],
    y: Float[Array, "n 6"],
    mask: Bool[Array, "n 6"],
    noise: Float[Array, ""] | float,
) -> Float[Array, ""]:
    """Σ ln N(y; ŷ, noise²) over the observed values."""
    # Both are masked before they meet, so that no gradient is made of an unobserved NaN.
    scaled = jnp.where(mask, predicted - jnp.where(mask, y, 0.0), 0.0) / noise
    normaliser = jnp.log(noise) + 0.5 * math.log(2 * math.pi)
    return -0.5 * jnp.sum(scaled**2) - jnp.sum(mask) * normaliser


def elbo(
    model: LatentOde,
    t: Float[Array, " n"],
    y: Float[Array, "n 6"],
    mask: Bool[Array, "n 6"],
    noise: Float[Array, ""] | float,
    *,
    seen: int,
    solver: SolverSettings,
    key: PRNGKeyArray,
) -> Elbo:
    """The bound with one sample of z₀, the encoder seeing the first `seen` of the n times."""
    posterior = model.encoder(t[:seen], y[:seen], mask[:seen])
    solution = model.solve(posterior.sample(key), t, solver)
    count = jnp.maximum(jnp.sum(mask), 1)
    return Elbo(
        log_likelihood=log_likelihood(solution.y, y, mask, noise) / count,
        kl=gaussian_kl(posterior) / count,
        ok=solution.ok,
    )
