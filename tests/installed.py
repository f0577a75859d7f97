"""The built wheel in a fresh environment outside of the checkout, as users install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What a build needs; results and caches of the checkout stay out.
SOURCES = ("sweeper", "models", "pyproject.toml", "README.md")
# What of the tests' own environment must not reach the programs.
OURS = ("PYTHONPATH", "SWEEPER_RUNS", "SWEEPER_SCRATCH")


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel with its core requirements."""

    env: Path

    def call(
        self, project: Path, program: str, *arguments: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in a folder."""
        return self._run([str(self.env / "bin" / program), *map(str, arguments)], project)

    def shell(self, project: Path, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell in a folder, with the environment's programs on the path.

        stdout has both streams, as a terminal has.
        """
        return self._run(["sh", "-c", f"{{ {line}; }} 2>&1"], project)

    def _run(self, command: list[str], project: Path) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key not in OURS}
        path = f"{self.env / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command,
            cwd=project,
            env={**kept, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, stderr=subprocess.STDOUT)


def built_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources: setuptools leaves files beside them."""
    sources = folder / "sources"
    sources.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, sources / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", sources)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


def install(folder: Path) -> Installed:
    """The wheel without any extra, in an environment below `folder`."""
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    pip(
        *("--python", folder / "venv", "install"),
        *("--constraint", ROOT / "constraints.txt", built_wheel(folder)),
    )
    return Installed(folder / "venv")
