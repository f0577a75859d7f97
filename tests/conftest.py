"""Places for real sweeps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Bench


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests launch is not noted in the home folder of whoever runs them."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def new_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Bench]]:
    scratches: list[Path] = []

    def make() -> Bench:
        scratch = Path(f"/tmp/sw-{os.getpid()}-{len(scratches)}")  # short, for Ray's sockets
        scratches.append(scratch)
        return Bench(tmp_path_factory.mktemp("bench"), scratch)

    yield make
    for scratch in scratches:
        subprocess.run(["rm", "-rf", scratch], check=True)


@pytest.fixture
def bench(new_bench: Callable[[], Bench]) -> Bench:
    return new_bench()
