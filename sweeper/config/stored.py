"""A single config in a file: a run's config.yaml, or one written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweeper.config.yaml_nodes import data_of, parse, read_text
from sweeper.errors import ConfigError
from sweeper.untrusted import plain_file

__all__ = ["read_config"]


def read_config(path: Path) -> dict[str, Any]:
    """The file's mapping as plain data, not compared with any trainer.

    Raises `ConfigError` with every fault of the YAML text.
    """
    text, report = read_text(path, opener=plain_file)
    root = parse(text, report) if text is not None else None
    if root is None or report.errors():
        raise ConfigError(report.errors())
    data: dict[str, Any] = data_of(root)
    return data
