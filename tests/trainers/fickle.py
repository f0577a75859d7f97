"""A trainer whose runs end badly until the file `fixed` lies in the bench's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeper.trainer import Run


@dataclass(frozen=True)
class Config:
    deed: Literal["finish", "raise", "overstay", "diverge"] = "finish"
    seed: int = 0


def train(configs: Sequence[Config], runs: Sequence[Run]) -> None:
    deed, fixed = configs[0].deed, (Path(os.environ["BENCH"]) / "fixed").exists()
    if deed == "raise" and not fixed:
        raise ValueError(f"no good at {configs[0].seed}")
    if deed == "overstay":
        time.sleep(4 if fixed else 600)
    runs[0].log(0, loss=float("nan") if deed == "diverge" else 1.0)
