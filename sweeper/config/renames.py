"""Parameters that a trainer has renamed: old records keep their ids, and are read with new keys.

An id is a hash of the config with its keys. So that it outlives a rename, it's hashed with the old
key: the first one, where several old keys have become the same new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from sweeper.config.container_types import AnyType, MappingType
from sweeper.config.field_types import canonical_json
from sweeper.config.run_config import from_plain, run_id
from sweeper.config.schema import schema_of, section_type
from sweeper.config.section_types import Schema
from sweeper.errors import TrainerError
from sweeper.keys import moved
from sweeper.suggest import meant
from sweeper.trainer import Trainer

__all__ = ["as_hashed", "check_renamed", "is_id_of", "recorded_config"]

# Combinations of old and new keys that are tried for one record.
_MOST_SPELLINGS = 256


def check_renamed(trainer: Trainer) -> None:
    """Raises `TrainerError` for old keys that still are fields, and for new ones that are none."""
    schema = schema_of(trainer.Config)
    for old, new in trainer.renamed.items():
        said = f"trainer {trainer.name!r}: `renamed` has `{old}` → `{new}`, but"
        if _has(schema, old):
            raise TrainerError(f"{said} `{old}` is still a field of its Config: remove one of them")
        if not _has(schema, new):
            near = meant(new, _paths(schema))
            raise TrainerError(f"{said} its Config has no field `{new}`{near}")


def _has(schema: Schema, key: str) -> bool:
    name, _, rest = key.partition(".")
    field_type = schema.fields.get(name)
    if field_type is None or not rest:
        return field_type is not None
    section = section_type(field_type)
    if section is None:
        return isinstance(field_type, AnyType | MappingType)
    return any(_has(schema_of(cls), rest) for cls in section.classes)


def _paths(schema: Schema, *, depth: int = 3) -> Iterator[str]:
    """The dotted keys of all fields; a dataclass may contain itself, so only so deep."""
    for name, field_type in schema.fields.items():
        yield name
        section = section_type(field_type)
        for cls in section.classes if section is not None and depth else ():
            for path in _paths(schema_of(cls), depth=depth - 1):
                yield f"{name}.{path}"


def recorded_config(trainer: Trainer, stored: Mapping[str, Any]) -> Any:
    """The config that a record holds, whichever keys it had then. Raises `ConfigError`."""
    return from_plain(trainer.Config, moved(stored, trainer.renamed))


def as_hashed(config_json: str, renamed: Mapping[str, str]) -> str:
    """The canonical JSON of a config with the keys with which its id is hashed."""
    if not renamed:
        return config_json
    return canonical_json(moved(json.loads(config_json), _first_keys(renamed)))


def _first_keys(renamed: Mapping[str, str]) -> dict[str, str]:
    """New key → the first of its old keys."""
    found: dict[str, str] = {}
    for old, new in renamed.items():
        found.setdefault(new, old)
    return found


def is_id_of(run: str, trainer: Trainer, plain_config: Mapping[str, Any]) -> bool:
    """Whether the id is that of the config with any of the keys that it has had."""
    olds: dict[str, list[str]] = {}
    for old, new in trainer.renamed.items():
        olds.setdefault(new, []).append(old)
    spellings = product(*([*names, new] for new, names in olds.items()))
    return any(
        run == run_id(trainer.name, moved(plain_config, _moves(olds, names)))
        for names in islice(spellings, _MOST_SPELLINGS)
    )


def _moves(olds: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    return {new: name for new, name in zip(olds, names, strict=True) if name != new}
