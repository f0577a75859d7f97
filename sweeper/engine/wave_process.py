"""Waves as child processes that run Ray: their pipes, scratch, processes and end."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from sweeper.engine.backend import Usage
from sweeper.engine.compile_cache import compile_cache_folder, remove_spoilt
from sweeper.engine.environment import wave_environment
from sweeper.engine.protocol import Command, LineReader, Message, WaveSpec, send
from sweeper.engine.ray_logs import telling_line
from sweeper.engine.scratch import Scratch, WaveScratch
from sweeper.engine.status_table import RunStatus, StatusTable
from sweeper.host.facts import folder_size
from sweeper.host.processes import (
    ProcessMark,
    become_subreaper,
    kill_all,
    kill_tree,
    marked_processes,
    reap_adopted,
    usage_of,
)
from sweeper.records.layout import write_atomically

__all__ = ["RayBackend", "RayWaveProcess"]

_EXIT_WAIT_S = 5.0
_STACK_WAIT_S = 0.3


class RayBackend:
    """Starts waves below a launch's scratch; this process becomes the parent of their orphans.

    Raises `HostError` where compiled programs would come from a folder that others can write.
    """

    def __init__(self, scratch: Scratch) -> None:
        remove_spoilt(compile_cache_folder(os.environ))
        become_subreaper()
        self._scratch = scratch
        self._not_ours = {child.pid for child in psutil.Process().children()}
        self._selector = selectors.DefaultSelector()

    def start(self, number: int, spec: WaveSpec) -> RayWaveProcess:
        scratch = self._scratch.wave(number)
        mark = replace(self._scratch.mark, launch=f"{self._scratch.mark.launch}/w{number}")
        env = wave_environment(
            os.environ,
            mark=str(mark),
            token_file=self._scratch.token_file,
            tmp=scratch.tmp,
            cpus_per_run=spec.cpus_per_run,
        )
        return RayWaveProcess.start(mark, scratch, spec, env, self._selector)

    def wait(self, timeout_s: float) -> Sequence[RayWaveProcess]:
        found: list[RayWaveProcess] = []
        for key, _ in self._selector.select(timeout_s):
            found.append(key.data)
        return found

    def kill_strays(self) -> int:
        """See `Backend.kill_strays`.

        Such processes have neither mark nor parents and were adopted by this one, which starts no
        children but waves. Those that it had before (a shell's that became this process by exec)
        are spared; as the first process of a container, which adopts anybody's orphans, it spares
        all.
        """
        if os.getpid() == 1:
            return 0
        killed, _ = kill_all(self._adopted)
        return killed

    def _adopted(self) -> list[psutil.Process]:
        reap_adopted(self._not_ours)
        children = psutil.Process().children()
        strays = [child for child in children if child.pid not in self._not_ours]
        return [process for stray in strays for process in [stray, *stray.children(recursive=True)]]

    def close(self) -> None:
        self._selector.close()


@dataclass
class RayWaveProcess:
    """One wave child, see `sweeper.engine.ray_wave`."""

    mark: ProcessMark
    scratch: WaveScratch
    process: subprocess.Popen[bytes]
    messages: LineReader
    commands: int
    """The descriptor that takes commands."""
    rows: dict[str, int]
    """The row of each run in the status table."""
    status_table: StatusTable
    selector: selectors.BaseSelector

    @classmethod
    def start(
        cls,
        mark: ProcessMark,
        scratch: WaveScratch,
        spec: WaveSpec,
        env: dict[str, str],
        selector: selectors.BaseSelector,
    ) -> RayWaveProcess:
        """Start the wave child in a session of its own; `selector` watches its messages."""
        spec.write(scratch.spec)
        rows = {task.run: task.row for task in spec.tasks}
        table = StatusTable.create(scratch.status_table, len(rows))
        messages, their_messages = os.pipe()
        their_commands, commands = os.pipe()
        ends = [their_commands, their_messages]
        with scratch.log.open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "sweeper.engine.ray_wave"),
                    *(str(scratch.spec), *map(str, ends)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                # Ray puts the current folder before the standard library: not the user's.
                cwd=scratch.path,
                pass_fds=ends,
                start_new_session=True,
            )
        for end in ends:
            os.close(end)
        wave = cls(mark, scratch, process, LineReader(messages), commands, rows, table, selector)
        selector.register(messages, selectors.EVENT_READ, wave)
        return wave

    @property
    def closed(self) -> bool:
        return self.messages.closed

    def send(self, command: Command) -> None:
        # A broken pipe: it died, and the end of its messages says the rest.
        with contextlib.suppress(BrokenPipeError):
            send(self.commands, command)

    def read(self) -> Sequence[Message]:
        return [message for message in self.messages.read() if isinstance(message, Message)]

    def stop(self) -> None:
        self.scratch.flag(self.scratch.stop_flag)

    def drain(self) -> None:
        self.scratch.flag(self.scratch.drain_flag)

    def withhold(self, runs: Collection[str]) -> None:
        # A file, as thousands of ids would fill the pipe of a wave that is about to write itself.
        write_atomically(self.scratch.withheld, "\n".join(sorted(runs)), durable=False)

    def scratch_bytes(self) -> int:
        size, _ = folder_size(self.scratch.path)
        return size

    def status(self, run: str) -> RunStatus:
        return self.status_table.read(self.rows[run])

    def usage(self, run: str) -> Usage | None:
        status = self.status(run)
        used = None if status.pid is None else usage_of(status.pid)
        if used is None:
            return None
        cpu_s, peak = used
        return Usage(round(max(0.0, cpu_s - status.cpu_before_s), 4), peak)

    def stack_file(self, pid: int) -> Path:
        return self.scratch.stack(pid)

    def kill_runs(self, runs: Collection[str]) -> set[str]:
        """See `WaveProcess.kill_runs`; the workers write their stacks first.

        A run that is over anyway is left out: each process is halted before the last look, so that
        it can't begin another run in between.
        """
        ours = {process.pid for process in marked_processes(self._is_ours)} if runs else set()
        pids = {run: pid for run in runs if (pid := self.status(run).pid) in ours and pid}
        for pid in pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
        if pids:
            time.sleep(_STACK_WAIT_S)
        ended: set[str] = set()
        for run, pid in pids.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                over = self.status(run).ended
                if over:
                    os.kill(pid, signal.SIGCONT)
                else:
                    kill_tree(pid)
                    ended.add(run)
        return ended

    def _is_ours(self, mark: ProcessMark) -> bool:
        return mark == self.mark

    def _descendants(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        if self.process.returncode is None:  # else its pid may be somebody else's by now
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(self.process.pid)
                found |= {p.pid: p for p in [child, *child.children(recursive=True)]}
        found |= {process.pid: process for process in marked_processes(self._is_ours)}
        return list(found.values())

    def log_tail(self) -> str:
        return telling_line(self.scratch)

    def exit_status(self) -> int | None:
        try:
            return self.process.wait(timeout=_EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> int:
        killed, _ = kill_all(self._descendants)
        return killed

    def remove(self) -> int:
        killed = self.kill()
        self.process.wait()
        self.selector.unregister(self.messages.descriptor)
        os.close(self.messages.descriptor)
        os.close(self.commands)
        self.status_table.close()
        shutil.rmtree(self.scratch.path, ignore_errors=True)
        return killed
