"""The Ray actor of a slot: it hands packs to the slot's worker process and waits for the end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence

from sweeper.engine.protocol import Channel, PackEnded, Task, TrainPack, WorkerExited, WorkerSetup
from sweeper.records.outcomes import Outcome

__all__ = ["SlotActor"]


class SlotActor:
    """Keeps one worker, forked by the wave's fork server, as long as it may be used again."""

    def __init__(self, server: str, setup: WorkerSetup, *, fresh_processes: bool) -> None:
        self._server = server
        self._setup = setup
        self._fresh_processes = fresh_processes
        self._worker: Channel | None = None

    def execute(self, tasks: Sequence[Task]) -> PackEnded | WorkerExited:
        """Execute a pack; says how its worker ended where that came first.

        Raises OSError when the fork server is gone.
        """
        if self._worker is None:
            self._worker = self._new_worker()
        with contextlib.suppress(OSError):  # it has ended meanwhile: what is received says how
            self._worker.send(TrainPack(tuple(tasks)))
        reply = self._worker.receive()
        if isinstance(reply, PackEnded) and not self._is_spent(reply):
            return reply
        self._worker.close()
        self._worker = None
        if isinstance(reply, PackEnded | WorkerExited):
            return reply
        raise OSError("the fork server of the wave is gone")

    def _is_spent(self, ended: PackEnded) -> bool:
        """Whether the process must not be used again: what raised may hold a lock."""
        spoilt = any(r.spoilt or r.outcome is Outcome.CRASHED for r in ended.results)
        return spoilt or self._fresh_processes

    def _new_worker(self) -> Channel:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(self._server)
        channel = Channel(connected)
        channel.send(self._setup)
        return channel
