"""The environment of a wave's processes: Ray's settings, thread caps, caches, the mark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sweeper.engine.compile_cache import compile_cache_folder
from sweeper.host.processes import MARK_VARIABLE

__all__ = [
    "is_dropped",
    "run_environment",
    "wave_environment",
    "withheld",
    "worker_environment",
]

# Read by Ray's processes when they start, so they must be set before `import ray`.
_RAY = {
    # Despite its name: every port on loopback, on Linux too.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    # Ray's memory monitor killed the wrong runs; RLIMIT_DATA limits each run instead.
    "RAY_memory_monitor_refresh_ms": "0",
    # Workers' own output goes to the runs' logs; what is left must not grow without bound.
    "RAY_ROTATION_MAX_BYTES": "10000000",
    "RAY_ROTATION_BACKUP_COUNT": "1",
    # After GCS's death the driver waits this long before it gives up (default 60).
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # One worker per slot is started when it is needed, not one per CPU at once.
    "RAY_prestart_worker_first_driver": "0",
    # Without these, GCS alone makes 241 threads on 192 CPUs.
    "RAY_worker_num_grpc_internal_threads": "1",
    "RAY_gcs_server_rpc_server_thread_num": "2",
    "RAY_gcs_server_rpc_client_thread_num": "1",
    "RAY_num_server_call_thread": "1",
    "RAY_object_manager_rpc_threads_num": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


_SECRETS = ("WANDB_API_KEY",)
_DROPPED = {"WANDB_SERVICE", "NPROC", "PJRT_NPROC", *_SECRETS}


# Settings of Python with which Ray's processes don't start, or take minutes: for trainings alone.
_OF_TRAININGS = {
    "PYTHONDEVMODE",
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONTRACEMALLOC",
    "PYTHONVERBOSE",
    "PYTHONWARNINGS",
}
_KEPT = "SWEEPER_KEPT_"


def withheld(inherited: Mapping[str, str]) -> list[str]:
    """What the user has set and trainings don't get: what they print is kept in logs."""
    return [name for name in _SECRETS if name in inherited]


def is_dropped(name: str) -> bool:
    """Whether trainings don't inherit a variable.

    ``RAY_*`` and ``WANDB_SERVICE`` would tie them to somebody else's session; XLA prefers ``NPROC``
    to the slot's CPUs.
    """
    return name.startswith("RAY_") or name in _DROPPED


def wave_environment(
    inherited: Mapping[str, str],
    *,
    mark: str,
    token_file: Path,
    tmp: Path,
    cpus_per_run: int,
) -> dict[str, str]:
    """The whole environment of a wave child and so of everything it starts.

    What `is_dropped` is left out. Other limits and caches that the user has set are kept.
    """
    env = {
        _KEPT + name if name in _OF_TRAININGS else name: value
        for name, value in inherited.items()
        if not is_dropped(name)
    }
    env |= run_environment(inherited, cpus_per_run=cpus_per_run)
    return env | {
        **_RAY,
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_preload_python_modules": "sweeper.engine.slot_actor",
        "TMPDIR": str(tmp),
        "PYTHONUNBUFFERED": "1",
        MARK_VARIABLE: mark,
    }


def worker_environment(wave: Mapping[str, str]) -> dict[str, str]:
    """A wave's environment without Ray's settings: a training may start a Ray of its own."""
    return {
        name.removeprefix(_KEPT): value
        for name, value in wave.items()
        if not name.startswith("RAY_")
    }


def run_environment(inherited: Mapping[str, str], *, cpus_per_run: int) -> dict[str, str]:
    """Thread caps and caches of a training; what `inherited` sets already is left out.

    Raises `HostError` where compiled programs would come from a folder that others can write.
    """
    threads = str(cpus_per_run)
    wanted = {
        # NumPy's and SciPy's pools; XLA's follow the affinity.
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "JAX_COMPILATION_CACHE_DIR": str(compile_cache_folder(inherited)),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several runs share a GPU
    }
    return {name: value for name, value in wanted.items() if name not in inherited}
