"""The wheel's core without the packages of its extras."""

from __future__ import annotations

import json
from pathlib import Path

from installed import Installed


def test_the_core_trains_without_jax_numpy_and_matplotlib(
    installed: Installed, tmp_path: Path
) -> None:
    assert installed.call(tmp_path, "sweep", "init").returncode == 0

    done = installed.call(tmp_path, "sweep", "launch", "sweep.yaml", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"finished": 15}
    extra = "no figures: `matplotlib` isn't installed: pip install 'sweeper[report]'"
    assert json.loads(done.stdout)["problems"] == [extra]
    lacking = installed.call(tmp_path, "python", "-c", "import jax")
    assert "No module named 'jax'" in lacking.stderr


def test_a_missing_extra_is_one_line_with_the_command(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "ode.yaml").write_text("trainer: neural_ode\ngroup: ode\n")

    done = installed.call(tmp_path, "sweep", "launch", "ode.yaml")

    hint = "trainer 'models.neural_ode': `jax` isn't installed: pip install 'sweeper[models]'"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", hint + "\n")
    assert [file.name for file in tmp_path.iterdir()] == ["ode.yaml"]


def test_each_missing_package_of_an_extra_is_named_with_it(
    installed: Installed, tmp_path: Path
) -> None:
    code = "from sweeper.extras import how_to_install as how; print(how('wandb.sdk'), how('tqdm'))"

    done = installed.call(tmp_path, "python", "-c", code)

    assert done.stdout == (
        "`wandb` isn't installed: pip install 'sweeper[wandb]' "
        "`tqdm` isn't installed: pip install tqdm\n"
    )


def test_list_crashed_runs_is_installed_too(installed: Installed, tmp_path: Path) -> None:
    done = installed.call(tmp_path, "list-crashed-runs", "--help")

    assert done.returncode == 0, done.stderr
