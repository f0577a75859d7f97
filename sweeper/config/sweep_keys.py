"""The keys of a sweep file that aren't fields of the config: group, wandb, seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sweeper.config.axes import AxisPlaceholder, ConfigPart, DraftAxis, leaves, replaced, several
from sweeper.config.field_types import Coercion, FieldType, MisfitError, TextType
from sweeper.config.overrides import KEY
from sweeper.config.problems import Report
from sweeper.config.resources import Written
from sweeper.config.schema import schema_of
from sweeper.config.section_types import Schema, Section, SectionType
from sweeper.config.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode
from sweeper.errors import Mark
from sweeper.suggest import listed, shown

__all__ = [
    "INSIDE",
    "NAME",
    "RESERVED",
    "WHEN",
    "Wandb",
    "read_group",
    "read_seeds",
    "read_wandb",
    "reserved_for",
    "text_of",
    "why_no_group",
]


# Each seed is an axis value that is held in memory; more of them are a mistake.
MAX_SEEDS = 100_000


@dataclass(frozen=True)
class Wandb:
    """What a sweep file may say about W&B; the names are W&B's own."""

    group: str | None = None
    project: str | None = None
    entity: str | None = None
    name: str | None = None
    notes: str | None = None
    tags: tuple[str, ...] | None = None
    mode: Literal["online", "offline", "disabled", "shared"] | None = None


# The keys of a sweep file that aren't parameters, with the keys inside each.
INSIDE: Mapping[str, tuple[str, ...]] = {
    "trainer": (),
    "group": (),
    "wandb": tuple(Wandb.__dataclass_fields__),
    "zip": (),
    "exclude": (),
    "only": (),
    "seeds": (),
    "resources": tuple(schema_of(Written).fields),
    KEY: (),
}
RESERVED = tuple(INSIDE)
# Reserved only where the Config has no field of that name: they came after files that might have
# one.
WHEN = "when"
NAME = "name"


def reserved_for(schema: Schema) -> Mapping[str, tuple[str, ...]]:
    """The keys that aren't parameters in files for this Config, with the keys inside each."""
    return {**INSIDE, **{key: () for key in (WHEN, NAME) if key not in schema.fields}}


def _fit(field_type: FieldType, node: Node, key: str, report: Report) -> Any:
    """The value, or None with every error reported."""
    try:
        return field_type.fit(node, Coercion.LAX, key)
    except MisfitError as error:
        error.add_to(report)
        return None


def text_of(entry: Entry, report: Report) -> str | None:
    """The text that a key has; None with the error reported."""
    found: str | None = _fit(TextType(), entry.value, entry.key, report)
    return found


def read_wandb(entry: Entry | None, report: Report) -> Mapping[str, Any]:
    """What the file says for W&B, `group` among it."""
    if entry is None or (isinstance(entry.value, ScalarNode) and entry.value.value is None):
        return {}
    found = _fit(SectionType((Wandb,), None, schema_of), entry.value, "wandb", report)
    if found is None:
        return {}
    given = {name: value for name, value in dataclasses.asdict(found).items() if value is not None}
    return {name: list(value) if name == "tags" else value for name, value in given.items()}


def read_group(
    path: Path, entry: Entry | None, wandb_entry: Entry | None, wandb: Any, report: Report
) -> str:
    """The name of the group: `group`, else `wandb.group`, else the file's name without `.yaml`.

    It becomes the name of a folder, so it's checked to be one.
    """
    inner = wandb_entry.value if wandb_entry is not None else None
    second = next((one for one in getattr(inner, "entries", ()) if one.key == "group"), None)
    places = [one for one in (entry, second) if one is not None]
    if not places:
        report_at, group, advice = Mark(), path.stem, "; give `group` in the file"
    else:
        report_at, advice = places[0].value.mark, ""
        group = (text_of(entry, report) or "") if entry is not None else wandb.get("group", "")
        if not isinstance(places[0].value, ScalarNode) or not isinstance(
            places[0].value.value, str
        ):
            return group  # reported already
        if len(places) == 2 and wandb.get("group", group) != group:
            said = f"`{shown(group)}` here, `{shown(wandb['group'])}` as `wandb.group`"
            report.error(report_at, f"group: {said}: keep one")
    reason = why_no_group(group)
    if reason:
        report.error(report_at, f"group: `{shown(group)}` {reason}{advice}")
    return group


def why_no_group(group: str) -> str | None:
    """Why a text can't be the name of a group."""
    if not group.strip():
        return "is empty"
    if len(group) > 100 or len(group.encode("utf-8", "replace")) > 200:
        return "is longer than 100 characters"
    if "/" in group or "\\" in group or group in (".", ".."):
        return "is a path: give a name, the group's folder is made in the runs directory"
    odd = sorted({char for char in group if not (char.isalnum() or char in " ._-+=,@()")})
    if odd:
        said = ", ".join(ascii(char) for char in odd)
        return f"has {said}: only letters, digits, spaces and . _ - + = , @ ( ) are allowed"
    if not (group[0].isalnum() or group[0] == "_") or group[-1] == " ":
        return "must begin with a letter, a digit or `_`, and not end with a space"
    return None


def read_seeds(entry: Entry, section: Section, part: ConfigPart) -> Section:
    """The section with the seeds filled in, as an axis where there are several."""
    report, node = part.report, entry.value
    paths = {
        path: field_type for path, field_type, _ in leaves(section) if path.split(".")[-1] == "seed"
    }
    if "seed" in paths:
        paths = {"seed": paths["seed"]}
    if not paths:
        report.error(entry.mark, "seeds: the config has no field `seed`")
        return section
    if len(paths) > 1:
        report.error(
            entry.mark, f"seeds: could fill {listed(paths)}: list the values of the one you mean"
        )
        return section
    ((path, field_type),) = paths.items()
    if path in part.given:
        line = part.given[path].line
        report.error(entry.mark, f"seeds: `{path}` is given too, on line {line}: keep one of them")
        return section
    try:
        values, nodes = _seeds(node, field_type)
    except MisfitError as error:
        error.add_to(report)
        return section
    except ValueError as error:
        report.error(node.mark, f"seeds: {error}")
        return section
    if len(values) == 1:
        return replaced(section, path, values[0])
    part.axes.append(DraftAxis(path, field_type, values, nodes, entry.mark))
    return replaced(section, path, AxisPlaceholder(len(part.axes) - 1))


def _seeds(node: Node, field_type: FieldType) -> tuple[list[Any], list[Node]]:
    """The seeds of a number (5 means 0 to 4) or of a list. Raises ValueError, MisfitError."""
    if isinstance(node, ListNode | MappingNode):
        return several(field_type, node, "seeds")
    number = node.value if isinstance(node, ScalarNode) else None
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_SEEDS:
        raise ValueError(
            f"expected how many seeds (1 to {MAX_SEEDS}, 5 means 0, 1, 2, 3, 4) or a list of seeds"
        )
    nodes: list[Node] = [
        ScalarNode(seed, str(seed), plain=False, mark=node.mark) for seed in range(number)
    ]
    return [field_type.fit(one, Coercion.LAX, "seeds") for one in nodes], nodes
