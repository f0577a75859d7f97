"""When the first run began, recorded in a file that it makes."""

from __future__ import annotations

import contextlib
import os

VARIABLE = "BENCHMARK_FIRST_RUN"


def note_first_run() -> None:
    """Make the file that `VARIABLE` names, unless another run has; costs microseconds."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(os.environ[VARIABLE], os.O_CREAT | os.O_EXCL))
