"""Imports point one way, and fast commands import nothing slow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Which rooms of sweeper each room may import from, itself aside.
ARROWS = {
    "errors": {"config"},  # for types alone
    "trainer": {"errors"},
    "openers": set(),
    "printable": set(),
    "records": {"errors", "openers"},
    "config": {"errors", "openers", "trainer"},
    "plan": {"errors", "trainer", "config", "records"},
    "engine": {"errors", "openers", "printable", "trainer", "config", "records", "plan"},
    "report": {"errors", "printable", "config", "records", "plan", "engine"},
    "launch": {"errors", "trainer", "config", "records", "plan", "engine"},
    "mirror": {"errors", "records"},
    "cli": {
        "errors",
        "printable",
        "trainer",
        "config",
        "records",
        "plan",
        "engine",
        "report",
        "launch",
    },
}
SLOW = {"ray", "jax", "jaxlib", "matplotlib", "wandb", "diffrax", "equinox", "optax", "scipy"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room_of(file: Path) -> str:
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


@pytest.mark.parametrize("file", modules("sweeper"), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_follow_the_arrows(file: Path) -> None:
    room = room_of(file)
    for name in imported(file):
        parts = name.split(".")
        assert parts[0] != "models", f"sweeper knows no model family, but imports {name}"
        if parts[0] == "sweeper" and len(parts) > 1 and room != "__init__":
            assert parts[1] in ARROWS[room] | {room}, f"{room} may not import {name}"


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


def test_errors_say_what_is_public() -> None:
    from sweeper import errors

    public = [
        name
        for name, item in vars(errors).items()
        if isinstance(item, type) and item.__module__ == errors.__name__
    ]
    assert sorted(errors.__all__) == sorted(public)
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in public)
