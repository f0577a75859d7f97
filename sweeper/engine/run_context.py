"""The `Run` that a training sees, kept in the run's folder."""

from __future__ import annotations

import errno
import json
import math
import os
import reprlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper.errors import Diverged
from sweeper.records.jsonl import naming, sync
from sweeper.records.layout import RunFolder, read_json, write_atomically
from sweeper.records.metrics import append_rows

__all__ = ["RunContext", "as_number"]

_FLUSH_S = 2.0
_FLUSH_ROWS = 2000
_PROGRESS_S = 1.0
_STOP_LOOK_S = 0.1


class RunContext:
    """Keeps metrics, files and progress of one attempt in the run's folder.

    Rows are written in batches, at the latest every two seconds. The stop flag is checked at most
    ten times a second, however often the training asks. `at_first_step` is called when the first
    row is logged: by then the training's program is compiled.
    """

    def __init__(
        self,
        run_id: str,
        record: RunFolder,
        stop_flag: Path,
        *,
        attempt: int = 1,
        note_step: Callable[[int], None] = lambda step: None,
        at_first_step: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = run_id
        self.record = record
        self.stopped = False
        self.divergence: Diverged | None = None
        self.last_step: int | None = None
        self.metrics: dict[str, float] = {}
        self._stop_flag = stop_flag
        self._attempt = attempt
        self._clock = clock
        self._began = self._flushed = clock()
        self._reported = self._looked = -math.inf
        self._rows: list[dict[str, Any]] = []
        self._note_step = note_step
        self._at_first_step = at_first_step
        self._owner = os.getpid()
        self._lock = threading.RLock()  # a signal handler may log while its thread does
        self._token = os.urandom(8).hex()

    def begin(self) -> None:
        """Take possession of the folder: an attempt that comes back from the dead sees it."""
        begun = self._said(fraction=None)
        write_atomically(self.record.progress_file, json.dumps(begun), durable=False)

    @property
    def displaced(self) -> bool:
        """Whether another attempt at this run has begun in the folder.

        Its host took this one's for dead, wrongly: two attempts must not share files.
        """
        owner = (read_json(self.record.progress_file) or {}).get("owner", self._token)
        return bool(owner != self._token)

    def _check_folder(self) -> None:
        if self.displaced:
            raise OSError(
                errno.EBUSY, "another attempt at this run has begun here", str(self.folder)
            )

    def _said(self, *, fraction: float | None) -> dict[str, Any]:
        return {
            "fraction": fraction,
            "step": self.last_step,
            "time": time.time(),
            "attempt": self._attempt,
            "owner": self._token,
        }

    @property
    def folder(self) -> Path:
        return self.record.path

    def log(self, step: int, **metrics: float) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("log() works only in the process that trains, not in one it forked")
        now = self._clock()
        numbers = {name: _logged(name, value) for name, value in metrics.items()}
        # Our two columns win over metrics of their names, which the result still has.
        row = {**numbers, "step": int(step), "time": round(now - self._began, 4)}
        if self.last_step is None:
            self._at_first_step()
        with self._lock:
            self._rows.append({"step": row["step"], "time": row["time"], **row})
        self.last_step = int(step)
        self._note_step(self.last_step)
        self.metrics.update(numbers)
        loss = numbers.get("loss")
        diverged = loss is not None and not math.isfinite(loss)
        # At once where it diverges: the process may not live to the next one.
        if diverged or now - self._flushed > _FLUSH_S or len(self._rows) >= _FLUSH_ROWS:
            self.flush()
        if diverged:
            self.divergence = self.divergence or Diverged(
                f"loss is {loss} at step {step}", step=int(step)
            )
            raise self.divergence

    def save(self, name: str, writer: Callable[[Path], object]) -> Path:
        target = self.folder / name
        if target.parent != self.folder:
            raise ValueError(f"save() takes a file name without folders, but got {name!r}")
        if name in self.record.own_names:
            raise ValueError(
                f"save() can't write {name!r}, which is a file of the records; choose another name"
            )
        self._check_folder()
        # The suffix stays: writers such as numpy.savez look at it. A pid alone isn't unique among
        # hosts that share the folder.
        temporary = self.folder / f".{os.getpid()}-{os.urandom(4).hex()}-{name}"
        try:
            with naming(target):
                writer(temporary)
                with temporary.open("rb") as written:
                    sync(written.fileno())
            os.replace(temporary, target)  # noqa: PTH105  (the same on all Pythons)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def should_stop(self) -> bool:
        now = self._clock()
        if not self.stopped and now - self._looked >= _STOP_LOOK_S:
            self._looked = now
            self.stopped = self._stop_flag.exists()
        return self.stopped

    def progress(self, fraction: float) -> None:
        now = self._clock()
        if now - self._reported >= _PROGRESS_S:
            self._reported = now
            progress = self._said(fraction=min(1.0, max(0.0, float(fraction))))
            self._check_folder()
            # Not synced: it is worth nothing after a crash.
            write_atomically(self.record.progress_file, json.dumps(progress), durable=False)

    def flush(self) -> None:
        """Write the rows logged so far."""
        with self._lock:  # a training may log from several threads
            rows, self._rows = self._rows, []
            self._flushed = self._clock()
            if rows:
                self._check_folder()
                append_rows(self.record.metrics_file, rows)


def as_number(value: Any) -> float:
    """The number that a metric is; an array of one element counts as its element.

    Raises TypeError, ValueError or OverflowError for what is no number.
    """
    if getattr(value, "ndim", 0) and getattr(value, "size", 0) == 1:
        value = value.reshape(())
    return float(value)


def _logged(name: str, value: Any) -> float:
    try:
        return as_number(value)
    except (TypeError, ValueError, OverflowError) as error:
        if type(error).__module__ != "builtins":  # JAX says more of its tracers
            raise
        said = f"log() takes numbers, but the metric {name!r} is {reprlib.repr(value)}"
        raise TypeError(said) from None
