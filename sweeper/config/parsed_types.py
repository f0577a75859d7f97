"""Types of values that a file gives as text with a meaning: amounts with units, paths, dates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweeper.config.field_types import Coercion, FieldType, FloatType, IntType
from sweeper.config.yaml_nodes import Node, ScalarNode

__all__ = ["Amount", "AmountType", "ParsedType"]


@dataclass(frozen=True)
class ParsedType(FieldType):
    """Text that stands for a value of another class: a path, a date.

    `read` makes the value of the text and raises ValueError if it can't, `write` is its inverse.
    """

    cls: type
    what: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]

    @property
    def expects(self) -> str:
        return self.what

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            try:
                return self.read(node.value)
            except ValueError:
                pass
        raise self._misfit(node, key)

    def plain(self, value: Any) -> str:
        if not isinstance(value, self.cls):
            raise TypeError(f"expected {self.what}, got {value!r}")
        return self.write(value)

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.cls)


@dataclass(frozen=True)
class Amount:
    """Marks a number that may be written with units: `Annotated[float, Amount(duration_s, …)]`.

    `read` makes a number of such a text and raises ValueError if it can't; `what` names what is
    expected in messages.
    """

    read: Callable[[str], float]
    what: str


# More than any duration in seconds or size in bytes: an exabyte, 30 billion years.
_AMOUNT_LIMIT = 1e18


@dataclass(frozen=True)
class AmountType(FieldType):
    """A positive number, or a text with units that stands for one."""

    amount: Amount
    whole: bool

    @property
    def expects(self) -> str:
        return self.amount.what

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        value: Any = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, str):
            try:
                value = self.amount.read(value)
            except (ValueError, OverflowError):
                raise self._misfit(node, key) from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._misfit(node, key)
        if not 0 < value < _AMOUNT_LIMIT or (self.whole and value != int(value)):
            raise self._misfit(node, key)
        return int(value) if self.whole else float(value)

    def plain(self, value: Any) -> Any:
        return self._number().plain(value)

    def holds(self, value: Any) -> bool:
        return self._number().holds(value)

    def _number(self) -> FieldType:
        return IntType() if self.whole else FloatType()
