"""Which device a training gets."""

import jax
import jax.numpy as jnp
import pytest

from models.training.config import Device
from models.training.device import _may_open_more_than_cpus, choose, on


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


def test_asking_for_the_cpu_leaves_the_settings_where_there_is_nothing_else() -> None:
    if _may_open_more_than_cpus():
        pytest.skip("JAX could open more here")
    before = dict(jax.config.values)
    choose("cpu")
    assert dict(jax.config.values) == before
