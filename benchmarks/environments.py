"""Environments of their own for the tools that a benchmark compares with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_with(name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of an environment that holds `packages` in their pinned versions.

    It is in ``build/benchmarks/<name>``, and is made again when ``constraints-<name>.txt`` is
    newer. Raises CalledProcessError when the packages can't be installed.
    """
    folder = ROOT / "build" / "benchmarks" / name
    constraints = ROOT / "benchmarks" / f"constraints-{name}.txt"
    stamp, python = folder / ".installed", folder / "bin" / "python"
    if not stamp.exists() or stamp.stat().st_mtime < constraints.stat().st_mtime:
        print(f"installing {', '.join(packages)} into {folder.relative_to(ROOT)} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip: list[str | Path] = [
            python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "-qq",
            "install",
        ]
        subprocess.run([*pip, "--constraint", constraints, *packages], check=True)
        stamp.touch()
    return python
