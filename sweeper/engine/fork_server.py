"""The parent of a wave's workers: it forks them, and so knows how each one ends.

Runs as ``python -P -m sweeper.engine.fork_server PARENT LISTEN_FD [MODULE…]``, started by the wave
with an environment without Ray. It imports the modules once and starts no thread. Whoever connects
to its socket gets a new worker, forked from it, at the other end. When a worker's process is gone,
the server kills what that has left behind and sends `WorkerExited` with the exit status that the
kernel gave it, whoever else still holds the worker's descriptors. When the other end of a
connection is gone, its worker is killed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import traceback
import warnings
from types import FrameType

import psutil

from sweeper.engine.protocol import WorkerExited, encode
from sweeper.host.processes import become_subreaper, die_with_parent, kill_tree

__all__ = ["main"]

# SIGUSR1 stays ignored in the workers: sent to a whole job, it is meant for the supervisor.
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


class _Server:
    """Accepts connections, forks a worker for each, and reaps."""

    def __init__(self, listening: socket.socket) -> None:
        self._pid = os.getpid()
        self._listening = listening
        self._workers: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self._poll.register(listening, select.EPOLLIN)
        self._wakeup, self._wake = socket.socketpair()
        for end in (self._wakeup, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        self._poll.register(self._wakeup, select.EPOLLIN)

    def run(self) -> None:
        """Serve until this process is killed with its wave."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._listening.fileno():
                    self._fork(self._listening.accept()[0])
                elif descriptor == self._wakeup.fileno():
                    with contextlib.suppress(BlockingIOError):
                        self._wakeup.recv(1 << 12)
                else:
                    self._abandon(descriptor)
            self._reap()

    def _fork(self, connection: socket.socket) -> None:
        pid = os.fork()
        if not pid:
            self._become_worker(connection)
        self._workers[pid] = connection
        # Only the end of the connection is awaited: what arrives is for the worker.
        self._poll.register(connection, select.EPOLLRDHUP)

    def _abandon(self, descriptor: int) -> None:
        """The slot has let go of its worker."""
        self._poll.unregister(descriptor)
        for pid, connection in self._workers.items():
            if connection.fileno() == descriptor:
                kill_tree(pid)

    def _become_worker(self, connection: socket.socket) -> None:
        """In the child: serve one slot, and leave without the server's way out."""
        status = 1
        try:
            die_with_parent(self._pid)
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *_ENDING):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._poll.close()
            for other in (self._listening, self._wakeup, self._wake, *self._workers.values()):
                other.close()
            become_subreaper()
            from sweeper.engine.worker import serve

            serve(connection)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Take the exit statuses of dead children: workers, and orphans that they have left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                connection = self._workers.pop(pid, None)
                if connection is not None:
                    self._end(connection, os.waitstatus_to_exitcode(status))

    def _end(self, connection: socket.socket, status: int) -> None:
        for child in psutil.Process().children():
            if child.pid not in self._workers:
                kill_tree(child.pid)
        with contextlib.suppress(OSError):  # it was abandoned before
            self._poll.unregister(connection)
        with contextlib.suppress(OSError):
            connection.sendall(encode(WorkerExited(status)).encode())
        connection.close()


def _nothing(_signal: int, _frame: FrameType | None) -> None:
    """A handler, so that the signal wakes the selector."""


def main(parent: int, listen: int, modules: list[str]) -> None:
    """Import `modules`, then serve workers to process `parent` and its children."""
    die_with_parent(parent)
    become_subreaper()
    for number in (*_ENDING, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # a batch system signals every process of a job
    # JAX warns of any fork; nothing of it has started here, it is only imported.
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
    for module in modules:
        with contextlib.suppress(Exception):  # the run that needs it will say why
            importlib.import_module(module)
    _Server(socket.socket(fileno=listen)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
