"""A place for the soak: long, and on a scratch of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.driver import Say, SoakBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SoakBench]:
    scratch = Path(f"/tmp/soak-{os.getpid()}")  # short, for Ray's sockets
    yield SoakBench(tmp_path, scratch)
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def tell(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    tell("")
    return tell
