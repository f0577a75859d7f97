"""Which device a training gets."""

import jax
import jax.numpy as jnp
import pytest

from models.training.config import Device
from models.training.device import choose, on


def test_a_gpu_that_is_not_there_is_refused_with_what_there_is() -> None:
    if any(device.platform != "cpu" for device in jax.devices()):
        pytest.skip("there is a GPU here")
    for attempt in (choose, on):
        with pytest.raises(RuntimeError, match=r"`device: gpu`.*JAX sees only.*[Cc]pu"):
            attempt("gpu")
    assert choose("auto").platform == choose("cpu").platform == "cpu"


@pytest.mark.parametrize("wanted", ["cpu", "auto"])
def test_what_is_computed_within_lies_on_the_device(wanted: Device) -> None:
    with on(wanted):
        assert jnp.ones(2).devices() == {choose(wanted)}
