"""One wave: one Ray session, its slots, its runs. The only module that imports Ray.

Runs as ``python -P -m sweeper.engine.ray_wave SPEC COMMANDS_FD MESSAGES_FD`` in a session of its
own, started by the supervisor, which ends everything below it afterwards. Each slot is an actor. It
is never restarted by Ray and its calls are never retried, so an attempt is executed exactly once.
The runs themselves are executed by processes that the wave's fork server makes, one at a time for
each slot; they are pinned once and keep their compiled programs from run to run.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from sweeper.engine.environment import worker_environment
from sweeper.engine.protocol import (
    Drained,
    Grant,
    Limit,
    LineReader,
    Ready,
    RunsLeft,
    RunStarted,
    SlotReleased,
    Task,
    WaveFailed,
    WaveSpec,
    WorkerDied,
    WorkerExited,
    WorkerSetup,
    send,
)
from sweeper.engine.ray_logs import error_line
from sweeper.engine.scratch import WaveScratch
from sweeper.engine.slot_actor import SlotActor
from sweeper.engine.status_table import StatusTable
from sweeper.engine.task_queue import TaskQueue
from sweeper.host.cpus import Slot
from sweeper.host.processes import die_with_supervisor, start_ticks
from sweeper.records.outcomes import Outcome

__all__ = ["main"]

# Ray's least is 75 MiB; what travels here are configs and records.
_OBJECT_STORE_BYTES = 80 * 1024**2
_COMMAND_LOOK_S = 0.1
# Actors of one slot that die before any run began, after which the host counts as sick.
_STILLBORN_LIMIT = 3
_RAY_LOOK_S = 1.0
_START_LOOK_S = 0.5
_LAST_WORDS_S = 3.0
_SERVERS = {"raylet", "gcs_server"}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class _Wave:
    """The running state of one wave child."""

    def __init__(
        self,
        ray: Any,
        spec: WaveSpec,
        scratch: WaveScratch,
        fork_server: subprocess.Popen[bytes],
        pipes: tuple[int, int],
    ) -> None:
        commands, messages = pipes
        self._ray = ray
        self._fork_server = fork_server
        self._spec = spec
        self._messages = messages
        self._commands = LineReader(commands)
        self._scratch = scratch
        self._status_table = StatusTable(self._scratch.status_table)
        self._queue = TaskQueue(spec.packs)
        self._actor_class = ray.remote(max_restarts=0, max_task_retries=0)(SlotActor)
        self._slots: dict[int, Slot] = {}
        self._actors: dict[int, Any] = {}
        self._programs: dict[int, str] = {}
        self._calls: dict[Any, tuple[int, tuple[Task, ...]]] = {}
        self._stillborn = 0
        self._last_death = ""
        self._limit = spec.slots
        self._asked = 0
        self._looked = 0.0
        self._servers = {
            child.name(): (child.pid, start_ticks(child.pid))
            for child in psutil.Process().children()
            if child.name() in _SERVERS
        }

    def run(self) -> None:
        """Work until nothing waits and nothing runs."""
        while self._queue or self._calls:
            self._obey()
            self._stop_if_asked()
            self._look_after_ray()
            if self._commands.closed:  # the supervisor is gone
                return
            if not self._calls:
                time.sleep(_COMMAND_LOOK_S / 4)
                continue
            calls = list(self._calls)
            done, _ = self._ray.wait(calls, num_returns=1, timeout=_COMMAND_LOOK_S)
            if done:
                done, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
            for call in done:
                self._finish(call)

    def _look_after_ray(self) -> None:
        """Give up when one of Ray's own processes has died, or its files are gone.

        Without them a session makes no new workers, and reports nothing; without the fork server
        no run can begin.
        """
        now = time.monotonic()
        if now - self._looked < _RAY_LOOK_S:
            return
        self._looked = now
        self._look_after_fork_server()
        if not self._scratch.fork_server.exists():
            raise _SickHostError("its folder for temporary files was deleted")
        for name, (pid, ticks) in self._servers.items():
            if start_ticks(pid) != ticks:
                raise _SickHostError(f"Ray's {name} died")

    def _look_after_fork_server(self) -> None:
        status = self._fork_server.poll()
        if status is not None:
            ended = f"signal {-status}" if status < 0 else f"status {status}"
            imports = (
                f", which imports {', '.join(names)}," if (names := self._spec.preload) else ""
            )
            raise _SickHostError(f"the parent of the workers{imports} died with {ended}")

    def _stop_if_asked(self) -> None:
        if self._scratch.stop_flag.exists() or self._scratch.drain_flag.exists():
            left = self._queue.take_back()
        else:
            left = self._withheld()
        if left:
            send(self._messages, RunsLeft(left))

    def _withheld(self) -> tuple[str, ...]:
        """The waiting runs that the supervisor wants back, once for each time that it asks."""
        try:
            asked = self._scratch.withheld.stat().st_ino
            if asked == self._asked:
                return ()
            runs = frozenset(self._scratch.withheld.read_text().split())
        except FileNotFoundError:
            return ()
        self._asked = asked
        return self._queue.take_back(runs)

    def _obey(self) -> None:
        for command in self._commands.read():
            match command:
                case Grant():
                    self._slots[command.slot] = command.as_slot()
                    self._dispatch(command.slot)
                case Limit(slots):
                    self._limit = slots

    def _dispatch(self, index: int) -> None:
        """Give the slot its next pack, or give the slot back."""
        self._stop_if_asked()
        last = self._programs.pop(index, None)
        too_many = len(self._programs) >= self._limit
        chosen = None if too_many else self._queue.take(last, frozenset(self._programs.values()))
        if chosen is None:
            self._drop_actor(index)
            del self._slots[index]
            send(self._messages, SlotReleased(index))
            return
        program, attempts = chosen
        self._programs[index] = program
        if index not in self._actors:
            slot = self._slots[index]
            setup = WorkerSetup(
                cpus=slot.cpus,
                trainer=self._spec.trainer,
                search=self._spec.search,
                scratch=str(self._scratch.path),
                memory_per_run=self._spec.memory_per_run,
            )
            self._actors[index] = self._actor_class.options(num_cpus=len(slot.cpus)).remote(
                str(self._scratch.fork_server), setup, fresh_processes=self._spec.fresh_processes
            )
        send(self._messages, *(RunStarted(a.run, a.attempt, index) for a in attempts))
        call = self._actors[index].execute.remote(list(attempts))
        self._calls[call] = (index, attempts)

    def _drop_actor(self, index: int) -> None:
        actor = self._actors.pop(index, None)
        if actor is not None:
            self._ray.kill(actor, no_restart=True)

    def _finish(self, call: Any) -> None:
        index, attempts = self._calls.pop(call)
        runs = tuple(attempt.run for attempt in attempts)
        try:
            reply = self._ray.get(call)
        except Exception as error:
            self._look_after_fork_server()
            detail = _last_line(error)
            if "node has died" in str(error) or "raylet" in type(error).__name__.lower():
                # Not the run's own death: the whole session is broken.
                raise _SickHostError(f"Ray's raylet died: {detail}") from None
            if isinstance(error, OSError):  # see `SlotActor.execute`
                raise _SickHostError("the parent of its workers died") from None
            self._drop_actor(index)
            self._note_death(attempts, detail)
            send(self._messages, WorkerDied(runs, detail))
        else:
            if isinstance(reply, WorkerExited):
                self._note_death(attempts, f"exit status {reply.status}")
                self._programs.pop(index, None)
                send(self._messages, WorkerDied(runs, "", reply.status))
            else:
                self._stillborn = 0
                send(self._messages, reply)
                if any(r.outcome is Outcome.CRASHED or r.spoilt for r in reply.results):
                    self._programs.pop(index, None)  # its process is not used again
        self._give_up_if_stillborn()
        self._dispatch(index)

    def _note_death(self, attempts: Sequence[Task], detail: str) -> None:
        """Count workers of which none began its run."""
        began = any(self._status_table.read(a.row).pid is not None for a in attempts)
        self._stillborn = 0 if began else self._stillborn + 1
        self._last_death = detail

    def _give_up_if_stillborn(self) -> None:
        if self._stillborn >= _STILLBORN_LIMIT:
            raise _SickHostError(
                f"{_STILLBORN_LIMIT} workers died before a run began; last: {self._last_death}"
            )


def _last_line(error: Exception) -> str:
    """The most useful line of Ray's long messages, without colours."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:200] if lines else ''}"


class _SickHostError(Exception):
    """Workers die before their runs begin, or what they need is gone."""


def _start_fork_server(spec: WaveSpec, scratch: WaveScratch) -> subprocess.Popen[bytes]:
    """Start the parent of the workers, with an environment and a folder without Ray."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(scratch.fork_server))
        listening.listen(spec.slots)
        modules = ["sweeper.engine.worker", *spec.preload]
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "sweeper.engine.fork_server"),
                *(str(os.getpid()), str(listening.fileno()), *modules),
            ],
            stdin=subprocess.DEVNULL,
            env=worker_environment(os.environ),
            cwd=spec.cwd,
            pass_fds=[listening.fileno()],
        )


def _watch_start(scratch: WaveScratch, messages: int, started: threading.Event) -> None:
    """Give up as soon as one of Ray's own processes has died while Ray starts.

    Ray itself waits for it for half a minute, and then doesn't say what was wrong.
    """
    while not started.wait(_START_LOOK_S):
        for child in psutil.Process().children():
            try:
                name, dead = child.name(), child.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:  # reaped meanwhile: `ray.init` knows of it
                continue
            if dead and name in _SERVERS:
                why = _exit_of(child.pid)
                said = _last_words(scratch)
                why += f": {said}" if said else ""
                send(messages, WaveFailed(f"Ray didn't start: its {name} died{why}"))
                os._exit(1)


def _last_words(scratch: WaveScratch) -> str:
    """What a dead process of Ray's wrote last; it arrives in the log up to seconds later."""
    deadline = time.monotonic() + _LAST_WORDS_S
    while not (said := error_line(scratch)) and time.monotonic() < deadline:
        time.sleep(_COMMAND_LOOK_S)
    return said


def _exit_of(pid: int) -> str:
    """How a child that nobody has reaped yet ended, by the last field of proc(5)'s stat."""
    try:
        status = int(Path(f"/proc/{pid}/stat").read_text().split()[-1])
    except (OSError, ValueError):
        return ""
    if not os.WIFSIGNALED(status):
        return f" with status {os.waitstatus_to_exitcode(status)}"
    return f" with {signal.Signals(os.WTERMSIG(status)).name}"


def main(spec_file: str, commands: int, messages: int) -> int:
    """Start the fork server and Ray, run the wave, shut both down."""
    if not die_with_supervisor():
        return 1
    # A batch system signals every process of a job: the supervisor decides what ends, and how.
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    began = time.monotonic()
    for descriptor in (commands, messages):
        os.set_inheritable(descriptor, False)  # its end must mean that this process ended
    spec = WaveSpec.read(Path(spec_file))
    scratch = WaveScratch(Path(spec_file).parent)
    started = threading.Event()
    threading.Thread(target=_watch_start, args=(scratch, messages, started), daemon=True).start()
    try:
        server = _start_fork_server(spec, scratch)
        import ray

        ray.init(
            address="local",
            num_cpus=spec.slots * spec.cpus_per_run,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(scratch.ray),
        )
    except Exception as error:
        started.set()
        send(messages, WaveFailed(f"Ray didn't start: {type(error).__name__}: {error}"))
        return 1
    started.set()
    send(messages, Ready(time.monotonic() - began))
    try:
        _Wave(ray, spec, scratch, server, (commands, messages)).run()
    except _SickHostError as error:
        send(messages, WaveFailed(str(error)))
        return 1
    except BrokenPipeError:
        return 1
    began = time.monotonic()
    ray.shutdown()
    server.kill()
    server.wait()
    send(messages, Drained(time.monotonic() - began))
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    # About once in a hundred times, the interpreter's normal exit aborts inside Ray.
    os._exit(status)
