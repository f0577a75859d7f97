"""What Ray can't start without, judged from a host's numbers: for launches and for the doctor.

Without these Ray doesn't say what is wrong: its processes die or wait for each other, and it gives
up after half a minute with "some of the raylet failed to startup".
"""

from __future__ import annotations

from sweeper.host import facts
from sweeper.suggest import counted
from sweeper.units import MIB, size

__all__ = [
    "address_space_shortage",
    "file_size_shortage",
    "loopback_shortage",
    "open_files_shortage",
    "shared_memory_shortage",
    "start_shortages",
]

# Measured with Ray 2.60. Its object store is one file of 80 MiB, the least that it takes is 75.
_LARGEST_FILE = 100 * MIB
# With 1.9 GiB a wave starts, with 1 GiB the raylet dies.
_ADDRESS_SPACE = 1536 * MIB
# The raylet holds 50 files and 3 per worker, the GCS 56 and 2.
_WAVE_FILES = 56
_WORKER_FILES = 3
_MOST_FILES = 65536


def loopback_shortage(refusal: str | None) -> str | None:
    """What is wrong with 127.0.0.1 and the fix; `refusal` is the system's word, None for none."""
    if refusal is None:
        return None
    return f"127.0.0.1 can't be reached ({refusal}): Ray needs it (`ip link set lo up`)"


def shared_memory_shortage(total: int | None) -> str | None:
    """What is wrong with /dev/shm and the fix; `total` is None where it can't be written."""
    if total is not None:
        return None
    return (
        "/dev/shm is missing or can't be written: Ray keeps its object store there; mount it "
        "(`mount -t tmpfs tmpfs /dev/shm`, docker: --shm-size=512m)"
    )


def file_size_shortage(limit: int | None) -> str | None:
    """What is wrong with ``ulimit -f`` in bytes (None: no limit) and the fix."""
    if limit is None or limit >= _LARGEST_FILE:
        return None
    return (
        f"files may have at most {size(limit)}, Ray's object store needs "
        f"{size(_LARGEST_FILE)}: `ulimit -f unlimited`"
    )


def address_space_shortage(limit: int | None) -> str | None:
    """What is wrong with ``ulimit -v`` in bytes (None: no limit) and the fix."""
    if limit is None or limit >= _ADDRESS_SPACE:
        return None
    return (
        f"a process may reserve at most {size(limit)}, Ray's need {size(_ADDRESS_SPACE)} and "
        f"JAX more: `ulimit -v unlimited`; limit runs with `memory_per_run` instead"
    )


def open_files_shortage(soft: int, hard: int, workers: int) -> str | None:
    """What is wrong with ``ulimit -n`` and the fix; Ray raises its soft limit to the hard one."""
    effective = max(soft, min(hard, _MOST_FILES))
    fit = (effective - _WAVE_FILES) // _WORKER_FILES
    if fit >= workers:
        return None
    less = f", or `sweep launch --cpus {fit}`" if fit > 0 else ""
    needed = _WAVE_FILES + workers * _WORKER_FILES
    return (
        f"a process may open {effective} files, too few for {counted(workers, 'worker')}: Ray's "
        f"raylet needs {needed}; raise the hard limit (`ulimit -n`, docker: "
        f"--ulimit nofile=8192:8192){less}"
    )


def start_shortages(workers: int) -> list[str]:
    """What keeps Ray from starting on this host, each with its fix; threads aside."""
    total, _ = facts.shared_memory()
    soft, hard = facts.open_files_limit()
    found = (
        loopback_shortage(facts.loopback_refusal()),
        shared_memory_shortage(total),
        file_size_shortage(facts.file_size_limit()),
        address_space_shortage(facts.address_space_limit()),
        open_files_shortage(soft, hard, workers),
    )
    return [shortage for shortage in found if shortage]
