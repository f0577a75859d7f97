"""Leaves a trace in the bench's folder if anybody imports it."""

from __future__ import annotations

import os
from pathlib import Path

(Path(os.environ["BENCH"]) / "imported").touch()
