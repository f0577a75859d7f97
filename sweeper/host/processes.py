"""Finding and ending exactly our own processes.

Every process of a launch carries the variable `MARK_VARIABLE` in its environment from birth. Its
value names the supervisor by pid and start time, so that any process of the same user can see
later whether that supervisor still lives. A process is ours to end if it has our uid, carries a
mark and either descends from this supervisor or its supervisor is provably dead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

__all__ = [
    "MARK_VARIABLE",
    "ProcessMark",
    "become_subreaper",
    "boot_id",
    "die_with_parent",
    "die_with_supervisor",
    "holders_of_files",
    "host_name",
    "kill_all",
    "kill_tree",
    "marked_processes",
    "pid_namespace",
    "process_start",
    "reap_adopted",
    "removes_shared_memory",
    "start_ticks",
    "usage_of",
]

MARK_VARIABLE = "SWEEPER_MARK"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None)
# Trackers of shared memory take a moment to remove it, after all that used it are gone.
_TRACKER_WAIT_S = 1.0


def boot_id() -> str:
    """The kernel's name for its present start: the same in every container on it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def host_name() -> str:
    """This host as the journal and the claims name it."""
    return os.uname().nodename


def pid_namespace() -> str:
    """The set of pids that this process sees; a container usually has its own."""
    return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (a text, not a path)


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it is gone or a zombie.

    Together with the pid it names a process for good: pids are used again, pairs aren't. Source:
    proc(5), fields 3 and 22 of /proc/PID/stat.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command, in parentheses, may itself hold blanks and parentheses.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


@dataclass(frozen=True)
class ProcessMark:
    """Names a launch and the supervisor process that it belongs to."""

    launch: str
    pid: int
    ticks: int
    host: str
    boot: str
    namespace: str

    @classmethod
    def of_this_process(cls, launch: str) -> ProcessMark:
        """The mark of a launch that this process supervises."""
        ticks = start_ticks(os.getpid())
        assert ticks is not None  # this process lives
        return cls(launch, os.getpid(), ticks, host_name(), boot_id(), pid_namespace())

    def __str__(self) -> str:
        return " ".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str) -> ProcessMark | None:
        """Back from `str`; None for anything else."""
        parts = text.split()
        if len(parts) != 6 or not (parts[1].isdigit() and parts[2].isdigit()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), *parts[3:])

    def is_provably_dead(self) -> bool:
        """Whether the supervisor is gone; False, too, where this can't be known.

        Another host may share the scratch's file system, a container its processes.
        """
        if self.host != host_name():
            return False
        if self.boot != boot_id():
            return True
        return self.namespace == pid_namespace() and start_ticks(self.pid) != self.ticks


def become_subreaper() -> None:
    """Let orphans among our descendants become our children instead of init's."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent`, which started this one, dies; leaves if it is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def kill_tree(pid: int) -> int:
    """SIGKILL a process and everything below it; returns how many there were.

    Each process is halted when it is found, so that none can fork meanwhile. Left are those that
    remove shared memory once its users are gone (see `removes_shared_memory`).
    """
    halted: dict[int, psutil.Process] = {}
    left: set[int] = set()
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        found = [root]
        while found:
            for process in found:
                if removes_shared_memory(process.pid):
                    left.add(process.pid)
                    continue
                halted[process.pid] = process
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            known = {*halted, *left}
            found = [p for p in root.children(recursive=True) if p.pid not in known]
    for process in reversed(list(halted.values())):
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(halted)


def removes_shared_memory(pid: int) -> bool:
    """Whether a process is a resource tracker of multiprocessing or joblib.

    It removes what its users have left in /dev/shm, where it would stay until the host is started
    again, and ends by itself as soon as the last of them is gone.
    """
    try:
        return b"resource_tracker import main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def die_with_supervisor() -> bool:
    """For a wave child: be killed when its supervisor dies; False if it is dead already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    mark = ProcessMark.parse(os.environ.get(MARK_VARIABLE, ""))
    return mark is not None and os.getppid() == mark.pid


def marked_processes(wanted: Callable[[ProcessMark], bool]) -> Iterator[psutil.Process]:
    """Processes of our uid whose mark is wanted; never this process."""
    uid = os.getuid()
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError, psutil.Error):
            if Path(f"/proc/{pid}").stat().st_uid != uid:
                continue
            mark = _mark_of(pid)
            if mark is not None and wanted(mark):
                yield psutil.Process(pid)


def holders_of_files(folders: Collection[Path]) -> Iterator[psutil.Process]:
    """Processes of our uid that hold a file below one of `folders` open; never this process."""
    prefixes = tuple(f"{folder}/" for folder in folders)
    for pid in psutil.pids() if prefixes else ():
        with contextlib.suppress(OSError, psutil.Error):
            proc = Path(f"/proc/{pid}")
            if pid == os.getpid() or proc.stat().st_uid != os.getuid():
                continue
            if any(_target(link).startswith(prefixes) for link in (proc / "fd").iterdir()):
                yield psutil.Process(pid)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115  (a text, not a path)
    except OSError:  # closed meanwhile
        return ""


def _mark_of(pid: int) -> ProcessMark | None:
    prefix = f"{MARK_VARIABLE}=".encode()
    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if entry.startswith(prefix):
            return ProcessMark.parse(entry[len(prefix) :].decode(errors="replace"))
    return None


def kill_all(
    find: Callable[[], Iterable[psutil.Process]], *, give_up_s: float = 10.0
) -> tuple[int, int]:
    """SIGKILL what `find` finds, again and again until it finds nothing.

    Returns how many processes were killed and how many resisted (stuck in the kernel). Repeated,
    because a process can fork between the look and the kill.
    """
    killed: set[tuple[int, float]] = set()
    began = time.monotonic()
    while True:
        found = [process for process in find() if _alive(process)]
        now = time.monotonic()
        if not found or now > began + give_up_s:
            return len(killed), len(found)
        for process in found:
            if now < began + _TRACKER_WAIT_S and removes_shared_memory(process.pid):
                continue
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed.add((process.pid, process.create_time()))
        time.sleep(0.005)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})
    except psutil.Error:
        return False


def reap_adopted(spare: Collection[int]) -> None:
    """Take the exit status of dead children, but not of those in `spare`.

    Only while every child that this process started itself has been waited for.
    """
    for child in psutil.Process().children():
        if child.pid not in spare:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def usage_of(pid: int) -> tuple[float, int] | None:
    """Processor seconds of a process so far, and its largest resident set in bytes, proc(5).

    The peak counts since it was last reset. None for a process that is gone.
    """
    try:
        times = psutil.Process(pid).cpu_times()
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, psutil.Error):
        return None
    peak = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return (times.user + times.system, int(peak[1]) * 1024) if peak else None


def process_start(pid: int) -> str | None:
    """When a process of this host started; None if it is gone, a zombie, or can't be seen.

    Boot id and clock ticks since boot: with the pid this names one process for good, while a pid
    alone is used again. Only meant to be compared.
    """
    ticks = start_ticks(pid)
    try:
        return None if ticks is None else f"{boot_id()[:8]}-{ticks}"
    except OSError:
        return None
