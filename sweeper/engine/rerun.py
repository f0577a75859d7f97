"""One run again, in this process, without Ray: for looking at a crash."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeper.config import from_plain
from sweeper.engine.run_context import RunContext
from sweeper.records.layout import RunFolder
from sweeper.trainer import Trainer

__all__ = ["rerun"]


def rerun(run_id: str, trainer: Trainer, config: Mapping[str, Any]) -> dict[str, float]:
    """Train once more with the same config and so the same seed; returns the metrics.

    Whatever the training raises passes through, with its traceback. Records and run folder stay as
    they are: files go to a temporary folder, which is deleted.
    """
    with tempfile.TemporaryDirectory(prefix="sweeper-rerun-") as temporary:
        folder = RunFolder(Path(temporary))
        run = RunContext(run_id, folder, folder.path / "never")
        results = trainer.train([from_plain(trainer.Config, config)], [run])
        if results is not None and results[0] is not None:
            run.metrics.update({name: float(value) for name, value in results[0].items()})
        return run.metrics
