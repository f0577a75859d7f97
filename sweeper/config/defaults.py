"""The defaults of a sweep: the trainer's Config, overridden by the nearest default.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeper.config.axes import ConfigPart
from sweeper.config.section_types import Schema, Section
from sweeper.config.sweep_keys import reserved_for
from sweeper.config.trainer_file import trainer_file
from sweeper.config.yaml_nodes import MappingNode, ScalarNode, parse
from sweeper.config.yaml_text import read_text
from sweeper.errors import Problem, TrainerError
from sweeper.trainer import DEFAULT_TRAINER, canonical_name

__all__ = ["Defaults", "read_defaults"]

FILE_NAME = "default.yaml"


@dataclass(frozen=True)
class Defaults:
    """A section with what a sweep file leaves out, the file it comes from, and what is wrong.

    `text` is that of the file.
    """

    section: Section
    file: Path | None = None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    text: str | None = None


def read_defaults(
    sweep_file: Path, trainer_name: str, schema: Schema, renamed: Mapping[str, str]
) -> Defaults:
    """The defaults for a sweep file whose trainer has the canonical name `trainer_name`.

    Looked for in the file's folder, then in the one above. A file for another trainer is passed
    over: its `trainer` must be the sweep's.
    """
    own = schema.defaults()
    here = sweep_file.absolute().parent
    for file in (here / FILE_NAME, here.parent / FILE_NAME):
        if not file.is_file() or file == sweep_file.absolute():
            continue
        text, report = read_text(_short(file))
        root = parse(text, report) if text is not None else None
        if root is None:
            return Defaults(own, _short(file), tuple(report.errors()))
        try:
            if _trainer_of(root, file.parent) != trainer_name:
                continue
        except (TrainerError, ValueError) as error:  # declared twice; a file that isn't there
            report.error(root.mark, str(error))
            return Defaults(own, _short(file), tuple(report.errors()))
        reserved = reserved_for(schema)
        for entry in root.entries:
            if entry.key in reserved and entry.key != "trainer":
                report.error(
                    entry.mark, f"{entry.key}: belongs in a sweep file, not in default.yaml"
                )
        fields = tuple(entry for entry in root.entries if entry.key not in reserved)
        part = ConfigPart(report, own, known=("trainer",), single="a default", renamed=renamed)
        section = part.read(MappingNode(fields, root.mark))
        errors, warnings = tuple(report.errors()), tuple(report.warnings())
        return Defaults(section, _short(file), errors, warnings, text)
    return Defaults(own)


def _trainer_of(root: MappingNode, folder: Path) -> object:
    entry = root.get("trainer")
    if entry is None or not isinstance(entry.value, ScalarNode):
        return DEFAULT_TRAINER
    name = entry.value.value
    if not isinstance(name, str):
        return name
    file = trainer_file(name, folder)
    return canonical_name(name if file is None else file.name)


def _short(file: Path) -> Path:
    """The path as seen from the current directory, if the file is in or below it."""
    try:
        return file.relative_to(Path.cwd())
    except (ValueError, OSError):
        return file
