"""The `Run` that a training sees, kept in the run's folder."""

from __future__ import annotations

import errno
import json
import math
import os
import reprlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper.engine.checkpoints import Checkpoint, write
from sweeper.errors import Diverged
from sweeper.records.jsonl import naming, sync
from sweeper.records.layout import RunFolder, read_json, write_atomically
from sweeper.records.metrics import append_rows

__all__ = ["RunContext", "as_number"]

_FLUSH_S = 2.0
_FLUSH_ROWS = 2000
_PROGRESS_S = 1.0
_STOP_LOOK_S = 0.1
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class RunContext:
    """Keeps metrics, files and progress of one attempt in the run's folder.

    Rows are written in batches, at the latest every two seconds. The stop flag is checked at most
    ten times a second, however often the training asks. `at_first_step` is called when the first
    row is logged: by then the training's program is compiled.

    With `checkpoint_every_s`, checkpoints are written at most that often, and once more after a
    request to stop; without it none is. `checkpoint` is the one to go on from, `sources` the digest
    of the trainer's files. An attempt that doesn't ask for `restored` begins from the beginning,
    and so does one that asks, can't use it, and logs steps from before the checkpoint.
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
        checkpoint: Checkpoint | None = None,
        checkpoint_every_s: float | None = None,
        sources: str | None = None,
    ) -> None:
        self.id = run_id
        self.record = record
        self.stopped = False
        self.divergence: Diverged | None = None
        self.last_step: int | None = None
        self.metrics: dict[str, float] = {}
        self.restored_step: int | None = None
        self.restored_sources: tuple[str, ...] = ()
        self._stop_flag = stop_flag
        self._attempt = attempt
        self._clock = clock
        self._began = self._flushed = self._checkpointed = clock()
        self._checkpoint = checkpoint
        self._checkpoint_every_s = checkpoint_every_s
        self._sources = sources
        self._first_step: int | None = None
        self._has_logged = self._wrote_at_stop = False
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
            "restored_step": self.restored_step,
            "restored_sources": self.restored_sources,
        }

    @property
    def folder(self) -> Path:
        return self.record.path

    def log(self, step: int, **metrics: float) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("log() works only in the process that trains, not in one it forked")
        now = self._clock()
        numbers = {name: _logged(name, value) for name, value in metrics.items()}
        if not self._has_logged:
            self._begin_rows(int(step))
        # Our two columns win over metrics of their names, which the result still has.
        row = {**numbers, "step": int(step), "time": round(now - self._began, 4)}
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

    def _begin_rows(self, step: int) -> None:
        """Before the first row: whether the attempt goes on from its checkpoint shows in its step.

        A later step may have the checkpoint's own number, the first of all rows is only logged by a
        training that begins from the beginning.
        """
        self._has_logged = True
        going_on = self.restored_step is not None
        if going_on and (step < (self.restored_step or 0) or step == self._first_step):
            self._start_over()
        if self._first_step is None:
            self._first_step = step
        self._at_first_step()

    @property
    def restored(self) -> Path | None:
        checkpoint = self._checkpoint
        if checkpoint is None:
            return None
        if self.restored_step is None and not self._has_logged:
            self._check_folder()
            self._go_on_from(checkpoint)
        return checkpoint.files

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        checkpoint.copy_rows(self.record.metrics_file)
        self.restored_step, self.restored_sources = checkpoint.step, checkpoint.sources
        self.last_step, self._first_step = checkpoint.last_step, checkpoint.first_step
        self.metrics.update(checkpoint.metrics or {})
        self._began -= checkpoint.seconds
        write_atomically(
            self.record.progress_file, json.dumps(self._said(fraction=None)), durable=False
        )
        sys.stdout.write(f"[{checkpoint.words(self._sources)}]\n")

    def _start_over(self) -> None:
        """Undo `_go_on_from`."""
        assert self._checkpoint is not None
        sys.stdout.write("[begins from the beginning, and not from the checkpoint]\n")
        self.record.metrics_file.unlink(missing_ok=True)
        self.metrics.clear()
        self.restored_step, self.restored_sources = None, ()
        self.last_step = self._first_step = None
        self._began += self._checkpoint.seconds
        self._checkpoint = None

    def checkpoint(self, step: int, writer: Callable[[Path], object]) -> bool:
        step = int(step)
        if not callable(writer):
            raise TypeError(f"checkpoint() takes a function of a folder, but got {writer!r}")
        if self.last_step is not None and step < self.last_step:
            raise ValueError(
                f"checkpoint() at step {step}, but step {self.last_step} was logged before; give "
                f"the number of the last step that the checkpoint holds"
            )
        if not self._is_checkpoint_due():
            return False
        try:
            with self._lock:
                self.flush()
                write(self.record, self._about(step), writer, self._check_folder)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            # The training can go on without, and the last checkpoint is still there.
            sys.stdout.write(f"[no checkpoint at step {step}: {error}]\n")
            return False
        finally:
            self._checkpointed = self._clock()
        return True

    def _is_checkpoint_due(self) -> bool:
        """Whether the time has come, or (once) whether the run was asked to stop."""
        if self._checkpoint_every_s is None or os.getpid() != self._owner:
            return False
        if self.should_stop() and not self._wrote_at_stop:
            self._wrote_at_stop = True
            return True
        return self._clock() - self._checkpointed >= self._checkpoint_every_s

    def _about(self, step: int) -> Checkpoint:
        own = () if self._sources is None else (self._sources,)
        return Checkpoint(
            place=self.record.checkpoints,
            attempt=self._attempt,
            step=step,
            seconds=self._clock() - self._began,
            metrics=self.metrics,
            first_step=self._first_step,
            last_step=self.last_step,
            sources=tuple(dict.fromkeys((*self.restored_sources, *own))),
        )

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
