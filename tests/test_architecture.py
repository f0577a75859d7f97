"""Imports point one way, without circles, and fast commands import nothing slow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The layers of sweeper, from the top: a package imports from the layers below its own. `trainer` is
# the contract that `models` sees, `imports` how one is found.
LAYERS = [
    {"cli"},
    {"launch", "doctor", "submit", "mirror", "report", "foreign"},
    {"engine", "diagnosis"},
    {"plan"},
    {"records", "config"},
    {"trainer", "host"},
    {"imports"},
    {"errors", "extras", "suggest", "units", "keys", "untrusted", "formerly"},
]
# Within a layer only these imports are allowed.
BESIDE = {
    # Pure functions on failures, which the brake and the reports share.
    ("engine", "sweeper.diagnosis.failure_groups"),
    # The self-test is a launch of one run.
    ("doctor", "sweeper.launch.launch"),
    ("doctor", "sweeper.launch.work"),
}
SLOW = {"ray", "jax", "jaxlib", "matplotlib", "wandb", "diffrax", "equinox", "optax", "scipy"}


def modules(package: str) -> list[Path]:
    """Its files, without those that `sweep init` copies."""
    found = sorted((ROOT / package).rglob("*.py"))
    return [file for file in found if file.parent.name != "templates"]


def package_of(file: Path) -> str:
    return file.relative_to(ROOT / "sweeper").parts[0].removesuffix(".py")


def imported(file: Path, *, at_top: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports, anywhere or outside of functions."""
    tree = ast.parse(file.read_text())
    nodes = tree.body if at_top else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def imported_files(file: Path, packages: Mapping[str, Path]) -> set[str]:
    """Modules of ours that a file imports, `from package import module` taken for the module."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in packages else node.module)
    return found & packages.keys()


@pytest.mark.parametrize("file", modules("sweeper"), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_follow_the_arrows(file: Path) -> None:
    layer = {package: depth for depth, packages in enumerate(LAYERS) for package in packages}
    package = package_of(file)
    for name in imported(file):
        parts = name.split(".")
        assert parts[0] != "models", f"sweeper knows no model family, but imports {name}"
        if parts[0] == "sweeper" and len(parts) > 1 and parts[1] != package != "__init__":
            below = layer[parts[1]] > layer[package]
            assert below or (package, name) in BESIDE, f"{package} may not import {name}"


@pytest.mark.parametrize("package", ["sweeper", "models"])
def test_no_two_files_import_each_other(package: str) -> None:
    files = {
        str(file.relative_to(ROOT).with_suffix(""))
        .replace("/", ".")
        .removesuffix(".__init__"): file
        for file in modules(package)
    }
    imports = {name: imported_files(file, files) - {name} for name, file in files.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_no_two_public_classes_share_a_name() -> None:
    """Those of models may: every family has a `Config`."""
    places = defaultdict(list)
    for file in modules("sweeper"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("file", modules("sweeper"), ids=lambda file: str(file.relative_to(ROOT)))
def test_slow_modules_are_never_imported_at_the_top(file: Path) -> None:
    slow = {name.split(".")[0] for name in imported(file, at_top=True)} & SLOW
    assert not slow


def test_only_the_wave_imports_ray() -> None:
    importers = [
        str(file.relative_to(ROOT))
        for file in modules("sweeper")
        if any(name.split(".")[0] == "ray" for name in imported(file))
    ]
    assert importers == ["sweeper/engine/ray_wave.py"]


@pytest.mark.parametrize("file", modules("models"), ids=lambda file: str(file.relative_to(ROOT)))
def test_models_know_the_contract_alone(file: Path) -> None:
    names = {name for name in imported(file) if name.split(".")[0] == "sweeper"}
    assert names <= {"sweeper.trainer"}


@pytest.mark.parametrize(
    "module", ["sweeper.cli", "sweeper.records", "sweeper.trainer", "models.neural_ode"]
)
def test_importing_is_cheap(module: str) -> None:
    code = f"import {module}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not SLOW & set(found.stdout.split())


def documented(package: str) -> dict[str, str]:
    """The rows of a table in CONTRIBUTING.md in their order: names, and the text of each row."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| `{package}/(\w+)(?:/|\.py)` \|(.*)\|$", page, re.M)
    assert len({name for name, _ in rows}) == len(rows)
    return dict(rows)


def existing(package: str) -> set[str]:
    """The packages and modules directly in a package."""
    return {
        item.stem
        for item in (ROOT / package).iterdir()
        if item.stem != "__init__" and (item.suffix == ".py" or (item / "__init__.py").exists())
    }


def test_contributing_lists_the_layers_from_the_top() -> None:
    names = iter(documented("sweeper"))
    exist = existing("sweeper")
    found = [{next(names) for _ in layer & exist} for layer in LAYERS]
    assert found == [layer & exist for layer in LAYERS]
    assert list(names) == []
    assert exist <= set().union(*LAYERS)


def test_contributing_says_what_each_package_may_import() -> None:
    exist = existing("sweeper")
    rows = documented("sweeper")
    for layer, below in zip(LAYERS, [*LAYERS[1:], set[str]()], strict=True):
        beside = {name: {other for own, other in BESIDE if own == name} for name in layer & exist}
        for name, others in beside.items():
            listed = set(re.findall(r"`([\w.]+)`", rows[name].rpartition("|")[2]))
            assert listed == (below & exist) | others, name


def test_contributing_lists_the_model_families() -> None:
    assert documented("models").keys() == existing("models")


def test_errors_say_what_is_public() -> None:
    from sweeper import errors

    public = [
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and item.__module__ == errors.__name__
    ]
    assert sorted(errors.__all__) == sorted(public)
    assert errors.__doc__ is not None
    raised = [name for name in public if issubclass(getattr(errors, name), Exception)]
    assert all(name in errors.__doc__ for name in raised)
