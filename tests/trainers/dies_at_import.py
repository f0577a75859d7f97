"""Kills the process that imports it while the file `sick` lies in the bench's folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

if (Path(os.environ["BENCH"]) / "sick").exists():
    os.kill(os.getpid(), signal.SIGKILL)
