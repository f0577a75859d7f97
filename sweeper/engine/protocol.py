"""What the processes of a launch say to each other: one dataclass per kind, as lines of JSON.

Supervisor → wave, the commands: `Grant`, `Limit`. To stop or drain a wave, the supervisor sets a
flag in the wave's scratch, where running trainings see it as well.
Wave → supervisor, the messages: `Ready`, `RunStarted`, `PackEnded`, `WorkerDied`, `SlotReleased`,
`RunsLeft`, `Drained`, `WaveFailed`.
A slot's actor → its worker process, the orders: `WorkerSetup`, `TrainPack`. The worker answers with
`PackEnded`, and the fork server says `WorkerExited` once the worker's process is gone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from sweeper.engine.results import Result
from sweeper.host.cpus import Slot
from sweeper.records.jsonl import finite, naming

__all__ = [
    "AnyMessage",
    "Channel",
    "Command",
    "Drained",
    "Grant",
    "Limit",
    "LineReader",
    "Message",
    "Order",
    "PackEnded",
    "Ready",
    "Reply",
    "RunStarted",
    "RunsLeft",
    "SlotReleased",
    "Task",
    "TrainPack",
    "WaveFailed",
    "WaveSpec",
    "WorkerDied",
    "WorkerExited",
    "WorkerSetup",
    "send",
]


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
    """Its row of the wave's status table."""
    datasets: tuple[str, ...] | None = None
    checkpoint_every_s: float | None = None
    """Shortest time between two checkpoints; None: none are written or used."""
    restore_since: int = 0
    """The first attempt whose checkpoint it may go on from."""
    sources: str | None = None
    """The digest of the trainer's source files."""


@dataclass(frozen=True)
class WaveSpec:
    """Everything a wave child needs to know; travels as a file of its scratch."""

    trainer: str
    search: tuple[str, ...]
    """Folders in which the trainer is looked for, see `sweeper.trainer.load_trainer`."""
    cwd: str
    """The folder in which runs are executed."""
    slots: int
    cpus_per_run: int
    memory_per_run: int | None
    preload: tuple[str, ...]
    fresh_processes: bool
    """Whether each pack gets a process of its own."""
    # Each pack with the program that it runs.
    packs: tuple[tuple[str, tuple[Task, ...]], ...]

    @property
    def tasks(self) -> Iterator[Task]:
        """The tasks of all packs."""
        return (task for _, tasks in self.packs for task in tasks)

    def write(self, file: Path) -> None:
        """Write as JSON."""
        with naming(file):
            file.write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, file: Path) -> WaveSpec:
        """Back from `write`."""
        data: dict[str, Any] = json.loads(file.read_text())
        packs = tuple((program, tuple(map(_task, tasks))) for program, tasks in data.pop("packs"))
        lists = {name: tuple(data[name]) for name in ("search", "preload")}
        return cls(**{**data, **lists, "packs": packs})


def _task(data: dict[str, Any]) -> Task:
    datasets = data["datasets"]
    return Task(**{**data, "datasets": None if datasets is None else tuple(datasets)})


@dataclass(frozen=True)
class Grant:
    """The wave may work on a slot."""

    slot: int
    cpus: tuple[int, ...]

    def as_slot(self) -> Slot:
        return Slot(self.slot, self.cpus)


@dataclass(frozen=True)
class Limit:
    """The wave gives slots back, as runs end, until it holds at most so many."""

    slots: int


@dataclass(frozen=True)
class Ready:
    """Ray has started."""

    startup_s: float


@dataclass(frozen=True)
class RunStarted:
    """A run was handed to the worker of a slot."""

    run: str
    attempt: int
    slot: int


@dataclass(frozen=True)
class PackEnded:
    """The runs of a pack have ended, and each has written its result."""

    results: tuple[Result, ...]


@dataclass(frozen=True)
class WorkerDied:
    """A worker's process is gone, and `runs` with it.

    `status` is its exit status, negative for a signal, None where it isn't known; `detail` is what
    else is known.
    """

    runs: tuple[str, ...]
    detail: str
    status: int | None = None


@dataclass(frozen=True)
class SlotReleased:
    """The wave gives a slot back."""

    slot: int


@dataclass(frozen=True)
class RunsLeft:
    """The wave is draining or was asked to give these runs back: it won't start them."""

    runs: tuple[str, ...]


@dataclass(frozen=True)
class Drained:
    """All runs have ended and Ray has shut down."""

    shutdown_s: float


@dataclass(frozen=True)
class WaveFailed:
    """The wave gives up."""

    message: str


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker must know before its first run."""

    cpus: tuple[int, ...]
    trainer: str
    search: tuple[str, ...]
    scratch: str
    memory_per_run: int | None


@dataclass(frozen=True)
class TrainPack:
    """Execute these tasks together."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class WorkerExited:
    """The worker's process is gone; `status` is its exit code, or minus the signal's number."""

    status: int


Command = Grant | Limit
Message = (
    Ready | RunStarted | PackEnded | WorkerDied | SlotReleased | RunsLeft | Drained | WaveFailed
)

Order = WorkerSetup | TrainPack
Reply = PackEnded | WorkerExited
AnyMessage = Command | Message | Order | Reply

_KINDS: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(AnyMessage)}


def encode(message: AnyMessage) -> str:
    """One line of JSON, with its line end."""
    data: dict[str, Any] = {"kind": type(message).__name__}
    for field in dataclasses.fields(message):
        data[field.name] = getattr(message, field.name)
    if isinstance(message, PackEnded):
        data["results"] = [result.plain() for result in message.results]
    elif isinstance(message, TrainPack):
        data["tasks"] = [dataclasses.asdict(task) for task in message.tasks]
    return json.dumps(finite(data)) + "\n"


def decode(line: bytes) -> AnyMessage | None:
    """Back from `encode`; None for what no version of ours has sent."""
    try:
        data = json.loads(line)
        kind = _KINDS[data.pop("kind")]
        if kind is PackEnded:
            return PackEnded(tuple(map(Result.from_plain, data["results"])))
        if kind is TrainPack:
            return TrainPack(tuple(map(_task, data["tasks"])))
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        message: AnyMessage = kind(**{**data, **lists})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return message


def send(descriptor: int, *messages: AnyMessage) -> None:
    """Write messages whole; raises BrokenPipeError when the other side is gone."""
    data = "".join(map(encode, messages)).encode()
    while data:
        data = data[os.write(descriptor, data) :]


class LineReader:
    """Reads messages from a pipe without waiting; keeps the unfinished last line."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.closed = False
        self._rest = b""

    def read(self) -> Sequence[AnyMessage]:
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
        decoded = (decode(line) for line in lines if line)
        return [message for message in decoded if message is not None]


class Channel:
    """Messages over a connected socket, one after another."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._rest = b""

    def send(self, message: AnyMessage) -> None:
        """Raises OSError when the other side is gone."""
        self._socket.sendall(encode(message).encode())

    def receive(self) -> AnyMessage | None:
        """Wait for the next message; None when the other side is gone. Raises OSError."""
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                message = decode(line)
                if message is not None:
                    return message
                continue
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                return None
            self._rest += chunk

    def close(self) -> None:
        self._socket.close()
