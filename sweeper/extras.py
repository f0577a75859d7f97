"""Packages that only some uses of sweeper need, and how to install one that is missing."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from importlib.util import find_spec

__all__ = ["extra_of", "how_to_install", "missing"]

_REQUIREMENT = re.compile(r"([\w.-]+).*extra\s*==\s*[\"']([\w-]+)[\"']")


def how_to_install(module: str) -> str:
    """What to do about a module that can't be imported, as the ending of a message.

    The command names the extra of sweeper that brings the module's package, where one does.
    """
    name = module.partition(".")[0]
    extra = extra_of(name)
    wanted = f"'sweeper[{extra}]'" if extra else name
    return f"`{name}` isn't installed: pip install {wanted}"


def missing(modules: Iterable[str]) -> str | None:
    """The first of the modules whose top-level package isn't installed; imports nothing."""
    for module in modules:
        name = module.partition(".")[0]
        if find_spec(name) is None:
            return name
    return None


def extra_of(package: str) -> str | None:
    """The extra of sweeper that brings a package; None if none does."""
    try:
        requirements = importlib.metadata.requires("sweeper") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match and match[1].replace("-", "_").lower() == package.lower():
            return match[2]
    return None
