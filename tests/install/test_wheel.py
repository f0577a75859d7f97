"""The built wheel in a fresh environment outside of the checkout, as users install it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a build needs; results and caches of the checkout stay out.
SOURCES = ("sweeper", "models", "pyproject.toml", "README.md")


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel with its core requirements, and an empty project."""

    env: Path
    project: Path

    def call(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the project, without ours on the path."""
        ours = ("PYTHONPATH", "SWEEPER_RUNS", "SWEEPER_SCRATCH")
        return subprocess.run(
            [self.env / "bin" / program, *map(str, arguments)],
            cwd=self.project,
            env={key: value for key, value in os.environ.items() if key not in ours},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def write(self, name: str, text: str) -> None:
        (self.project / name).write_text(text)


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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel without any extra, in an environment of its own."""
    folder = tmp_path_factory.mktemp("installed")
    project = folder / "project"
    project.mkdir()
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    pip(
        *("--python", folder / "venv", "install"),
        *("--constraint", ROOT / "constraints.txt", built_wheel(folder)),
    )
    return Installed(folder / "venv", project)


def test_the_core_trains_without_jax_numpy_and_matplotlib(installed: Installed) -> None:
    assert installed.call("sweep", "init").returncode == 0

    done = installed.call("sweep", "launch", "sweep.yaml", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"finished": 15}
    extra = "no figures: `matplotlib` isn't installed: pip install 'sweeper[report]'"
    assert json.loads(done.stdout)["problems"] == [extra]
    lacking = installed.call("python", "-c", "import jax")
    assert "No module named 'jax'" in lacking.stderr


def test_a_missing_extra_is_one_line_with_the_command(installed: Installed) -> None:
    installed.write("ode.yaml", "trainer: neural_ode\ngroup: ode\n")

    done = installed.call("sweep", "launch", "ode.yaml")

    hint = "trainer 'models.neural_ode': `jax` isn't installed: pip install 'sweeper[models]'"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", hint + "\n")
    assert not (installed.project / "runs" / "ode").exists()


def test_each_missing_package_of_an_extra_is_named_with_it(installed: Installed) -> None:
    code = "from sweeper.extras import how_to_install as how; print(how('wandb.sdk'), how('tqdm'))"

    done = installed.call("python", "-c", code)

    assert done.stdout == (
        "`wandb` isn't installed: pip install 'sweeper[wandb]' "
        "`tqdm` isn't installed: pip install tqdm\n"
    )


def test_list_crashed_runs_is_installed_too(installed: Installed) -> None:
    done = installed.call("list-crashed-runs", "--help")

    assert done.returncode == 0, done.stderr
