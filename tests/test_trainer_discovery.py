"""Which module a trainer's name means, whatever lies in the current directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import SWEEP, Bench

from sweeper.config import identity, read_sweep, run_id
from sweeper.records import Outcome
from sweeper.trainer import canonical_name, load_trainer

ROOT = Path(__file__).parents[1]
THEIRS = "raise RuntimeError('the models of the user')\n"
# What a user's own project may hold under the name of our package.
SHADOWS = ("models.py", "models/__init__.py", "models/weights.npz")
TINY = """
group: tiny
data: {dataset_name: simple_TBP_planar_1_train, test_datasets: [simple_TBP_planar_1_test]}
parameters: {width: 4, depth: 1, steps_strategy: 2}
"""
# Prints where the modules of the default trainer come from, one that it imports lazily among them.
FILES = """
import sys
from pathlib import Path
from sweeper.trainer import load_trainer
trainer = load_trainer(sys.argv[1], search=[Path.cwd()])
trainer.check_dataset("any")
trainer.program_key(trainer.Config())
print(trainer.name)
for name in ("models", "models.neural_ode", "models.neural_ode.programs", "models.two_body"):
    print(sys.modules[name].__file__)
print(*trainer.preload)
"""


def put(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def call(
    folder: Path, *command: object, path: tuple[Path, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, with `path` as PYTHONPATH."""
    return subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def python(
    folder: Path, code: str, *arguments: str, path: tuple[Path, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return call(folder, sys.executable, "-c", code, *arguments, path=path)


def plan(folder: Path, text: str, *, path: tuple[Path, ...] = ()) -> list[str]:
    """The ids of the runs that `sweep plan` finds."""
    put(folder, "sweep.yaml", text)
    done = call(folder, SWEEP, "plan", "sweep.yaml", "--json", path=path)
    assert done.returncode == 0, done.stderr
    return [run["id"] for run in json.loads(done.stdout)["first"]]


def refusal(folder: Path, text: str, *, path: tuple[Path, ...] = ()) -> str:
    """The first line of what `sweep plan` says against a sweep file."""
    put(folder, "sweep.yaml", text)
    done = call(folder, SWEEP, "plan", "sweep.yaml", path=path)
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[0]


def declare(site: Path, name: str, version: str, *entries: str) -> None:
    """Install a distribution's metadata by hand."""
    info = site / f"{name}-{version}.dist-info"
    put(info, "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    put(info, "entry_points.txt", "\n".join(["[sweeper.trainers]", *entries, ""]))


@pytest.fixture(scope="module")
def tiny_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of `TINY`'s run, hashed with the name that records have always had."""
    file = put(tmp_path_factory.mktemp("tiny"), "sweep.yaml", TINY)
    (run,) = read_sweep(file)
    return run_id("models.neural_ode", identity(run.config))


# -- Our own trainers ------------------------------------------------------------------------------


def test_a_short_name_is_the_same_trainer() -> None:
    assert canonical_name("neural_ode") == "models.neural_ode"
    assert canonical_name("latent_ode") == "models.latent_ode"
    assert canonical_name("models.neural_ode") == "models.neural_ode"
    assert canonical_name("hill:Trainer") == "hill:Trainer"


@pytest.mark.parametrize("name", ["neural_ode", "models.neural_ode"])
def test_run_ids_are_those_of_older_records(tmp_path: Path, tiny_id: str, name: str) -> None:
    assert plan(tmp_path, f"trainer: {name}{TINY}") == [tiny_id]


@pytest.mark.parametrize("name", ["neural_ode", "models.neural_ode"])
@pytest.mark.parametrize("defaults", ["neural_ode", "models.neural_ode"])
def test_defaults_of_either_name_are_found(tmp_path: Path, name: str, defaults: str) -> None:
    put(tmp_path, "default.yaml", f"trainer: {defaults}\nparameters: {{width: 5}}\n")
    sweep = read_sweep(put(tmp_path, "sweep.yaml", f"trainer: {name}\n"))
    assert [run.config.parameters.width for run in sweep] == [5]


@pytest.mark.parametrize("shadow", SHADOWS)
@pytest.mark.parametrize("on_path", [False, True], ids=["beside", "on-pythonpath"])
@pytest.mark.parametrize("name", ["neural_ode", "models.neural_ode"])
def test_our_models_are_imported_whatever_lies_beside(
    tmp_path: Path, tiny_id: str, shadow: str, on_path: bool, name: str
) -> None:
    put(tmp_path, shadow, THEIRS)
    path = (tmp_path,) if on_path else ()
    found = python(tmp_path, FILES, name, path=path)
    assert found.stdout.splitlines() == [
        "models.neural_ode",
        *(
            str(ROOT / "models" / file)
            for file in (
                "__init__.py",
                "neural_ode/__init__.py",
                "neural_ode/programs.py",
                "two_body/__init__.py",
            )
        ),
        "jax jax.numpy equinox optax",  # a worker would preload theirs
    ], found.stderr
    assert plan(tmp_path, f"trainer: {name}{TINY}", path=path) == [tiny_id]


def test_without_a_shadow_workers_preload_all(tmp_path: Path) -> None:
    found = python(tmp_path, FILES, "neural_ode")
    assert found.stdout.splitlines()[-1] == (
        "jax jax.numpy equinox optax models.neural_ode.training"
    )


def test_a_shadow_that_was_imported_before_is_named(tmp_path: Path) -> None:
    file = put(tmp_path, "models.py", "")
    code = "from sweeper.errors import TrainerError\nimport models\n" + FILES
    code = code.replace("trainer = load", "try: load", 1).split("trainer.check")[0]
    found = python(tmp_path, code + "except TrainerError as error: print(error)", "neural_ode")
    version = canonical_version()
    assert found.stdout == (
        f"trainer 'models.neural_ode' belongs to the distribution sweeper {version}, but another "
        f"module `models` was imported, from {file}: rename that one, or remove it from "
        f"PYTHONPATH\n"
    ), found.stderr


def canonical_version() -> str:
    from importlib.metadata import version

    return version("sweeper")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scratch = Path(f"/tmp/sw-{os.getpid()}-names")  # short, for Ray's sockets
    yield Bench(tmp_path, scratch)
    shutil.rmtree(scratch, ignore_errors=True)


def test_the_default_trainer_trains_beside_a_users_models(bench: Bench, tiny_id: str) -> None:
    put(bench.path, "models.py", THEIRS)
    file = bench.write("tiny", f"trainer: neural_ode{TINY}")
    launched = bench.sweep("launch", file, "--cpus", 1)
    assert launched.returncode == 0, launched.stdout + launched.stderr
    state = bench.state("tiny")
    assert state.launches[-1].trainer == "models.neural_ode"
    assert {run.id: run.outcome for run in state.runs.values()} == {tiny_id: Outcome.FINISHED}
    again = bench.sweep("rerun", tiny_id, "--trainer", "neural_ode")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("\ntests/mean ") == 1


def test_an_installed_wheel_is_found_whatever_lies_beside(tmp_path: Path, tiny_id: str) -> None:
    source, wheels, site = tmp_path / "source", tmp_path / "wheels", tmp_path / "site"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("sweeper", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps")
    built = call(source, *pip, "wheel", *offline, "--no-build-isolation", "-w", wheels, ".")
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("sweeper-*.whl")
    assert {"sweeper/py.typed", "models/py.typed"} <= set(zipfile.ZipFile(wheel).namelist())
    done = call(source, *pip, "install", *offline, "--target", site, wheel)
    assert done.returncode == 0, done.stderr

    beside = tmp_path / "project"
    put(beside, "models.py", THEIRS)
    found = python(beside, FILES, "neural_ode", path=(site,))
    assert found.stdout.splitlines()[1:5] == [
        str(site / "models" / file)
        for file in (
            "__init__.py",
            "neural_ode/__init__.py",
            "neural_ode/programs.py",
            "two_body/__init__.py",
        )
    ], found.stderr
    put(beside, "sweep.yaml", f"trainer: neural_ode{TINY}")
    command = (sys.executable, site / "bin" / "sweep", "plan", "sweep.yaml", "--json")
    planned = call(beside, *command, path=(site,))
    assert planned.returncode == 0, planned.stderr
    assert [run["id"] for run in json.loads(planned.stdout)["first"]] == [tiny_id]


# -- The user's own trainers -----------------------------------------------------------------------

OWN = """
from dataclasses import dataclass

from models import WIDTH


@dataclass(frozen=True)
class Config:
    width: int = WIDTH


def train(configs, runs):
    from models.late import metrics

    return [metrics(config) for config in configs]
"""
TRAIN = """
from pathlib import Path
from sweeper.trainer import load_trainer
trainer = load_trainer("mine", search=[Path.cwd()])
print(trainer.name, trainer.train([trainer.Config()], [None]))
"""


def test_a_users_trainer_imports_the_users_own_models(tmp_path: Path) -> None:
    put(tmp_path, "mine.py", OWN)
    put(tmp_path, "models/__init__.py", "WIDTH = 7\n")
    put(tmp_path, "models/late.py", "def metrics(config): return {'loss': config.width}\n")
    found = python(tmp_path, TRAIN)
    assert found.stdout == "mine [{'loss': 7}]\n", found.stderr
    assert len(plan(tmp_path, "trainer: mine\nwidth: [1, 2]\n")) == 2


def test_a_module_of_the_users_own_models_can_be_the_trainer(tmp_path: Path) -> None:
    put(tmp_path, "models/__init__.py", "WIDTH = 7\n")
    put(tmp_path, "models/mine.py", OWN)
    assert len(plan(tmp_path, "trainer: models.mine\nwidth: [1, 2]\n")) == 2


# -- Trainers of other distributions ---------------------------------------------------------------

ACME = """
from dataclasses import dataclass
from pathlib import Path

Path("imported").touch()


class Trainer:
    @dataclass(frozen=True)
    class Config:
        width: int = 1

    @staticmethod
    def train(configs, runs):
        pass
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages: `acme` and what it declares."""
    site = tmp_path / "site"
    put(site, "acme_training.py", ACME)
    declare(site, "acme", "1.2", "rocket = acme_training:Trainer")
    return site


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of the user's, with a module that is in the way."""
    put(tmp_path / "project", "acme_training.py", THEIRS)
    return tmp_path / "project"


def test_another_distribution_adds_a_trainer(site: Path, project: Path) -> None:
    short = plan(project, "trainer: rocket\nwidth: [1, 2]\n", path=(site,))
    full = plan(project, "trainer: acme_training:Trainer\nwidth: [1, 2]\n", path=(site,))
    assert len(short) == 2
    assert short == full
    assert (project / "imported").exists()


def test_a_declared_trainer_is_not_imported_for_another_name(site: Path, project: Path) -> None:
    plan(project, f"trainer: neural_ode{TINY}", path=(site,))
    refusal(project, "trainer: rockets\n", path=(site,))
    assert not (project / "imported").exists()


def test_a_name_declared_twice_is_refused(site: Path, project: Path) -> None:
    declare(site, "zenith", "3.0", "rocket = zenith.training", "other = zenith.other")
    assert refusal(project, "trainer: rocket\n", path=(site,)) == (
        "sweep.yaml:1:10: trainer 'rocket' is declared by two installed distributions, acme 1.2 "
        "and zenith 3.0: write the module instead, `acme_training:Trainer` or `zenith.training`, "
        "or uninstall one of them"
    )
    assert len(plan(project, "trainer: acme_training:Trainer\n", path=(site,))) == 1
    put(project, "default.yaml", "trainer: rocket\n")
    assert refusal(project, "trainer: acme_training:Trainer\n", path=(site,)).startswith(
        "default.yaml:1:1: trainer 'rocket' is declared by two installed distributions, "
    )


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("neural_oed", "neural_ode"),
        ("latent-ode", "latent_ode"),
        ("models.nueral_ode", "models.neural_ode"),
        ("rokcet", "rocket"),
    ],
)
def test_a_misspelt_name_is_told_what_was_meant(
    site: Path, project: Path, written: str, wanted: str
) -> None:
    assert refusal(project, f"trainer: {written}\n", path=(site,)) == (
        f"sweep.yaml:1:10: trainer {written!r}: no module named {written!r} in the current "
        f"directory, on PYTHONPATH or installed; did you mean `{wanted}`?"
    )


def test_nothing_is_suggested_for_what_is_like_nothing(site: Path, project: Path) -> None:
    assert refusal(project, "trainer: hill\n", path=(site,)) == (
        "sweep.yaml:1:10: trainer 'hill': no module named 'hill' in the current directory, on "
        "PYTHONPATH or installed"
    )


def test_a_broken_declaration_harms_no_other(site: Path, project: Path) -> None:
    declare(site, "broken", "0.1", "gone = no module: at all")
    assert len(plan(project, "trainer: rocket\n", path=(site,))) == 1


def test_a_declared_module_that_is_missing_is_told(site: Path, project: Path) -> None:
    declare(site, "broken", "0.1", "gone = gone_training")
    assert refusal(project, "trainer: gone\n", path=(site,)) == (
        "sweep.yaml:1:10: trainer 'gone_training': no module named 'gone_training' in the current "
        "directory, on PYTHONPATH or installed"
    )


def test_a_declared_module_found_outside_of_its_distribution_is_refused(
    site: Path, project: Path
) -> None:
    declare(site, "broken", "0.1", "gone = gone_training")
    file = put(project, "gone_training.py", ACME)
    assert refusal(project, "trainer: gone\n", path=(site,)) == (
        f"sweep.yaml:1:10: trainer 'gone_training' belongs to the distribution broken 0.1, but "
        f"another module `gone_training` was imported, from {file}: rename that one, or "
        f"remove it from PYTHONPATH"
    )


def test_a_minus_or_a_word_says_that_a_larger_headline_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = "from dataclasses import dataclass\n@dataclass\nclass Config:\n    x: int = 1\n"
    text += "def train(configs, runs): ...\n"
    found = []
    for number, line in enumerate(["", "headline = '-acc'", "headline = 'acc'; maximise = True"]):
        (tmp_path / f"ranked{number}.py").write_text(f"{text}{line}\n")
        trainer = load_trainer(f"ranked{number}")
        found.append((trainer.headline, trainer.maximise))
    assert found == [("loss", False), ("acc", True), ("acc", True)]


# -- Where a trainer is looked for -----------------------------------------------------------------


def test_the_standard_library_comes_before_the_users_folders(tmp_path: Path) -> None:
    put(tmp_path, "hill.py", OWN.replace("from models import WIDTH", "WIDTH = 1"))
    put(tmp_path, "statistics.py", "mean = None\n")
    put(tmp_path, "late/__init__.py", "")
    code = """
import sys
from pathlib import Path
from sweeper.trainer import load_trainer
load_trainer("hill", search=[Path.cwd(), Path.cwd() / "late"])
import statistics
print(statistics.mean([1, 3]))
places = [sys.path.index(str(place)) for place in (Path.cwd(), Path.cwd() / "late")]
print(places[1] - places[0], sys.path.index(sys.argv[1]) > places[1])
"""
    found = python(tmp_path, code, str(tmp_path / "p"), path=(tmp_path / "p",))
    assert found.stdout == "2\n1 True\n", found.stderr


@pytest.mark.parametrize("name", ["profile", "test"])  # `test` is missing in stdlib_module_names
def test_a_trainer_named_like_a_standard_module_is_refused(tmp_path: Path, name: str) -> None:
    file = put(tmp_path, f"{name}.py", OWN)
    assert refusal(tmp_path, f"trainer: {name}\n") == (
        f"sweep.yaml:1:10: trainer {name!r}: `{name}` is a module of Python's standard library, "
        f"and that one is imported: rename {file}"
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("from statistics import mine", "ImportError: cannot import name 'mine' from 'statistics'"),
        ("import statistics; statistics.mine", "AttributeError: module 'statistics' has no"),
    ],
)
def test_a_neighbour_named_like_a_standard_module_is_named(
    tmp_path: Path, line: str, error: str
) -> None:
    put(tmp_path, "hill.py", f"{line}\n")
    file = put(tmp_path, "statistics.py", "mine = 1\n")
    said = refusal(tmp_path, "trainer: hill\n")
    assert said.startswith(f"sweep.yaml:1:10: trainer 'hill': importing it fails with {error}")
    assert said.endswith(
        f"; Python imports its own module `statistics`, not {file}: rename that file"
    )


@pytest.mark.parametrize("missing", ["no_such_package", "jaxtyping.no_such_part"])
def test_what_a_trainer_imports_in_vain_is_named(tmp_path: Path, missing: str) -> None:
    put(tmp_path, "hill.py", f"import {missing}\n")
    assert refusal(tmp_path, "trainer: hill\n") == (
        f"sweep.yaml:1:10: trainer 'hill': it imports `{missing}`, which isn't in the current "
        "directory, on PYTHONPATH or installed"
    )


def test_a_package_that_an_own_trainer_lacks_is_installed_by_itself(tmp_path: Path) -> None:
    put(tmp_path, "hill.py", "raise ModuleNotFoundError('no jax', name='jax')\n")
    assert refusal(tmp_path, "trainer: hill\n").endswith(" or installed: pip install jax")


def test_the_folders_where_a_trainer_was_looked_for_are_named(tmp_path: Path) -> None:
    put(tmp_path / "studies", "sweep.yaml", "trainer: hill\n")
    done = call(tmp_path, SWEEP, "plan", "studies/sweep.yaml")
    assert done.stderr.splitlines()[0] == (
        f"studies/sweep.yaml:1:10: trainer 'hill': no module named 'hill' in the current "
        f"directory, in {tmp_path / 'studies'}, on PYTHONPATH or installed"
    )
