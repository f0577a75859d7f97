"""Which process of which host something was, so that its death can be proved later, or not.

Three answers are possible: it lives, it is dead, or it can't be told from here. Nothing is ever
concluded from a time: clocks and file times differ between hosts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeper.host.processes import boot_id, host_name, pid_namespace, process_start

__all__ = ["Host", "ProcessIdentity", "batch_job", "this_host"]

# The number of the first pid namespace of any Linux, PROC_PID_INIT_INO of its sources: whoever has
# it is in no container, and its host's name is the machine's.
_OUTSIDE_OF_CONTAINERS = "pid:[4026531836]"


@dataclass(frozen=True)
class ProcessIdentity:
    """A process as records name it; None for what the records don't say.

    `boot` names one start of one kernel, `namespace` the set of pids that `pid` is one of, and
    `start` (see `process_start`) distinguishes it from later processes with the same pid.
    """

    host: str | None = None
    boot: str | None = None
    namespace: str | None = None
    machine: str | None = None
    pid: int | None = None
    start: str | None = None


def _no_job_is_known(job: str) -> bool | None:
    return None


@dataclass(frozen=True)
class Host:
    """Where this process runs, and whom it can see from here.

    `pid` is this process. `start_of` says when a process with some pid started, None if there is
    none. `job_lives` says whether a batch system still knows a job, None where nobody can be asked.
    """

    name: str
    boot: str
    namespace: str
    machine: str
    pid: int
    start_of: Callable[[int], str | None] = process_start
    job_lives: Callable[[str], bool | None] = _no_job_is_known

    def identity(self) -> ProcessIdentity:
        """The identity of this process."""
        start = self.start_of(self.pid)
        return ProcessIdentity(self.name, self.boot, self.namespace, self.machine, self.pid, start)

    def lives(self, process: ProcessIdentity) -> bool | None:
        """Whether a process still lives; None where that can't be known from here.

        The same boot id is the same kernel, whatever the host's name: containers change theirs. Its
        process can be seen if it shares our pids. Another boot id is another machine, or this one
        before it was started again: the latter only if name and machine are the same and neither is
        a container, as names of containers are chosen freely.
        """
        if process.pid is None:
            return None
        if process.boot is None:  # a record of an early version
            return self._sees(process) if process.host == self.name else None
        if process.boot == self.boot:
            return self._sees(process) if process.namespace == self.namespace else None
        same_machine = (process.host, process.machine) == (self.name, self.machine)
        outside = {process.namespace, self.namespace} == {_OUTSIDE_OF_CONTAINERS}
        return False if same_machine and outside else None

    def _sees(self, process: ProcessIdentity) -> bool:
        assert process.pid is not None
        start = self.start_of(process.pid)
        return start is not None and process.start in (None, start)


def this_host(job_lives: Callable[[str], bool | None] = _no_job_is_known) -> Host:
    """Where this process runs."""
    return Host(
        host_name(), boot_id(), pid_namespace(), _machine_id(), os.getpid(), job_lives=job_lives
    )


def batch_job(env: Mapping[str, str]) -> str | None:
    """The batch job that this process is part of, as Slurm names it: ``12``, or ``12_3``."""
    array, task = env.get("SLURM_ARRAY_JOB_ID"), env.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else env.get("SLURM_JOB_ID") or None


def _machine_id() -> str:
    """The machine's own number, machine-id(5); empty where it has none."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
