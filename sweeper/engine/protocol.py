"""What supervisor and wave say to each other: JSON lines over two pipes.

Supervisor → wave: ``grant`` (a slot to work on). To stop, the supervisor sets the stop flag in the
wave's scratch, which trainings see as well.
Wave → supervisor: ``ready``, ``started``, ``ended``, ``died``, ``released``, ``drained``,
``failed``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LineReader", "Task", "WaveSpec", "send"]


@dataclass(frozen=True)
class WaveSpec:
    """Everything a wave child needs to know; travels as a file of its scratch."""

    trainer: str
    search: tuple[str, ...]
    """Folders in which the trainer is looked for first."""
    scratch: str
    slots: int
    cpus_per_run: int
    memory_per_run: int | None
    preload: tuple[str, ...]
    # Each pack with the program it belongs to.
    packs: tuple[tuple[str, tuple[Task, ...]], ...]

    def write(self, file: Path) -> None:
        """Write as JSON."""
        file.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, file: Path) -> WaveSpec:
        """Back from `write`."""
        data: dict[str, Any] = json.loads(file.read_text())
        packs = tuple(
            (program, tuple(map(_attempt, attempts))) for program, attempts in data.pop("packs")
        )
        lists = {name: tuple(data[name]) for name in ("search", "preload")}
        return cls(**{**data, **lists, "packs": packs})


def _attempt(data: dict[str, Any]) -> Task:
    datasets = data["datasets"]
    return Task(**{**data, "datasets": None if datasets is None else tuple(datasets)})


def send(descriptor: int, *messages: dict[str, Any]) -> None:
    """Write messages whole; raises BrokenPipeError when the other side is gone."""
    data = "".join(json.dumps(message) + "\n" for message in messages).encode()
    while data:
        data = data[os.write(descriptor, data) :]


class LineReader:
    """Reads messages from a pipe without waiting; keeps the unfinished last line."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.closed = False
        self._rest = b""

    def read(self) -> Sequence[dict[str, Any]]:
        """Messages that have arrived; sets `closed` at the end of the stream."""
        chunks = [self._rest]
        while not self.closed:
            try:
                chunk = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                break
            chunks.append(chunk)
            self.closed = not chunk
        *lines, self._rest = b"".join(chunks).split(b"\n")
        return [json.loads(line) for line in lines if line]


@dataclass(frozen=True)
class Task:
    """One run to be executed: plain data, as it travels to the worker.

    With `datasets` it is no training but an evaluation of the trained run in the folder above
    `folder`.
    """

    run: str
    attempt: int
    config: dict[str, Any]
    folder: str
    row: int
    """Its row on the wave's status table."""
    datasets: tuple[str, ...] | None = None
