"""Somebody else's Ray session and files, which no sweep may touch.

Run as a program, it is that session: it doubles the numbers that it reads, by a task each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class Stranger:
    """A Ray session of another program of the same user."""

    def __init__(self, temp: Path) -> None:
        self._precious = [temp / "precious" / "data.txt"]
        self._plant()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(temp)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def _plant(self) -> None:
        self._precious[-1].parent.mkdir(parents=True)
        self._precious[-1].write_text("mine")

    def plant_in(self, scratch: Path) -> None:
        """Lay a file of ours into the folder that a launch will use as its scratch."""
        scratch.mkdir(mode=0o700, exist_ok=True)
        self._precious.append(scratch / "precious" / "data.txt")
        self._plant()

    def is_untouched(self) -> bool:
        """Whether the session still works, and every file is as it was."""
        return self._double(21) == 42 and all(file.read_text() == "mine" for file in self._precious)

    def _double(self, number: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def serve(temp: str) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 1024**2,
        _temp_dir=temp,
    )
    double = ray.remote(lambda number: 2 * number)
    for line in sys.stdin:
        sys.stdout.write(f"{ray.get(double.remote(int(line)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # every port on loopback
    serve(sys.argv[1])
