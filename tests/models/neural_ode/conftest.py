"""Shapes are checked while these tests run; and one small training that many tests look at."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook(
    [
        f"models.neural_ode.{name}"
        for name in ("activations", "features", "harmonics", "heads", "losses", "model", "vectors")
    ],
    "beartype.beartype",
)

from tiny_trainings import TINY, Done, Tiny, Trains, run_training, tiny  # noqa: E402

from models.neural_ode import Config  # noqa: E402


@pytest.fixture(scope="session")
def tiny_config() -> Tiny:
    return tiny


@pytest.fixture
def trained(tmp_path: Path) -> Trains:
    """Trains a config in a fresh folder."""
    count = iter(range(100))

    def go(config: Config, stop: Path | None = None) -> Done:
        return run_training(config, tmp_path / f"run{next(count)}", stop)

    return go


@pytest.fixture
def quickly_compiled() -> Iterator[None]:
    """XLA leaves most optimisations out: for programs that no other test shares."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The tiny config, trained once."""
    return run_training(TINY, tmp_path_factory.mktemp("tiny") / "run")
