"""What a config is in plain data, in YAML, and as a run's id.

A run's id is a hash of the resolved config and the trainer's name, so it's the same on every
machine and under every order of keys. Whatever changes it would train finished runs again:
`tests/config/test_run_config.py` pins some ids.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sweeper.config.field_types import Coercion, MisfitError, canonical_json
from sweeper.config.identity import identifying
from sweeper.config.schema import schema_of
from sweeper.config.section_types import SectionType
from sweeper.config.yaml_nodes import data_of, node_of, parse, resolve
from sweeper.config.yaml_text import read_text
from sweeper.errors import ConfigError, Problem
from sweeper.untrusted import plain_file

__all__ = [
    "from_plain",
    "identity",
    "inline_yaml",
    "plain",
    "read_config",
    "run_id",
    "run_id_of_json",
    "to_yaml",
]

# 50 bits: among a million runs of one group the chance of any collision is 1 in 2,000.
ID_LENGTH = 10

# Lists of up to this many characters stay on one line.
LINE_WIDTH = 88


def plain(config: Any) -> dict[str, Any]:
    """A config as data of JSON's types, nested, keys in the order of the fields.

    Tuples become lists and integers in float fields floats. Raises `ConfigError` where a value
    isn't of its field's type, as `__init__` checks none.
    """
    try:
        return SectionType((type(config),), None, schema_of).plain(config)
    except (TypeError, ValueError) as error:
        raise ConfigError([Problem("", 0, 0, f"{type(config).__name__}: {error}")]) from error


def from_plain(ConfigType: type, data: Mapping[str, Any]) -> Any:
    """The config that `plain` wrote; keys that are left out get the defaults.

    Raises `ConfigError` with every error.
    """
    field_type = SectionType((ConfigType,), None, schema_of)
    try:
        if not isinstance(data, Mapping):
            raise TypeError(f"expected a mapping, got {type(data).__name__}")
        return field_type.fit(node_of(dict(data)), Coercion.LAX, "")
    except MisfitError as error:
        raise ConfigError([Problem("", 0, 0, str(misfit)) for misfit in error.misfits]) from error
    except TypeError as error:
        raise ConfigError([Problem("", 0, 0, str(error))]) from error


def identity(config: Any) -> dict[str, Any]:
    """The part of `plain(config)` that the run's id is made from; see `Formerly`."""
    found: dict[str, Any] = identifying(config, plain(config))
    return found


def run_id(trainer_name: str, plain_config: Mapping[str, Any]) -> str:
    """The id of a run: 10 characters of `a`-`z` and `2`-`7`.

    `plain_config` comes from `identity`. Raises `ConfigError` for values that JSON lacks (NaN).
    """
    try:
        return run_id_of_json(trainer_name, canonical_json(_without_minus_zero(plain_config)))
    except (TypeError, ValueError) as error:
        raise ConfigError([Problem("", 0, 0, f"no run id for this config: {error}")]) from error


def run_id_of_json(trainer_name: str, config_json: str) -> str:
    """The id of a run from the canonical JSON text of its config."""
    digest = hashlib.sha256(f"{trainer_name}\n{config_json}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:ID_LENGTH]


def _without_minus_zero(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _without_minus_zero(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_minus_zero(value) for value in data]
    return data + 0.0 if isinstance(data, float) else data


class _Dumper(yaml.SafeDumper):
    """Blocks for mappings, one line for short lists; quotes what either YAML would misread."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    inline = not any(isinstance(item, dict) for item in data) and len(str(data)) <= LINE_WIDTH
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=inline)


def _represent_text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # PyYAML quotes what YAML 1.1 would misread; words that only our reading takes for numbers
    # (1e-3) need it as well. In single quotes, rare ends of lines would be read as spaces.
    style = None if isinstance(resolve(data), str) else "'"
    style = '"' if any(end in data for end in "\x85\u2028\u2029") else style
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


def to_yaml(config: Any) -> str:
    """A config as YAML that reads back to it, here and in any other YAML reader.

    `config` is a config or what `plain` makes of it.
    """
    data = dict(config) if isinstance(config, Mapping) else plain(config)
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=LINE_WIDTH + 20,
    )


def inline_yaml(data: Any) -> str:
    """Plain data as YAML on one line, to stand inside other YAML."""
    text = yaml.dump([data], Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=1e9)
    text = text.strip()[1:-1]
    return json.dumps(data) if "\n" in text else text  # YAML breaks text at the ends of its lines


def read_config(path: Path) -> dict[str, Any]:
    """The file's mapping as plain data, not compared with any trainer.

    Raises `ConfigError` with every error of the YAML text.
    """
    text, report = read_text(path, opener=plain_file)
    root = parse(text, report) if text is not None else None
    if root is None or report.errors():
        raise ConfigError(report.errors())
    data: dict[str, Any] = data_of(root)
    return data
