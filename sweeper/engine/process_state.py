"""What a training may change in its process: put back after it, or a reason for a new process.

A run's result must not depend on what ran before it in the same process. So the state is compared
before and after each run. What can be put back is put back (`sweeper.engine.restored_parts`); where
that isn't possible or wouldn't be safe, the process isn't used again.
"""

from __future__ import annotations

import gc
import io
import locale
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from sweeper.engine.module_state import ModuleState
from sweeper.engine.restored_parts import BY_MODULE, RESTORED
from sweeper.host.processes import removes_shared_memory

__all__ = ["ProcessState", "kill_children"]

# Settings of JAX that change results, and their values where neither the user nor a training has
# set them. Known for the case that JAX is imported by the run itself.
_JAX_DEFAULTS: Mapping[str, Any] = {
    "jax_enable_x64": False,
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_default_device": None,
    "jax_disable_most_optimizations": False,
    "jax_enable_compilation_cache": True,
    "jax_check_tracer_leaks": False,
    "jax_log_compiles": False,
    **dict.fromkeys(
        f"jax_transfer_guard{way}"
        for way in ("", "_host_to_device", "_device_to_host", "_device_to_device")
    ),
}


def _threads() -> frozenset[threading.Thread]:
    return frozenset(threading.enumerate())


def _children() -> frozenset[int]:
    # The kernel's own lists: a look at every process of the host costs milliseconds.
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "children").read_text().split()
        except OSError:  # the thread has ended
            continue
    return frozenset(map(int, found))


def _descriptors() -> frozenset[tuple[str, str]]:
    """Open files, pipes and sockets; not what the kernel makes for one process, such as epoll."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)  # noqa: PTH115  (a text, not a path)
        except OSError:  # the one that lists this folder
            continue
        devices = target.startswith("/dev/") and not target.startswith("/dev/shm/")
        if not devices and not target.startswith(("anon_inode:", "/proc/")):
            found.append((link.name, target))
    return frozenset(found)


def _jax() -> dict[str, Any] | None:
    jax = sys.modules.get("jax")
    config = getattr(jax, "config", None)
    return dict(config.values) if config is not None else None


def _ray() -> bool:
    ray = sys.modules.get("ray")
    return bool(ray and ray.is_initialized())


class ProcessState:
    """The state of this process now; only for its main thread."""

    def __init__(self) -> None:
        self._values = {name: part.read() for name, part in RESTORED.items()}
        self._modules = ModuleState()
        self._threads, self._children = _threads(), _children()
        self._descriptors, self._jax = _descriptors(), _jax()

    def restore_limits(self) -> None:
        """Put back what may keep this process itself from working; see `restore`."""
        self._put_back(("user", "limits", "timers"))

    def restore(self) -> str | None:
        """Put back what has changed; returns why the process must not be used again, if so."""
        spent = self._spent()
        stuck = self._put_back(RESTORED)
        return spent or stuck

    def _put_back(self, names: Iterable[str]) -> str | None:
        """Put back these parts; says which one can't be."""
        spent = None
        for name in names:
            before, part = self._values[name], RESTORED[name]
            if before is None and BY_MODULE.get(name, "sys") not in sys.modules:
                continue
            try:
                if not _same(part.read(), before):
                    part.write(before)
            except (OSError, ValueError, TypeError, RuntimeError, locale.Error):
                spent = spent or f"its {name} can't be put back"
        return spent

    def _spent(self) -> str | None:
        new = {thread for thread in _threads() - self._threads if thread.is_alive()}
        if new:
            return f"a thread goes on: {min(thread.name for thread in new)}"
        if _children() - self._children:
            return "it has child processes"
        opened = self._opened()
        if opened:
            return f"it keeps open: {min(opened)}"
        if _ray():
            return "it has started a Ray of its own"
        if _flushes_subnormals():
            return "it rounds the smallest numbers to zero"
        return self._changed_jax() or self._modules.changed()

    def _opened(self) -> set[str]:
        """What was opened and not closed; what stands in buffers of such files is written."""
        if not _descriptors() - self._descriptors:
            return set()
        gc.collect()  # closes files that nothing refers to any more
        opened = {target for _, target in _descriptors() - self._descriptors}
        if opened:
            _flush_files()
        return opened

    def _changed_jax(self) -> str | None:
        now = _jax()
        if now is None:
            return None
        if self._jax is not None:
            changed = [name for name, value in now.items() if self._jax.get(name) != value]
        else:
            changed = [
                name
                for name, value in _JAX_DEFAULTS.items()
                if name.upper() not in os.environ and now.get(name, value) != value
            ]
        return f"it has set {changed[0]} of JAX" if changed else None


def _flushes_subnormals() -> bool:
    """Whether the processor's mode was changed, as loading a library built for speed may do."""
    return sys.float_info.min / 2 == 0.0


def _flush_files() -> None:
    """Write what files of Python still buffer, as at the end of an interpreter."""
    for kind in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
        for file in gc.get_objects():
            if type(file) is kind and not file.closed:
                try:
                    file.flush()
                except (OSError, ValueError):
                    continue


def _same(now: Any, before: Any) -> bool:
    try:
        return bool(now == before)
    except ValueError:  # arrays within a state of random numbers
        return False


def kill_children() -> None:
    """SIGKILL every process below this one, but for trackers of shared memory."""
    if _children():
        for child in psutil.Process().children(recursive=True):
            try:
                if removes_shared_memory(child.pid):
                    continue
                child.kill()
            except psutil.Error:
                continue
