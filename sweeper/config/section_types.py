"""Sections: mappings of a file for a dataclass, or for one of several that a tag distinguishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sweeper.config.field_types import Coercion, FieldType, Misfit, MisfitError
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode
from sweeper.keys import joined
from sweeper.suggest import listed, meant, shown

__all__ = ["MISSING", "Schema", "Section", "SectionType", "sentence"]


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


# Stands where a required field has no value yet.
MISSING: Final = _Missing()


@dataclass(frozen=True)
class Schema:
    """What a file may say for a dataclass: what each field accepts, and its default.

    A required field's default is `MISSING`; that of a nested dataclass is a `Section`, so that
    single keys of it can be overridden. `default_values` is called when they are needed, as the
    schemas of dataclasses that contain themselves would never be done otherwise.
    """

    cls: Callable[..., Any]
    fields: Mapping[str, FieldType]
    default_values: Callable[[], Mapping[str, Any]]

    def defaults(self) -> Section:
        """The section of all defaults."""
        return Section(self, self.default_values())


@dataclass(frozen=True)
class Section:
    """The values for one schema, nested sections unbuilt: they need not be valid together."""

    schema: Schema
    values: Mapping[str, Any]

    def build(self) -> Any:
        """The dataclass instance. Raises whatever its `__post_init__` raises."""
        return self.schema.cls(
            **{
                name: value.build() if isinstance(value, Section) else value
                for name, value in self.values.items()
            }
        )

    def plain(self) -> dict[str, Any]:
        """The values as data of JSON's types, in the order of the fields."""
        return {
            name: value.plain()
            if isinstance(value, Section)
            else self.schema.fields[name].plain(value)
            for name, value in self.values.items()
        }

    def missing(self, key: str = "") -> list[str]:
        """The dotted paths of required fields without a value."""
        found: list[str] = []
        for name, value in self.values.items():
            if isinstance(value, Section):
                found += value.missing(joined(key, name))
            elif value is MISSING:
                found.append(joined(key, name))
        return found


def sentence(error: Exception) -> str:
    """Why a `__post_init__` refused: the message of a ValueError, otherwise with the type."""
    said = shown(str(error), 300)
    if isinstance(error, ValueError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@dataclass(frozen=True)
class SectionType(FieldType):
    """One of some dataclasses; `tag` names the field that says which one, if there are several.

    `schema_of` makes a schema when it is asked for, so that a dataclass may contain itself.
    """

    classes: tuple[type, ...]
    tag: str | None
    schema_of: Callable[[type], Schema]

    @property
    def expects(self) -> str:
        if self.tag is not None:
            return f"a mapping with `{self.tag}` {listed(self.candidates())}"
        return f"a mapping with keys of {listed(self.schema_of(self.classes[0]).fields)}"

    def candidates(self) -> tuple[str, ...]:
        if self.tag is None:
            return ()
        tags = [self.schema_of(cls).fields[self.tag] for cls in self.classes]
        return tuple(word for field_type in tags for word in field_type.candidates())

    def choose(self, node: MappingNode, key: str, base: Any) -> Section:
        """The section that a mapping starts from: the right schema with its defaults.

        These are the values of `base` if it is a section of that schema, else the schema's own.
        """
        schema = self._schema(node, key, base)
        return base if isinstance(base, Section) and base.schema is schema else schema.defaults()

    def _schema(self, node: MappingNode, key: str, base: Any) -> Schema:
        if self.tag is None:
            return self.schema_of(self.classes[0])
        entry = node.get(self.tag)
        if entry is not None:
            found = self._tagged(entry.value)
            if found is not None:
                return found
            where = joined(key, self.tag)
            if isinstance(entry.value, ListNode):
                text = f"write a list of mappings, `[{{{self.tag}: …}}, {{{self.tag}: …}}]`"
                raise MisfitError([Misfit(entry.value.mark, where, f"can't be an axis: {text}")])
            word = entry.value.text if isinstance(entry.value, ScalarNode) else "a mapping"
            expected, hint = f"one of {listed(self.candidates())}", meant(word, self.candidates())
            got = f"`{shown(word)}`"
            raise MisfitError([Misfit(entry.value.mark, where, hint, expected, got)])
        if isinstance(base, Section):
            return base.schema
        missing = f"is required: one of {listed(self.candidates())}"
        raise MisfitError([Misfit(node.mark, joined(key, self.tag), missing)])

    def _tagged(self, node: Node) -> Schema | None:
        """The schema that has this word for its tag; None if none has."""
        for cls in self.classes if self.tag is not None else ():
            schema = self.schema_of(cls)
            try:
                schema.fields[str(self.tag)].fit(node, Coercion.NONE, "")
            except MisfitError:
                continue
            return schema
        return None

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        if isinstance(node, MappingNode):
            return self._built(self.choose(node, key, base), node, coercion, key)
        schema = self._tagged(node) if coercion >= Coercion.LAX else None
        if schema is None:
            raise self._misfit(node, key)
        word = schema.fields[str(self.tag)].fit(node, Coercion.NONE, key)
        start = base if isinstance(base, Section) and base.schema is schema else schema.defaults()
        return self._instance(Section(schema, {**start.values, str(self.tag): word}), node, key)

    def _built(self, start: Section, node: MappingNode, coercion: Coercion, key: str) -> Any:
        values = dict(start.values)
        misfits: list[Misfit] = []
        for entry in node.entries:
            name, where = entry.key, joined(key, entry.key)
            field_type = start.schema.fields.get(name)
            if field_type is None:
                hint = meant(name, start.schema.fields)
                misfits.append(Misfit(entry.mark, joined(key, shown(name)), f"unknown key{hint}"))
                continue
            try:
                values[name] = field_type.fit(entry.value, coercion, where, values[name])
            except MisfitError as error:
                misfits += error.misfits
                values[name] = None
        if misfits:
            misfits += _required(Section(start.schema, values), node, key)
            raise MisfitError(misfits)
        return self._instance(Section(start.schema, values), node, key)

    def _instance(self, section: Section, node: Node, key: str) -> Any:
        misfits = _required(section, node, key)
        if misfits:
            raise MisfitError(misfits)
        try:
            return section.build()
        except Exception as error:  # whatever the user's __post_init__ raises
            raise MisfitError([Misfit(node.mark, key, sentence(error))]) from error

    def plain(self, value: Any) -> dict[str, Any]:
        if type(value) not in self.classes:
            names = " or ".join(cls.__name__ for cls in self.classes)
            raise TypeError(f"expected {names}, got {value!r}")
        fields = self.schema_of(type(value)).fields
        return {name: own.plain(getattr(value, name)) for name, own in fields.items()}

    def holds(self, value: Any) -> bool:
        return type(value) in self.classes


def _required(section: Section, node: Node, key: str) -> list[Misfit]:
    return [Misfit(node.mark, path, "is required") for path in section.missing(key)]
