"""Shapes of the latent ODE's functions are checked while its tests run."""

from jaxtyping import install_import_hook

install_import_hook(
    [f"models.latent_ode.{name}" for name in ("model", "objective", "evaluation")],
    "beartype.beartype",
)
