"""`--set key=value`: what a command line says instead of a file, for single keys.

An override is put into the tree of the file before that is read: types, ranges, axes and errors are
those of the file. A sweep file keeps overrides as a list under the key `--set`, which no field of a
Config can have, so that the copy in a group's folder repeats the launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from sweeper.config.axes import ConfigPart, paths
from sweeper.config.container_types import AnyType, MappingType
from sweeper.config.field_types import BoundedType, FieldType, Misfit, MisfitError
from sweeper.config.problems import Report
from sweeper.config.run_config import to_yaml
from sweeper.config.schema import as_section, schema_of, section_type
from sweeper.config.section_types import MISSING, Schema, Section, SectionType, sentence
from sweeper.config.yaml_nodes import (
    Entry,
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    data_of,
    node_of,
    parse,
    parse_value,
)
from sweeper.errors import ConfigError, Mark
from sweeper.keys import joined
from sweeper.suggest import listed, meant, shown

__all__ = [
    "KEY",
    "Override",
    "Reserved",
    "overridden",
    "override_config",
    "read_overrides",
    "with_overrides",
]

KEY = "--set"
# Sections inside sections, for the paths of a Config that contains itself.
_MAX_DEPTH = 8
_MAX_PATHS = 5_000

Reserved = Mapping[str, Sequence[str]]
"""The other keys of a sweep file, with the keys inside each."""


@dataclass(frozen=True)
class Override:
    """One `key=value`; `value` is a list that can only be an axis where commas separate values."""

    text: str
    key: str
    mark: Mark
    value: Node


def read_overrides(
    arguments: Sequence[str], stored: Entry | None, report: Report
) -> tuple[Override, ...]:
    """The overrides of a file's key `--set`, then those of the command line."""
    found = [*_stored(stored, report)] if stored is not None else []
    for text in arguments:
        found += _read(text, partial(Mark, 1, argument=text or " "), report)
    return tuple(found)


def _stored(entry: Entry, report: Report) -> Iterator[Override]:
    items = entry.value.items if isinstance(entry.value, ListNode) else ()
    texts = [item for item in items if isinstance(item, ScalarNode) and isinstance(item.value, str)]
    if not items or len(texts) < len(items):
        example = "a list of overrides, such as `[lr=1e-3, seeds=3]`"
        report.error(entry.value.mark, f"{KEY}: expected {example}")
    for item in texts:
        yield from _read(item.text, partial(_inside, item), report)


def _inside(item: ScalarNode, col: int) -> Mark:
    """The place of a column of a text in the file, a quotation mark before it counted."""
    return Mark(item.mark.line, item.mark.col + col - (1 if item.plain else 0))


def _read(text: str, place: Callable[[int], Mark], report: Report) -> Iterator[Override]:
    """One override, or none with the error reported; `place` makes a mark of a column."""
    key, equals, value = text.partition("=")
    said = f"`{shown(text)}`"
    if not text.isprintable():
        report.error(place(1), f"{said}: an override is one line of printable characters")
    elif not equals:
        report.error(place(1), f"{said}: expected `key=value`")
    elif not key.strip():
        report.error(place(1), f"{said}: a key is missing before `=`")
    else:
        inner = Report("")
        node = parse_value(value, len(key) + 1, inner)
        for problem in inner.problems:
            col = min(problem.col or 1, len(text) + 1)
            report.error(place(col), f"{key.strip()}: {problem.message}")
        if node is not None and not inner.errors():
            first = len(key) - len(key.lstrip()) + 1
            yield Override(text, key.strip(), place(first), _placed(node, place))


def _placed(node: Node, place: Callable[[int], Mark]) -> Node:
    """The tree with its marks where the override's text is."""
    mark = place(node.mark.col)
    if isinstance(node, ScalarNode):
        return replace(node, mark=mark)
    if isinstance(node, ListNode):
        return replace(node, items=tuple(_placed(item, place) for item in node.items), mark=mark)
    entries = tuple(
        Entry(entry.key, place(entry.mark.col), _placed(entry.value, place))
        for entry in node.entries
    )
    return MappingNode(entries, mark)


def overridden(
    root: MappingNode,
    overrides: Sequence[Override],
    defaults: Section,
    report: Report,
    reserved: Reserved,
) -> tuple[MappingNode, tuple[Override, ...]]:
    """The tree of a file with the overrides in it, and those that count.

    A key is a dotted path or an unambiguous ending of one. Of several overrides of one key in the
    file and on the command line, the last counts; a key given twice on one of them is an error.
    """
    names = _Names(root, defaults, reserved)
    counting: dict[str, Override] = {}
    for override in overrides:
        path = names.find(override, report)
        if path is None:
            continue
        before = counting.pop(path, None)
        if before is not None and bool(before.mark.argument) == bool(override.mark.argument):
            report.error(override.mark, f"{path}: is set twice: keep one")
        counting[path] = override
    for path, override in counting.items():
        root = names.without_rivals(root, path)
        try:
            root = names.put(root, path, override)
        except MisfitError as error:
            error.add_to(report)
    return root, tuple(counting.values())


def override_config(config: Any, arguments: Sequence[str]) -> Any:
    """One config with some of its values replaced. Raises `ConfigError` with every error."""
    report = Report("")
    field_type = SectionType((type(config),), None, schema_of)
    own = as_section(field_type, config)
    empty = MappingNode((), Mark())
    root, _ = overridden(empty, read_overrides(arguments, None, report), own, report, {})
    part = ConfigPart(report, own, single="one run")
    section = part.read(root)
    part.require(section)
    if not report.errors():
        try:
            return section.build()
        except Exception as error:  # whatever the user's __post_init__ raises
            report.error(Mark(1, 1, " ".join(arguments) or " "), sentence(error))
    raise ConfigError(report.errors())


def with_overrides(text: str, root: MappingNode, overrides: Sequence[Override], group: str) -> str:
    """The text of a file with the overrides under its key `--set`, so that it repeats them.

    The group is among them if the file names none: a copy of it has another name. Where they can't
    simply follow the rest (a file in braces), the whole file is written anew, without its comments.
    """
    texts = [override.text for override in overrides]
    named = {*_given(root), *(override.key for override in overrides)}
    if not named & {"group", "wandb.group"}:
        texts.append(f'group="{group}"')
    entry = root.get(KEY)
    if texts == ([] if entry is None else data_of(entry.value)):
        return text
    data = {key: value for key, value in data_of(root).items() if key != KEY} | {KEY: texts}
    lines = text.splitlines()
    if entry is not None:
        after = [one.mark.line for one in root.entries if one.mark.line > entry.mark.line]
        del lines[entry.mark.line - 1 : min(after, default=len(lines) + 1) - 1]
    appended = "\n".join(lines).rstrip() + "\n\n" + to_yaml({KEY: texts})
    report = Report("")
    again = parse(appended, report)
    same = again is not None and not report.errors() and data_of(again) == data
    return appended if same else to_yaml(data)


@dataclass(frozen=True)
class _Names:
    """What the keys of overrides mean."""

    root: MappingNode
    defaults: Section
    reserved: Reserved

    def find(self, override: Override, report: Report) -> str | None:
        """The whole path of a key; None with the error reported."""
        key = override.key
        if key.partition(".")[0] in self.reserved:
            return key  # what is wrong inside is reported when the file's key is read
        fields = [entry for entry in self.root.entries if entry.key not in self.reserved]
        here = [*paths(self.defaults), *_given(MappingNode(tuple(fields), self.root.mark))]
        anywhere = [*here, *islice(_possible(self.defaults.schema), _MAX_PATHS)]
        if key in anywhere or self._in_mapping(key, anywhere):
            return key
        inside = [joined(word, name) for word, own in self.reserved.items() for name in own]
        for known in (here, anywhere, inside):
            found = [path for path in dict.fromkeys(known) if path.endswith("." + key)]
            if len(found) == 1:
                return found[0]
            if found:
                text = f"{shown(key)}: could be {listed(found)}: write the whole path"
                report.error(override.mark, text)
                return None
        words = [*self.reserved, *(path.rpartition(".")[2] for path in anywhere), *anywhere]
        hint = meant(key, dict.fromkeys(words)) or meant(key, inside)
        report.error(override.mark, f"{shown(key)}: unknown key{hint}")
        return None

    def _in_mapping(self, key: str, known: Sequence[str]) -> bool:
        """Whether a key is an entry of a field that takes a mapping with words of the user's."""
        head, _, rest = key.rpartition(".")
        while rest and head:
            if head in known:
                return isinstance(_without_bounds(self._type_at(head)), MappingType | AnyType)
            head, _, _ = head.rpartition(".")
        return False

    def _type_at(self, path: str) -> FieldType | None:
        """The type of a field that is in a section of the defaults."""
        section: Any = self.defaults
        *outer, name = path.split(".")
        for word in outer:
            section = section.values.get(word) if isinstance(section, Section) else None
        return section.schema.fields.get(name) if isinstance(section, Section) else None

    def without_rivals(self, root: MappingNode, path: str) -> MappingNode:
        """The tree without what else says values of a key: `seeds` for `seed`, blocks of `when`."""
        if "when" in self.reserved:
            root = _outside_when(root, path)
        name = path.rpartition(".")[2]
        if name == "seed":
            return MappingNode(tuple(one for one in root.entries if one.key != "seeds"), root.mark)
        if path != "seeds":
            return root
        seeds = [one for one in _given(root) if one.rpartition(".")[2] == "seed"]
        for one in ["seed"] if "seed" in seeds else seeds[:2]:
            root = _removed(root, one)
        return root

    def put(self, root: MappingNode, path: str, override: Override) -> MappingNode:
        """The tree with one value in place of what it has at a path. Raises `MisfitError`."""
        section = None if path.partition(".")[0] in self.reserved else self.defaults
        return _put(root, path.split("."), override, section, "")


def _put(
    node: MappingNode, names: Sequence[str], override: Override, base: Any, above: str
) -> MappingNode:
    name, *rest = names
    path = joined(above, name)
    field_type = base.schema.fields.get(name) if isinstance(base, Section) else None
    before = node.get(name)
    value = override.value
    if rest:
        inner = base.values.get(name, MISSING) if isinstance(base, Section) else MISSING
        around = _around(before, field_type, inner, override, path)
        value = _put(around, rest, override, inner, path)
    entry = Entry(name, override.mark if before is None else before.mark, value)
    if not rest:
        entry = replace(entry, mark=override.mark)
    if before is None:
        return MappingNode((*node.entries, entry), node.mark)
    others = [one for one in node.entries if one.key != name or one is before]
    return MappingNode(tuple(entry if one is before else one for one in others), node.mark)


def _around(
    before: Entry | None, field_type: FieldType | None, base: Any, override: Override, path: str
) -> MappingNode:
    """The mapping that the value goes into: the file's, or what its word or the default mean."""
    value = before.value if before is not None else None
    if isinstance(value, MappingNode):
        return value
    mark = override.mark if before is None else before.value.mark
    if value is None or (isinstance(value, ScalarNode) and value.value is None):
        own = _without_bounds(field_type)
        if isinstance(own, MappingType | AnyType) and isinstance(base, dict):
            data = node_of(own.plain(base), mark)
            assert isinstance(data, MappingNode)
            return data
        return MappingNode((), mark)
    section = section_type(field_type) if field_type is not None else None
    if isinstance(value, ScalarNode) and section is not None and section.tag is not None:
        return MappingNode((Entry(section.tag, value.mark, value),), value.mark)
    lists = "a list" if isinstance(value, ListNode) else "one value"
    where = f" on line {mark.line}" if not mark.argument else ""
    text = f"`{path}` is {lists}{where}: set all of it, `{path}=…`"
    raise MisfitError([Misfit(override.mark, override.key, text)])


def _outside_when(root: MappingNode, path: str) -> MappingNode:
    """The tree with a key taken out of the blocks of `when`."""
    entry = root.get("when")
    if entry is None:
        return root
    node = entry.value
    kept: list[Node] = []
    for block in node.items if isinstance(node, ListNode) else (node,):
        if not isinstance(block, MappingNode):
            kept.append(block)
            continue
        without = _without(block, path)
        if without == block or len(without.entries) > 1:
            kept.append(without)
    changed = replace(entry, value=ListNode(tuple(kept), node.mark))
    entries = tuple(changed if one is entry else one for one in root.entries)
    return MappingNode(entries, root.mark)


def _without(node: MappingNode, path: str, key: str = "") -> MappingNode:
    """A block, or a part of one, without a key, which it may write by an ending of the path."""
    kept = []
    for entry in node.entries:
        here = joined(key, entry.key)
        if not key and entry.key == "if":
            kept.append(entry)
        elif f".{path}".endswith(f".{here}"):
            continue
        elif isinstance(entry.value, MappingNode) and entry.value.entries:
            inner = _without(entry.value, path, here)
            kept += [replace(entry, value=inner)] if inner.entries else []
        else:
            kept.append(entry)
    return MappingNode(tuple(kept), node.mark)


def _removed(node: MappingNode, path: str) -> MappingNode:
    """The tree without the entry at a path."""
    name, _, rest = path.partition(".")
    entries = []
    for entry in node.entries:
        if entry.key == name and rest and isinstance(entry.value, MappingNode):
            entries.append(replace(entry, value=_removed(entry.value, rest)))
        elif entry.key != name or rest:
            entries.append(entry)
    return MappingNode(tuple(entries), node.mark)


def _without_bounds(field_type: FieldType | None) -> FieldType | None:
    while isinstance(field_type, BoundedType):
        field_type = field_type.inner
    return field_type


def _given(node: MappingNode, key: str = "") -> Iterator[str]:
    """The dotted paths of all keys in a file."""
    for entry in node.entries:
        path = joined(key, entry.key)
        yield path
        if isinstance(entry.value, MappingNode):
            yield from _given(entry.value, path)


def _possible(schema: Schema, key: str = "", depth: int = 0) -> Iterator[str]:
    """The dotted paths of all fields of all sections that a config can have."""
    for name, field_type in schema.fields.items() if depth < _MAX_DEPTH else ():
        path = joined(key, name)
        yield path
        section = section_type(field_type)
        for cls in section.classes if section is not None else ():
            yield from _possible(schema_of(cls), path, depth + 1)
