"""Paths as people set them in variables and options: expanded, or refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sweeper.errors import HostError

__all__ = ["expanded", "xdg_folder"]


def expanded(text: str, name: str) -> Path:
    """The path that `text` means; `name` is the variable or option that it comes from.

    No shell expands what stands in a Dockerfile's ENV, a systemd unit or an .env file. A leading
    ``~`` is the home folder; an empty path and one with a ``$VARIABLE`` raise `HostError`.
    """
    if not text.strip():
        raise HostError(f"{name} is empty: give it a path, or unset it")
    if re.match(r"(.*/)?\$(\w|\{)", text):
        raise HostError(f"{name}={text}: nothing has expanded the variable in it; give the path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise HostError(
            f"{name}={text}: the home folder that `~` stands for isn't known; give the whole path"
        ) from error


def xdg_folder(inherited: Mapping[str, str], variable: str, usual: str) -> Path | None:
    """Where programs keep files of a kind, by the XDG specification: it ignores relative paths.

    `usual` is the folder in the home folder; None where no home is known. Raises as `expanded`.
    """
    asked = inherited.get(variable)
    if asked and (path := expanded(asked, variable)).is_absolute():
        return path
    home = inherited.get("HOME")
    return Path(home).absolute() / usual if home else None
