"""Field types made of others: lists, mappings and unions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweeper.config.field_types import Coercion, FieldType, FloatType, Misfit, MisfitError, NullType
from sweeper.config.spelling import spelling_hint
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode, data_of
from sweeper.suggest import shown

__all__ = [
    "AnyType",
    "ListType",
    "MappingType",
    "TupleType",
    "UnionType",
    "fit_all",
    "mapping_type",
]


@dataclass(frozen=True)
class AnyType(FieldType):
    """Anything that YAML can say; so a list here is always a value, never an axis."""

    @property
    def expects(self) -> str:
        return "anything"

    def holds_lists(self) -> bool:
        return True

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        value = data_of(node)
        try:
            return self.plain(value)
        except (TypeError, ValueError) as error:
            raise self._misfit(node, key, shown(str(error))) from error

    def plain(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        if isinstance(value, float):
            return FloatType().plain(value)
        if value is None or isinstance(value, bool | int | str):
            return value
        raise TypeError(f"{type(value).__name__} can't be written as YAML")

    def holds(self, value: Any) -> bool:
        return True


def fit_all(
    parts: Iterable[tuple[FieldType, str, Node]], coercion: Coercion, base: Any = None
) -> list[Any]:
    """The values of several nodes, each with its type and key. Raises one `MisfitError` for all."""
    values: list[Any] = []
    misfits: list[Misfit] = []
    for field_type, key, node in parts:
        try:
            values.append(field_type.fit(node, coercion, key, base))
        except MisfitError as error:
            misfits += error.misfits
    if misfits:
        raise MisfitError(misfits)
    return values


@dataclass(frozen=True)
class ListType(FieldType):
    """A list of any length whose items are of one type; `container` is `tuple` or `list`."""

    item: FieldType
    container: type[tuple[Any, ...]] | type[list[Any]] = tuple

    @property
    def expects(self) -> str:
        return f"a list (each item: {self.item.expects})"

    def holds_lists(self) -> bool:
        return True

    def candidates(self) -> tuple[str, ...]:
        return self.item.candidates()

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        strictly = min(coercion, Coercion.SAFE)
        listed = isinstance(node, ListNode)
        try:
            if not isinstance(node, ListNode):
                raise self._misfit(node, key)
            items = enumerate(node.items)
            parts = [(self.item, f"{key}[{index}]", item) for index, item in items]
            return self.container(fit_all(parts, strictly))
        except MisfitError as error:
            # A list can be the lone item only where items can be lists.
            if coercion < Coercion.LAX or (listed and not self.item.holds_lists()):
                raise
            try:
                return self.container([self.item.fit(node, strictly, key)])
            except MisfitError as lone:
                # What isn't a list was meant as the lone item; for a list, fewer errors say more.
                as_list = listed and len(error.misfits) <= len(lone.misfits)
                raise (error if as_list else lone) from None

    def plain(self, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected {self.expects}, got {value!r}")
        return [self.item.plain(item) for item in value]

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.container) and all(self.item.holds(item) for item in value)


@dataclass(frozen=True)
class TupleType(FieldType):
    """A list of fixed length, each place with its own type."""

    items: tuple[FieldType, ...]

    @property
    def expects(self) -> str:
        return f"a list of {len(self.items)} ({', '.join(item.expects for item in self.items)})"

    def holds_lists(self) -> bool:
        return True

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        if not isinstance(node, ListNode) or len(node.items) != len(self.items):
            raise self._misfit(node, key)
        parts = [
            (field_type, f"{key}[{index}]", item)
            for index, (field_type, item) in enumerate(zip(self.items, node.items, strict=True))
        ]
        return tuple(fit_all(parts, min(coercion, Coercion.SAFE)))

    def plain(self, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) != len(self.items):
            raise TypeError(f"expected {self.expects}, got {value!r}")
        return [field_type.plain(item) for field_type, item in zip(self.items, value, strict=True)]

    def holds(self, value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == len(self.items)
            and all(
                field_type.holds(item) for field_type, item in zip(self.items, value, strict=True)
            )
        )


@dataclass(frozen=True)
class MappingType(FieldType):
    """A mapping from words of the user's to values of one type."""

    value: FieldType

    @property
    def expects(self) -> str:
        return f"a mapping (each value: {self.value.expects})"

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> dict[str, Any]:
        if not isinstance(node, MappingNode):
            raise self._misfit(node, key)
        parts = [(self.value, f"{key}.{entry.key}", entry.value) for entry in node.entries]
        values = fit_all(parts, min(coercion, Coercion.SAFE))
        return {entry.key: value for entry, value in zip(node.entries, values, strict=True)}

    def plain(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise TypeError(f"expected {self.expects}, got {value!r}")
        return {str(word): self.value.plain(item) for word, item in value.items()}

    def holds(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(self.value.holds(v) for v in value.values())


@dataclass(frozen=True)
class UnionType(FieldType):
    """One of several types; the one that needs the least bending of the value takes it."""

    options: tuple[FieldType, ...]

    @property
    def expects(self) -> str:
        return " or ".join(option.expects for option in self.options)

    def holds_lists(self) -> bool:
        return any(option.holds_lists() for option in self.options)

    def candidates(self) -> tuple[str, ...]:
        return tuple(word for option in self.options for word in option.candidates())

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        errors: list[tuple[FieldType, MisfitError]] = []
        for level in Coercion:
            if level > coercion:
                break
            errors = []
            for option in self.options:
                try:
                    return option.fit(node, level, key, base)
                except MisfitError as error:
                    errors.append((option, error))
        raise self._best(node, key, errors)

    def _best(
        self, node: Node, key: str, errors: list[tuple[FieldType, MisfitError]]
    ) -> MisfitError:
        """What to report: errors deep in a value show which option was meant."""
        deep = [
            error
            for _, error in errors
            if any((misfit.mark, misfit.key) != (node.mark, key) for misfit in error.misfits)
        ]
        if deep:
            return min(deep, key=lambda error: len(error.misfits))
        if isinstance(node, ScalarNode) and spelling_hint(node, self.takes):
            return self._misfit(node, key)
        some = [pair for pair in errors if not isinstance(pair[0], NullType)]
        if len(some) != 1:
            return self._misfit(node, key)
        option, error = some[0]
        return error.expecting(key, option.expects, self.expects)

    def plain(self, value: Any) -> Any:
        for option in self.options:
            if option.holds(value):
                return option.plain(value)
        for option in self.options:
            try:
                return option.plain(value)
            except (TypeError, ValueError):
                continue
        raise TypeError(f"expected {self.expects}, got {value!r}")

    def holds(self, value: Any) -> bool:
        return any(option.holds(value) for option in self.options)


def mapping_type(field_type: FieldType) -> MappingType | None:
    """The mapping that a field takes, if its entries can be read one by one; None if they can't."""
    options = field_type.options if isinstance(field_type, UnionType) else (field_type,)
    found = [option for option in options if isinstance(option, MappingType)]
    return found[0] if len(found) == 1 else None
