"""How well a trained latent ODE reconstructs orbits, and extrapolates beyond its observations."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float, Key

from models.latent_ode.config import COMPONENTS
from models.latent_ode.model import LatentOde, SolverSettings
from models.latent_ode.objective import elbo
from models.latent_ode.series import Series, observe, windows
from models.latent_ode.storage import Trained
from models.two_body import Dataset

__all__ = ["Prediction", "evaluate_series", "figures", "named", "predict"]

Values: TypeAlias = Array | npt.NDArray[Any]

# Series per compiled call: sets of any size share one program, the last call is filled up.
_BLOCK = 16


class OrbitFigures(NamedTuple):
    """Of each series: the bound per observed value, errors in percent, and the states (N, n, 6).

    The errors are those of the components that are observed at all.
    """

    elbo: Values
    reconstruction_pct: Values
    extrapolation_pct: Values
    ok: Values
    y: Values


@eqx.filter_jit
def _figures_of_block(
    model: LatentOde,
    series: tuple[Array, Array, Array, Array],
    keys: Key[Array, " N"],
    components: Bool[Array, " 6"],
    *,
    noise: Float[Array, ""],
    seen: int,
    target: int,
    solver: SolverSettings,
) -> OrbitFigures:
    def of_one(t: Array, y: Array, real: Array, mask: Array, key: Array) -> OrbitFigures:
        bound = elbo(
            model,
            t[:target],
            y[:target],
            mask[:target],
            noise,
            seen=seen,
            solver=solver,
            key=key,
        )
        posterior = model.encoder(t[:seen], y[:seen], mask[:seen])
        solution = model.solve(posterior.mean, t, solver)
        sizes = jnp.maximum(jnp.linalg.norm(components * y, axis=-1), 1e-8)
        errors = 100 * jnp.linalg.norm(components * (solution.y - y), axis=-1) / sizes
        unseen = jnp.arange(len(t)) >= seen
        return OrbitFigures(
            elbo=bound.log_likelihood - bound.kl,
            reconstruction_pct=jnp.mean(errors, where=real & ~unseen),
            extrapolation_pct=jnp.mean(errors, where=real & unseen),
            ok=solution.ok & bound.ok,
            y=solution.y,
        )

    return jax.vmap(of_one)(*series, keys)


def _figures_of_orbits(trained: Trained, series: Series) -> OrbitFigures:
    """The figures of every series; the same whenever they are asked for."""
    parameters = trained.config.parameters
    seen, target = windows(trained.config, series.t.shape[1])
    solver, noise = SolverSettings.of(parameters), jnp.asarray(parameters.noise)
    observed = trained.config.data.observed_components
    components = jnp.asarray([name in observed for name in COMPONENTS])
    blocks = []
    for start in range(0, len(series), _BLOCK):
        here = np.arange(start, min(start + _BLOCK, len(series)))
        block = series.take(np.resize(here, _BLOCK))
        keys = jr.split(jr.key(start), _BLOCK)
        result = _figures_of_block(
            trained.model,
            (
                jnp.asarray(block.t),
                jnp.asarray(block.y),
                jnp.asarray(block.real),
                jnp.asarray(block.mask),
            ),
            keys,
            components,
            noise=noise,
            seen=seen,
            target=target,
            solver=solver,
        )
        # NumPy from here on: sets of every size would compile their own slices.
        blocks.append([np.asarray(part)[: len(here)] for part in result])
    return OrbitFigures(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def evaluate_series(trained: Trained, series: Series) -> dict[str, float]:
    """Means over the orbits whose solve succeeded, and the percentage that failed.

    ``elbo`` in nats per observed value (one sample of z₀, `kl_weight` 1), ``reconstruction_pct``
    the mean of 100·‖ŷ − y‖/‖y‖ over all samples within the observed window, observed or not,
    ``extrapolation_pct`` the same over those after it (left out if there are none), both from the
    posterior's mean and in scaled states; ``failed_pct``. NaN if every solve failed.

    y are the observed components of the states: neither the encoder nor the objective sees a
    component that is never observed, so the decoder's output for it means nothing.
    """
    orbits = _figures_of_orbits(trained, series)
    ok = np.asarray(orbits.ok)

    def mean(values: Values) -> float:
        return (
            float(np.mean(np.asarray(values, dtype=np.float64)[ok])) if ok.any() else float("nan")
        )

    result = {
        "elbo": mean(orbits.elbo),
        "reconstruction_pct": mean(orbits.reconstruction_pct),
        "extrapolation_pct": mean(orbits.extrapolation_pct),
        "failed_pct": 100.0 * float(np.mean(~ok)),
    }
    if windows(trained.config, series.t.shape[1])[0] >= series.t.shape[1]:
        del result["extrapolation_pct"]
    return result


def figures(trained: Trained, dataset: Dataset) -> dict[str, float]:
    """`evaluate_series` of a dataset, observed as the model's config says."""
    return evaluate_series(trained, observe(dataset, trained.config.data, trained.scales))


def named(dataset: str, values: dict[str, float]) -> dict[str, float]:
    """Figures under the name of what they were measured on: ``<dataset>/<figure>``."""
    return {f"{dataset}/{key}": value for key, value in values.items()}


class Prediction(NamedTuple):
    """Predicted states: times `t` (N, n) in s, `y` (N, n, 6) in km and km/s, NaN over padding.

    `seen` is the number of times that the encoder was shown; `observed` (N, n, 6) what of them.
    """

    t: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    observed: npt.NDArray[np.bool_]
    seen: int


def predict(trained: Trained, dataset: Dataset) -> Prediction:
    """What the model makes of each orbit, at every `stride`-th time of `dataset`."""
    series = observe(dataset, trained.config.data, trained.scales)
    seen, _ = windows(trained.config, series.t.shape[1])
    y = np.asarray(_figures_of_orbits(trained, series).y, dtype=np.float64) * trained.scales.state
    observed = series.mask & (np.arange(series.t.shape[1]) < seen)[:, None]
    return Prediction(
        t=dataset.t[:, :: trained.config.data.stride],
        y=np.where(series.real[..., None], y, np.nan),
        observed=observed,
        seen=seen,
    )
