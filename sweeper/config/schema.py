"""A config dataclass → what a file may say for it.

Known types: `int`, `float`, `bool`, `str`, `None`, `Any`, `Literal`, `Enum`, `Path`, `date`,
`datetime`, unions, `tuple`, `list`, `dict`, nested dataclasses, unions of dataclasses that a
`Literal` field distinguishes, and `Annotated` with an `Amount` or the bounds of annotated_types.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

import annotated_types as bounds

from sweeper.config.container_types import AnyType, ListType, MappingType, TupleType, UnionType
from sweeper.config.field_types import (
    BoolType,
    BoundedType,
    ChoiceType,
    Coercion,
    FieldType,
    FloatType,
    IntType,
    MisfitError,
    NullType,
    TextType,
)
from sweeper.config.parsed_types import Amount, AmountType, ParsedType
from sweeper.config.section_types import MISSING, Schema, Section, SectionType
from sweeper.config.yaml_nodes import node_of
from sweeper.errors import TrainerError

__all__ = ["as_section", "check_types", "schema_of", "section_type"]

_SIMPLE: dict[Any, FieldType] = {
    bool: BoolType(),
    int: IntType(),
    float: FloatType(),
    str: TextType(),
    None: NullType(),
    type(None): NullType(),
    Any: AnyType(),
    object: AnyType(),
    Path: ParsedType(Path, "a path", Path, str),
    datetime.date: ParsedType(
        datetime.date,
        "a date such as `2026-11-22`",
        datetime.date.fromisoformat,
        datetime.date.isoformat,
    ),
    datetime.datetime: ParsedType(
        datetime.datetime,
        "a date and time such as `2026-11-22T09:30`",
        datetime.datetime.fromisoformat,
        datetime.datetime.isoformat,
    ),
}
_LISTS: dict[Any, Any] = {tuple: tuple, list: list, collections.abc.Sequence: tuple}
_MAPPINGS = (dict, collections.abc.Mapping)


@cache
def schema_of(cls: type) -> Schema:
    """The schema of a dataclass. Raises `TrainerError` for what no file could give."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise TrainerError(
            f"{cls.__qualname__}: its annotations can't be resolved: {error}"
        ) from error
    fields = {
        field.name: _type_of(hints[field.name], f"{cls.__qualname__}.{field.name}")
        for field in dataclasses.fields(cls)
        if field.init
    }
    return Schema(cls, types.MappingProxyType(fields), partial(_defaults, cls))


@cache
def _defaults(cls: type) -> Mapping[str, Any]:
    fields = schema_of(cls).fields
    return types.MappingProxyType(
        {
            field.name: _default(field, fields[field.name], f"{cls.__qualname__}.{field.name}")
            for field in dataclasses.fields(cls)
            if field.init
        }
    )


def check_types(cls: type) -> None:
    """Read every schema below a dataclass, to report impossible types before any file is read.

    Raises `TrainerError`, also for a default that doesn't fit its type.
    """
    seen: set[type] = set()
    waiting = [cls]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            try:
                schema_of(one).defaults()
            except RecursionError:
                raise TrainerError(f"{one.__qualname__} requires an instance of itself") from None
            for field_type in schema_of(one).fields.values():
                waiting += _classes_below(field_type)


def _classes_below(field_type: FieldType) -> list[type]:
    if isinstance(field_type, SectionType):
        return list(field_type.classes)
    inner: tuple[FieldType, ...] = ()
    if isinstance(field_type, BoundedType):
        inner = (field_type.inner,)
    elif isinstance(field_type, ListType):
        inner = (field_type.item,)
    elif isinstance(field_type, MappingType):
        inner = (field_type.value,)
    elif isinstance(field_type, TupleType):
        inner = field_type.items
    elif isinstance(field_type, UnionType):
        inner = field_type.options
    return [cls for one in inner for cls in _classes_below(one)]


def section_type(field_type: FieldType) -> SectionType | None:
    """The section that a field can be, so that its keys are read one by one; None if it can't."""
    if isinstance(field_type, SectionType):
        return field_type
    if isinstance(field_type, UnionType):
        found = [option for option in field_type.options if isinstance(option, SectionType)]
        return found[0] if found else None
    return None


def as_section(field_type: FieldType, value: Any) -> Any:
    """A dataclass instance as a section, so that single keys can be overridden; else `value`."""
    section = section_type(field_type)
    if section is None or type(value) not in section.classes:
        return value
    cls: type = type(value)
    schema = schema_of(cls)
    return Section(
        schema,
        {name: as_section(inner, getattr(value, name)) for name, inner in schema.fields.items()},
    )


def _default(field: dataclasses.Field[Any], field_type: FieldType, where: str) -> Any:
    """The typed default; of a nested dataclass as a section."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    elif isinstance(field_type, SectionType) and len(field_type.classes) == 1:
        # Required, but if all its own fields have defaults, nothing is left to require.
        return schema_of(field_type.classes[0]).defaults()
    else:
        return MISSING
    return _typed(value, field_type, where)


def _typed(value: Any, field_type: FieldType, where: str) -> Any:
    """A default as the file would have given it, nested dataclasses as sections."""
    section = as_section(field_type, value)
    if isinstance(section, Section):
        return Section(
            section.schema,
            {
                name: _typed(getattr(value, name), inner, f"{where}.{name}")
                for name, inner in section.schema.fields.items()
            },
        )
    try:
        return field_type.fit(node_of(field_type.plain(value)), Coercion.SAFE, where)
    except (TypeError, ValueError, MisfitError) as error:
        said = error.misfits[0].message if isinstance(error, MisfitError) else str(error)
        raise TrainerError(f"{where}: its default doesn't fit its type: {said}") from error


def _type_of(annotation: Any, where: str) -> FieldType:
    """The field type of an annotation. Raises `TrainerError`."""
    while isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    if type(annotation).__name__ == "TypeAliasType":  # `type X = …`, from Python 3.12 on
        return _type_of(annotation.__value__, where)
    try:
        if annotation in _SIMPLE:
            return _SIMPLE[annotation]
    except TypeError:  # unhashable metadata
        pass
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(annotation, where)
    if origin is Union or origin is types.UnionType:
        return _union(arguments, where)
    if origin is Literal:
        return ChoiceType(tuple(_written(word) for word in arguments))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _enum(annotation)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return SectionType((annotation,), None, schema_of)
    container = annotation if origin is None else origin
    if container in _LISTS:
        return _list(container, arguments, where)
    if container in _MAPPINGS:
        if arguments and _type_of(arguments[0], where) != TextType():
            raise TrainerError(f"{where}: the keys of a mapping must be `str`")
        return MappingType(_type_of(arguments[1], where) if arguments else AnyType())
    name = getattr(annotation, "__name__", None) or str(annotation)
    raise TrainerError(f"{where}: no sweep file can give a value of the type {name}")


def _list(container: Any, arguments: tuple[Any, ...], where: str) -> FieldType:
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        return TupleType(tuple(_type_of(item, where) for item in arguments))
    item = _type_of(arguments[0], where) if arguments else AnyType()
    return ListType(item, _LISTS[container])


def _written(word: Any) -> tuple[Any, Any]:
    """A member of a `Literal`: what a file says for it, and the value."""
    return (word.value, word) if isinstance(word, Enum) else (word, word)


def _enum(cls: type[Enum]) -> ChoiceType:
    """An enum is written by value where all values can be, else by name; read by either."""
    members = list(cls)
    by_name = tuple((member.name, member) for member in members)
    if all(type(member.value) in (str, int, float, bool) for member in members):
        return ChoiceType(tuple((member.value, member) for member in members), by_name)
    return ChoiceType(by_name)


def _union(arguments: tuple[Any, ...], where: str) -> FieldType:
    sections: tuple[Any, ...]
    sections = tuple(one for one in arguments if dataclasses.is_dataclass(one))
    options = [_type_of(one, where) for one in arguments if one not in sections]
    if sections:
        tag = _tag(sections, where) if len(sections) > 1 else None
        options.insert(0, SectionType(sections, tag, schema_of))
    return options[0] if len(options) == 1 else UnionType(tuple(options))


def _tag(classes: tuple[Any, ...], where: str) -> str:
    """The first field that every class has as a `Literal` with words of its own."""
    words: list[dict[str, tuple[Any, ...]]] = [
        {
            name: get_args(hint)
            for name, hint in typing.get_type_hints(cls).items()
            if get_origin(hint) is Literal
        }
        for cls in classes
    ]
    for name in words[0]:
        if all(name in own for own in words):
            together = [word for own in words for word in own[name]]
            if len(set(together)) == len(together):
                return name
    names = ", ".join(cls.__name__ for cls in classes)
    raise TrainerError(
        f"{where}: nothing distinguishes {names}: give each a field such as "
        f'`name: Literal["{classes[0].__name__.lower()}"]`'
    )


# Bound → its test and its words. The letters are those of annotated_types.
_BOUNDS: Mapping[type, Callable[[Any], tuple[Callable[[Any], bool], str]]] = {
    bounds.Gt: lambda b: (lambda value: bool(value > b.gt), f"> {b.gt}"),
    bounds.Ge: lambda b: (lambda value: bool(value >= b.ge), f"≥ {b.ge}"),
    bounds.Lt: lambda b: (lambda value: bool(value < b.lt), f"< {b.lt}"),
    bounds.Le: lambda b: (lambda value: bool(value <= b.le), f"≤ {b.le}"),
    bounds.MultipleOf: lambda b: (
        lambda value: bool(value % b.multiple_of == 0),
        f"that is a multiple of {b.multiple_of}",
    ),
    bounds.MinLen: lambda b: (
        lambda value: len(value) >= b.min_length,
        f"at least {b.min_length} long",
    ),
    bounds.MaxLen: lambda b: (
        lambda value: len(value) <= b.max_length,
        f"at most {b.max_length} long",
    ),
    bounds.Predicate: lambda b: (
        lambda value: bool(b.func(value)),
        f"for which `{getattr(b.func, '__name__', b.func)}` holds",
    ),
}


def _bounded(annotation: Any, where: str) -> FieldType:
    inner, *metadata = get_args(annotation)
    field_type = _type_of(inner, where)
    flat: list[Any] = []
    for one in metadata:
        flat += one if isinstance(one, bounds.GroupedMetadata) else [one]
    for one in flat:
        if isinstance(one, Amount):
            field_type = AmountType(one, whole=field_type == IntType())
            continue
        if type(one).__module__.startswith("pydantic"):
            raise TrainerError(f"{where}: write its bounds with annotated_types, not pydantic")
        # Metadata that isn't a bound (a unit, a text for people) says nothing about values.
        known = _BOUNDS.get(type(one))
        if known is None:
            continue
        if section_type(field_type) is not None:
            raise TrainerError(
                f"{where}: a dataclass can't have bounds: check it in its `__post_init__`"
            )
        field_type = BoundedType(field_type, *known(one))
    return field_type
