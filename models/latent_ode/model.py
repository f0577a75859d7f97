"""A latent ODE: a recurrent encoder, an ODE of latent variables, a decoder.

Chen, Rubanova, Bettencourt and Duvenaud, Neural Ordinary Differential Equations, NeurIPS 2018,
section 5; Rubanova, Chen and Duvenaud, Latent ODEs for Irregularly-Sampled Time Series, NeurIPS
2019. One series per call: `jax.vmap` outside. Shapes: n times, 6 states.
"""

from __future__ import annotations

from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from models.latent_ode.config import Parameters

__all__ = ["Encoder", "LatentOde", "Posterior", "Solution", "SolverSettings", "VectorField"]

STATES = 6
_ACTIVATIONS = {"tanh": jnp.tanh, "softplus": jax.nn.softplus, "silu": jax.nn.silu}


class Posterior(NamedTuple):
    """Mean and logarithm of the standard deviation of z₀, each (latent,)."""

    mean: Float[Array, " latent"]
    log_std: Float[Array, " latent"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, " latent"]:
        """One z₀, by the reparametrisation mean + σ·noise."""
        return self.mean + jnp.exp(self.log_std) * jr.normal(key, self.mean.shape)


class Solution(NamedTuple):
    """Decoded states (n, 6), and whether the solver reached the last time."""

    y: Float[Array, "n 6"]
    ok: Bool[Array, ""]


class SolverSettings(NamedTuple):
    """Tolerances of the step-size control, and the number of steps that counts as failure.

    As arrays the tolerances are arguments of a compiled program; `max_steps` is a part of it.
    """

    rtol: Float[Array, ""] | float
    atol: Float[Array, ""] | float
    max_steps: int

    @classmethod
    def of(cls, parameters: Parameters) -> SolverSettings:
        """The settings of a config, its tolerances as arrays."""
        rtol, atol = jnp.asarray(parameters.rtol), jnp.asarray(parameters.atol)
        return cls(rtol, atol, parameters.max_steps)


class Encoder(eqx.Module):
    """A GRU that runs backwards over the observations to the posterior of z₀ at the first time.

    At each observation it reads the observed values (0 for the missing), which of them are there,
    and the time to the observation after it; the last layer also reads the time from the series'
    start to the first observation. Times without any observation leave it unchanged, so any number
    of them, anywhere, changes nothing.
    """

    cell: eqx.nn.GRUCell
    to_posterior: eqx.nn.Linear

    def __init__(self, hidden_size: int, latent_size: int, *, key: PRNGKeyArray) -> None:
        cell_key, linear_key = jr.split(key)
        self.cell = eqx.nn.GRUCell(2 * STATES + 1, hidden_size, key=cell_key)
        self.to_posterior = eqx.nn.Linear(hidden_size + 1, 2 * latent_size, key=linear_key)

    def __call__(
        self, t: Float[Array, " n"], y: Float[Array, "n 6"], mask: Bool[Array, "n 6"]
    ) -> Posterior:
        hidden, first = self.run(t, y, mask)
        gap = first - t[0]
        mean, log_std = jnp.split(self.to_posterior(jnp.append(hidden, gap)), 2)
        # A bounded logarithm: e^±7 is wider and narrower than any useful posterior, and finite.
        return Posterior(mean, 7.0 * jnp.tanh(log_std / 7.0))

    def run(
        self, t: Float[Array, " n"], y: Float[Array, "n 6"], mask: Bool[Array, "n 6"]
    ) -> tuple[Float[Array, " hidden"], Float[Array, ""]]:
        """The hidden state after the earliest observation, and that observation's time."""
        y = jnp.where(mask, y, 0.0)
        seen = jnp.any(mask, axis=-1)
        last = jnp.max(jnp.where(seen, t, t[0]))

        def step(carry, x):  # type: ignore[no-untyped-def]  # the shapes are those of `run`
            hidden, later = carry
            time, values, there, any_there = x
            reading = jnp.concatenate([values, there.astype(values.dtype), (later - time)[None]])
            updated = self.cell(reading, hidden)
            return (
                jnp.where(any_there, updated, hidden),
                jnp.where(any_there, time, later),
            ), None

        start = (jnp.zeros(self.cell.hidden_size, y.dtype), last)
        (hidden, first), _ = jax.lax.scan(step, start, (t, y, mask, seen), reverse=True)
        return hidden, first


class VectorField(eqx.Module):
    """dz/dt = scale · tanh(MLP(z)): bounded, so that no solve runs away early in training."""

    mlp: eqx.nn.MLP
    scale: Float[Array, ""]

    def __init__(self, parameters: Parameters, *, key: PRNGKeyArray) -> None:
        self.mlp = eqx.nn.MLP(
            in_size=parameters.latent_size,
            out_size=parameters.latent_size,
            width_size=parameters.width,
            depth=parameters.depth,
            activation=_ACTIVATIONS[parameters.activation],
            final_activation=jnp.tanh,
            key=key,
        )
        self.scale = jnp.ones(())

    def __call__(
        self, t: Float[Array, ""], z: Float[Array, " latent"], args: None
    ) -> Float[Array, " latent"]:
        return self.scale * self.mlp(z)


class LatentOde(eqx.Module):
    """Encoder, vector field and decoder.

    States and times are in the model's own scales (`models.latent_ode.series.Scales`).
    """

    encoder: Encoder
    field: VectorField
    decoder: eqx.nn.MLP

    def __init__(self, parameters: Parameters, *, key: PRNGKeyArray) -> None:
        encoder_key, field_key, decoder_key = jr.split(key, 3)
        self.encoder = Encoder(parameters.hidden_size, parameters.latent_size, key=encoder_key)
        self.field = VectorField(parameters, key=field_key)
        self.decoder = eqx.nn.MLP(
            in_size=parameters.latent_size,
            out_size=STATES,
            width_size=parameters.width,
            depth=1,
            activation=_ACTIVATIONS[parameters.activation],
            key=decoder_key,
        )

    def solve(
        self, z0: Float[Array, " latent"], t: Float[Array, " n"], solver: SolverSettings
    ) -> Solution:
        """The states that start in z₀ at t[0], at the growing times t (the last may repeat).

        A failed solve raises nothing: `ok` is false and its states from there on are not finite.
        """
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(self.field),
            diffrax.Tsit5(),
            t0=t[0],
            t1=t[-1],
            dt0=None,
            y0=z0,
            # `throw=True`, and `SaveAt(ts=…)` with traced times, check by host callbacks, and a
            # program that has one is never written to the persistent compile cache.
            saveat=diffrax.SaveAt(dense=True),
            stepsize_controller=diffrax.PIDController(rtol=solver.rtol, atol=solver.atol),
            max_steps=solver.max_steps,
            throw=False,
        )
        ok = solution.result == diffrax.RESULTS.successful
        z = jax.vmap(solution.evaluate)(t)
        return Solution(jax.vmap(self.decoder)(z), ok)
