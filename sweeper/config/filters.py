"""`zip`, `exclude` and `only` of a sweep file, read against its axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sweeper.config.axes import AxisPlaceholder, DraftAxis, leaves, several
from sweeper.config.field_types import FieldType, MisfitError, canonical_json
from sweeper.config.grid import RowFilter
from sweeper.config.problems import Report
from sweeper.config.schema import as_section, section_type
from sweeper.config.section_types import MISSING, Section, SectionType
from sweeper.config.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode
from sweeper.errors import Mark
from sweeper.keys import joined, labels
from sweeper.suggest import listed, meant, shown

__all__ = [
    "Cell",
    "Dimension",
    "Names",
    "Subject",
    "condition_of",
    "dimensions",
    "in_rows",
    "read_condition",
    "read_conditions",
    "read_zip",
]


@dataclass(frozen=True)
class Cell:
    """What a condition is compared with: one value with its type."""

    field_type: FieldType
    json: str
    plain: Any


@dataclass(frozen=True)
class Subject:
    """What a key of a condition means: an axis, a field within its values, or a fixed field.

    `cells` has an entry per value of the axis, None where that value lacks the field; for a fixed
    field, one entry and no axis. `words` are all that the field could be where it says which of
    several sections there is.
    """

    key: str
    axis: int | None
    cells: tuple[Cell | None, ...]
    words: tuple[str, ...] = ()


@dataclass
class Names:
    """Finds what a key of the user's means, by its dotted path or an unambiguous ending of it.

    `failed` are the paths of keys with errors: what depends on them isn't reported. `subjects` are
    what the paths mean, made of the axes and the fixed fields unless they are given.
    """

    report: Report
    axes: Sequence[DraftAxis]
    fixed: Section
    failed: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.subjects:
            return
        for path, field_type, value in leaves(self.fixed):
            if value is not MISSING and not isinstance(value, AxisPlaceholder):
                self.subjects[path] = Subject(path, None, (_cell(field_type, value),))
        for index, axis in enumerate(self.axes):
            whole = tuple(_cell(axis.field_type, value) for value in axis.values)
            self.subjects[axis.key] = Subject(axis.key, index, whole)
            for path, cells in _inner_cells(axis).items():
                self.subjects[path] = Subject(path, index, cells)
        for path, section in self.tagged():
            tag = joined(path, str(section.tag))
            if tag in self.subjects:
                self.subjects[tag] = replace(self.subjects[tag], words=section.candidates())

    def tagged(self) -> Iterator[tuple[str, SectionType]]:
        """Paths and types of all sections that are one of several kinds."""
        for axis in self.axes:
            found = section_type(axis.field_type)
            if found is not None and found.tag is not None:
                yield axis.key, found
        yield from _tagged(self.fixed, "")

    def find(self, word: str, mark: Mark, what: str, *, among_axes: bool = True) -> Subject | None:
        """The subject of a key; None, with an error reported, if there are none or several.

        A misspelt key was probably meant to be an axis, if one of those is expected.
        """
        if self._depends_on_an_error(word):
            return None
        if word in self.subjects:
            return self.subjects[word]
        ending = [path for path in self.subjects if path.endswith("." + word)]
        varying = [path for path in ending if self.subjects[path].axis is not None]
        # An axis itself comes before the fields inside the values of another one.
        own = [path for path in varying if any(path == axis.key for axis in self.axes)]
        found = own or varying or ending
        if len(found) == 1:
            return self.subjects[found[0]]
        if found:
            message = f"{what}: `{shown(word)}` could be {listed(found)}: write the whole path"
        else:
            known = labels([axis.key for axis in self.axes])
            known_words = [*known.values(), *known] if among_axes else []
            message = f"{what}: `{shown(word)}` is not a key of the config"
            message += (
                self._new_key(word)
                or meant(word, known_words)
                or meant(word, [*self.subjects, *labels(list(self.subjects)).values()])
            )
        self.report.error(mark, message)
        return None

    def is_section(self, word: str) -> bool:
        """Whether there are keys inside what a key means."""
        return any(f".{word}." in f".{path}" for path in self.subjects)

    def _new_key(self, word: str) -> str:
        old = next((old for old in self.renamed if f".{old}".endswith(f".{word}")), None)
        return f"; renamed to `{self.renamed[old]}`" if old else ""

    def _depends_on_an_error(self, word: str) -> bool:
        parts = word.split(".")
        return any(
            bad == word or bad.endswith("." + word) or bad.split(".")[-1] in parts
            for bad in self.failed
        )


def _tagged(section: Section, key: str) -> Iterator[tuple[str, SectionType]]:
    for name, value in section.values.items():
        if not isinstance(value, Section):
            continue
        found = section_type(section.schema.fields[name])
        if found is not None and found.tag is not None:
            yield joined(key, name), found
        yield from _tagged(value, joined(key, name))


def _cell(field_type: FieldType, value: Any) -> Cell:
    plain = field_type.plain(value)
    return Cell(field_type, canonical_json(plain), plain)


def _inner_cells(axis: DraftAxis) -> dict[str, tuple[Cell | None, ...]]:
    """For an axis of whole sections, the fields inside them by path."""
    if section_type(axis.field_type) is None:
        return {}
    found: dict[str, list[Cell | None]] = {}
    for index, value in enumerate(axis.values):
        section = as_section(axis.field_type, value)
        if isinstance(section, Section):
            for path, field_type, inner in leaves(section, axis.key):
                cells = found.setdefault(path, [None] * len(axis.values))
                cells[index] = _cell(field_type, inner)
    return {path: tuple(cells) for path, cells in found.items()}


def read_zip(node: Node, names: Names) -> list[tuple[int, ...]]:
    """Groups of axes that move together in file order; keys with one value drop out."""
    report = names.report
    if isinstance(node, ScalarNode) and node.value is None:
        return []  # as `--set zip=` writes it
    if not isinstance(node, ListNode):
        report.error(node.mark, "zip: expected a list of keys, or a list of lists of keys")
        return []
    grouped = [item for item in node.items if isinstance(item, ListNode)]
    if grouped and len(grouped) != len(node.items):
        report.error(
            node.mark, "zip: expected a list of keys, or a list of lists of keys, not both"
        )
        return []
    groups: list[tuple[int, ...]] = []
    taken: dict[int, str] = {}
    for group in grouped or [node]:
        found = _zip_group(group, names, taken)
        if len(found) > 1:
            groups.append(tuple(sorted(found)))
    return groups


def _zip_group(group: ListNode, names: Names, taken: dict[int, str]) -> list[int]:
    report = names.report
    lengths: list[tuple[str, int]] = []
    found: list[int] = []
    for item in group.items:
        if not (isinstance(item, ScalarNode) and isinstance(item.value, str)):
            report.error(item.mark, "zip: expected the key of an axis")
            return []
        if item.value == "seeds":
            report.error(
                item.mark, "zip: `seeds` can't be zipped: list the values of `seed` instead"
            )
            return []
        subject = names.find(item.value, item.mark, "zip")
        if subject is None:
            return []
        axis = subject.axis
        if axis is None:
            lengths.append((item.value, 1))
            continue
        if names.axes[axis].key != subject.key:
            inside = names.axes[axis].key
            report.error(item.mark, f"zip: `{shown(item.value)}` is part of the axis `{inside}`")
            return []
        if names.axes[axis].conditional or names.axes[axis].cases:
            text = f"zip: `{subject.key}` has values that depend on a `when`: it can't be zipped"
            report.error(item.mark, text)
            return []
        if axis in taken:
            report.error(item.mark, f"zip: `{subject.key}` is zipped twice")
            return []
        taken[axis] = subject.key
        found.append(axis)
        lengths.append((item.value, len(names.axes[axis].values)))
    if len(lengths) < 2:
        report.error(group.mark, "zip: a group needs at least two keys")
        return []
    first, length = lengths[0]
    for other, other_length in lengths[1:]:
        if other_length != length:
            report.error(
                group.mark,
                f"zip: `{first}` has {_values(length)} and `{other}` has {_values(other_length)}:"
                " zipped keys need equally many",
            )
            return []
    return found


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


@dataclass(frozen=True)
class Dimension:
    """Axes that move together (mostly one), and the index of their values in each row."""

    axes: tuple[int, ...]
    rows: tuple[int, ...]


def dimensions(
    axes: Sequence[DraftAxis], groups: Sequence[tuple[int, ...]], report: Report
) -> list[Dimension]:
    """The dimensions of the grid in file order; rows that repeat an earlier one are left out.

    A repeated row is a warning, as the runs would be the same.
    """
    group_of = {axis: group for group in groups for axis in group}
    found: list[Dimension] = []
    for index in range(len(axes)):
        members = group_of.get(index, (index,))
        if index != members[0]:
            continue
        together = [axes[member] for member in members]
        texts = [
            [canonical_json(axis.field_type.plain(value)) for value in axis.values]
            for axis in together
        ]
        first: dict[tuple[str, ...], int] = {}
        for row, key in enumerate(zip(*texts, strict=True)):
            before = first.setdefault(key, row)
            if before != row:
                node, earlier = together[0].nodes[row], together[0].nodes[before]
                keys = " and ".join(f"`{axis.key}`" for axis in together)
                report.warn(
                    node.mark,
                    f"{keys}: value {row + 1} repeats value {before + 1} "
                    f"(line {earlier.mark.line}, column {earlier.mark.col}); it runs once",
                )
        found.append(Dimension(members, tuple(first.values())))
    return found


def read_conditions(
    entry: Entry | None, names: Names, grid: Sequence[Dimension]
) -> list[RowFilter] | None:
    """The conditions of `exclude` or `only` in terms of dimensions and rows; None if not given.

    Conditions that can hold for no point are left out, with a warning that says which value
    doesn't occur.
    """
    if entry is None or (isinstance(entry.value, ScalarNode) and entry.value.value is None):
        return None
    what, node = entry.key, entry.value
    items = node.items if isinstance(node, ListNode) else (node,)
    if not items and what == "only":
        names.report.error(node.mark, "only: an empty list keeps no run: remove it")
    found = []
    for item in items:
        if not isinstance(item, MappingNode):
            names.report.error(item.mark, f"{what}: expected a mapping of keys to values")
        elif not item.entries:
            names.report.error(item.mark, f"{what}: an empty condition matches every run")
        else:
            condition = read_condition(item, names, what, grid)
            if condition is not None:
                found.append(condition)
    return found


def read_condition(
    node: MappingNode, names: Names, what: str, grid: Sequence[Dimension]
) -> RowFilter | None:
    """One condition in terms of dimensions and rows; None with a report if it can't hold."""
    condition = condition_of(node, names, what)
    return None if condition is None else in_rows(condition, grid)


def condition_of(node: MappingNode, names: Names, what: str) -> Mapping[int, frozenset[int]] | None:
    """Axis → wanted value indices; None if the condition can't hold, or has an error."""
    wanted: dict[int, frozenset[int]] = {}
    possible = True
    for entry in node.entries:
        subject = names.find(entry.key, entry.mark, what)
        if subject is None:
            possible = False
            continue
        rows = _matching(subject, entry.value, names.report, what)
        if not rows:
            possible = False
        elif subject.axis is not None:
            wanted[subject.axis] = wanted.get(subject.axis, rows) & rows
    return wanted if possible else None


def _matching(subject: Subject, node: Node, report: Report, what: str) -> frozenset[int]:
    """Which cells equal the value, or one of the values; a value that none equals is reported."""
    field_types: list[FieldType] = []
    rows_of: dict[tuple[int, str], set[int]] = {}
    for row, cell in enumerate(subject.cells):
        if cell is not None:
            if cell.field_type not in field_types:
                field_types.append(cell.field_type)
            rows_of.setdefault((field_types.index(cell.field_type), cell.json), set()).add(row)
    rows: set[int] = set()
    errors: list[MisfitError] = []
    met: dict[Mark, tuple[Node, bool]] = {}
    for number, field_type in enumerate(field_types):
        try:
            values, nodes = several(field_type, node, subject.key)
        except MisfitError as error:
            errors.append(error)
            continue
        for value, its_node in zip(values, nodes, strict=True):
            equal = rows_of.get((number, canonical_json(field_type.plain(value))), set())
            rows |= equal
            before = met.get(its_node.mark, (its_node, False))[1]
            met[its_node.mark] = (its_node, before or bool(equal))
    if len(errors) == len(field_types):
        if subject.words and isinstance(node, ListNode) and node.items:
            each = (_matching(subject, item, report, what) for item in node.items)
            return frozenset().union(*each)
        if isinstance(node, ScalarNode) and node.value in subject.words:
            _tell_unmet(subject, node, report, what)
            return frozenset()
        for misfit in errors[0].misfits:
            report.error(misfit.mark, f"{what}: {misfit}")
    for its_node, occurs in met.values():
        if not occurs:
            _tell_unmet(subject, its_node, report, what)
    return frozenset(rows)


def _tell_unmet(subject: Subject, node: Node, report: Report, what: str) -> None:
    text = node.text if isinstance(node, ScalarNode) else ""
    values = list(dict.fromkeys(str(cell.plain) for cell in subject.cells if cell is not None))
    said = f"`{shown(text)}`" if text else "this value"
    hint = meant(text, values) or f"; it has {listed(values)}"
    report.warn(node.mark, f"{what}: `{subject.key}` is never {said} in this sweep{hint}")


def in_rows(condition: Mapping[int, frozenset[int]], grid: Sequence[Dimension]) -> RowFilter:
    """A condition on axes as one on dimensions."""
    found: dict[int, frozenset[int]] = {}
    for number, dimension in enumerate(grid):
        wanted = [condition[axis] for axis in dimension.axes if axis in condition]
        if wanted:
            both = frozenset.intersection(*wanted)
            found[number] = frozenset(
                row for row, index in enumerate(dimension.rows) if index in both
            )
    return found
