"""Field types: what a field accepts, what it makes of a YAML value, how a value is written down.

`schema` makes them of annotations. Here are those of single values; those made of others are in
`container_types`, nested dataclasses in `section_types`.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Any

from sweeper.config.problems import Report
from sweeper.config.spelling import spelling_hint
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode
from sweeper.errors import Mark
from sweeper.suggest import listed, meant, shown

__all__ = [
    "BoolType",
    "BoundedType",
    "ChoiceType",
    "Coercion",
    "FieldType",
    "FloatType",
    "IntType",
    "Misfit",
    "MisfitError",
    "NullType",
    "TextType",
    "canonical_json",
    "got",
]


class Coercion(IntEnum):
    """How far from the type a value may be to be taken for it."""

    NONE = 0  # the very type: decides between the members of a union
    SAFE = 1  # an integer for a float, `on` for a boolean
    LAX = 2  # a scalar for a list of one, a word for the section that it names


@dataclass(frozen=True)
class Misfit:
    """What is wrong with a value, at its place in the file; `key` is the dotted path to it.

    Where something else was `expected` than what was `got`, `text` has what follows these.
    """

    mark: Mark
    key: str
    text: str = ""
    expected: str = ""
    got: str = ""

    @property
    def message(self) -> str:
        """What is wrong, without the key."""
        if not self.expected:
            return self.text
        return f"expected {self.expected}, got {self.got}{self.text}"

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class MisfitError(Exception):
    """A value doesn't fit its type; `misfits` says where and why."""

    def __init__(self, misfits: Iterable[Misfit]) -> None:
        self.misfits = tuple(misfits)
        super().__init__("; ".join(map(str, self.misfits)))

    def expecting(self, key: str, part: str, whole: str) -> MisfitError:
        """The error of a type that expects `whole` at a key, from that of the `part` it tried."""
        return MisfitError(
            replace(misfit, expected=whole)
            if (misfit.key, misfit.expected) == (key, part)
            else misfit
            for misfit in self.misfits
        )

    def add_to(self, report: Report) -> None:
        """Report every misfit as an error of the file."""
        for misfit in self.misfits:
            report.error(misfit.mark, str(misfit))


class FieldType(ABC):
    """What a field accepts."""

    @property
    @abstractmethod
    def expects(self) -> str:
        """What a value must be, for messages: `an integer`."""

    @abstractmethod
    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        """The typed value of a node. Raises `MisfitError`.

        `base` is the field's default, which completes the keys that a section leaves out.
        """

    @abstractmethod
    def plain(self, value: Any) -> Any:
        """A typed value as data of JSON's types. Raises TypeError or ValueError if it has none."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a typed value is of this type, so that a union knows who writes it."""

    def holds_lists(self) -> bool:
        """Whether a list can be one value of this type, so that a list need not be an axis."""
        return False

    def candidates(self) -> tuple[str, ...]:
        """The words among which a misspelt one was meant."""
        return ()

    def _misfit(self, node: Node, key: str, hint: str = "") -> MisfitError:
        text = f"; {hint}" if hint else self._near(node)
        return MisfitError([Misfit(node.mark, key, text, self.expects, got(node))])

    def _near(self, node: Node) -> str:
        """The end of a message: what a word was probably meant to be."""
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
            return ""
        return spelling_hint(node, self.takes) or meant(node.value, self.candidates())

    def takes(self, node: Node) -> bool:
        """Whether a node fits as one value."""
        try:
            self.fit(node, Coercion.LAX, "")
        except MisfitError:
            return False
        return True


def got(node: Node) -> str:
    """A value as messages name it."""
    if isinstance(node, ListNode):
        return f"a list of {len(node.items)}"
    if isinstance(node, MappingNode):
        return "a mapping"
    if node.value is None:
        return "nothing" if node.text in ("", "None") else f"nothing (`{node.text}`)"
    text = shown(node.text)
    if isinstance(node.value, str):
        return f"`{text}`" if node.plain else f'the text "{text}"'
    return f"{'' if isinstance(node.value, bool) else 'the number '}{text}"


def canonical_json(data: Any) -> str:
    """Data as the one JSON text that means it: keys sorted, shortest floats, no spaces.

    Raises ValueError for NaN and infinities.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class NullType(FieldType):
    """Nothing: `null`, `~` or no value at all."""

    @property
    def expects(self) -> str:
        return "null"

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> None:
        if not isinstance(node, ScalarNode) or node.value is not None:
            raise self._misfit(node, key)

    def plain(self, value: Any) -> None:
        if value is not None:
            raise TypeError(f"expected None, got {value!r}")

    def holds(self, value: Any) -> bool:
        return value is None


# What YAML 1.1 took for booleans, taken so only where a boolean is wanted and nothing is quoted.
_BOOL_WORDS = {"on": True, "yes": True, "off": False, "no": False}


@dataclass(frozen=True)
class BoolType(FieldType):
    """`true` or `false`; also the words on, off, yes and no."""

    @property
    def expects(self) -> str:
        return "true or false"

    def candidates(self) -> tuple[str, ...]:
        return ("true", "false")

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> bool:
        if isinstance(node, ScalarNode):
            if isinstance(node.value, bool):
                return node.value
            if node.plain and coercion >= Coercion.SAFE and node.text.lower() in _BOOL_WORDS:
                return _BOOL_WORDS[node.text.lower()]
            if _is_integer(node.value) and node.value in (0, 1):
                raise self._misfit(node, key, f"write {str(bool(node.value)).lower()}")
        raise self._misfit(node, key)

    def plain(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"expected a bool, got {value!r}")
        return value

    def holds(self, value: Any) -> bool:
        return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class IntType(FieldType):
    """A whole number."""

    @property
    def expects(self) -> str:
        return "an integer"

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> int:
        if isinstance(node, ScalarNode):
            value = node.value
            if isinstance(value, int) and not isinstance(value, bool):
                return int(value)
            if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
                raise self._misfit(node, key, f"write {int(value)}")
        raise self._misfit(node, key)

    def plain(self, value: Any) -> int:
        if not _is_integer(value):
            raise TypeError(f"expected an int, got {value!r}")
        return int(value)

    def holds(self, value: Any) -> bool:
        return _is_integer(value)


@dataclass(frozen=True)
class FloatType(FieldType):
    """A finite number; integers become floats, -0.0 becomes 0.0."""

    @property
    def expects(self) -> str:
        return "a number"

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> float:
        if not isinstance(node, ScalarNode):
            raise self._misfit(node, key)
        value = node.value
        exact = isinstance(value, float)
        if not (exact or (_is_integer(value) and coercion >= Coercion.SAFE)):
            raise self._misfit(node, key)
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._misfit(node, key, "it must be finite")
        return number + 0.0

    def plain(self, value: Any) -> float:
        if not (isinstance(value, float) or _is_integer(value)):
            raise TypeError(f"expected a float, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {value!r}")
        return float(value) + 0.0

    def holds(self, value: Any) -> bool:
        return isinstance(value, float)


@dataclass(frozen=True)
class TextType(FieldType):
    """A text."""

    @property
    def expects(self) -> str:
        return "text"

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> str:
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            return str(node.value)
        if isinstance(node, ScalarNode) and node.value is not None:
            raise self._misfit(node, key, f'quote it: "{shown(node.text)}"')
        raise self._misfit(node, key)

    def plain(self, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"expected a str, got {value!r}")
        return str(value)

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and not isinstance(value, Enum)


@dataclass(frozen=True)
class ChoiceType(FieldType):
    """One of a closed set of words or numbers: a `Literal` or an `Enum`.

    `table` has what a file says and the value that it means. `also` has other ways to write these:
    an enum's members by name.
    """

    table: tuple[tuple[Any, Any], ...]
    also: tuple[tuple[str, Any], ...] = ()

    @property
    def expects(self) -> str:
        written = [_written(word) for word, _ in self.table]
        return listed(written) if len(written) == 1 else f"one of {listed(written)}"

    def candidates(self) -> tuple[str, ...]:
        return tuple(word for word, _ in self.table if isinstance(word, str))

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        if not isinstance(node, ScalarNode):
            raise self._misfit(node, key)
        for word, value in (*self.table, *self.also):
            if type(word) is type(node.value) and word == node.value:
                return value
            if isinstance(word, float) and _is_integer(node.value) and word == node.value:
                return value
        if any(isinstance(word, str) and word == node.text for word, _ in self.table):
            raise self._misfit(node, key, f'quote it: "{shown(node.text)}"')
        raise self._misfit(node, key)

    def plain(self, value: Any) -> Any:
        for word, known in self.table:
            if type(known) is type(value) and known == value:
                return word
        raise ValueError(f"expected {self.expects}, got {value!r}")

    def holds(self, value: Any) -> bool:
        return any(type(known) is type(value) and known == value for _, known in self.table)


def _written(word: Any) -> str:
    return word if isinstance(word, str) else json.dumps(word)


@dataclass(frozen=True)
class BoundedType(FieldType):
    """A type with a condition, such as `> 0`; null, where allowed, passes every condition."""

    inner: FieldType
    holds_true: Callable[[Any], bool]
    condition: str

    @property
    def expects(self) -> str:
        also = " and" if isinstance(self.inner, BoundedType) else ""
        return f"{self.inner.expects}{also} {self.condition}"

    def holds_lists(self) -> bool:
        return self.inner.holds_lists()

    def candidates(self) -> tuple[str, ...]:
        return self.inner.candidates()

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        try:
            value = self.inner.fit(node, coercion, key, base)
        except MisfitError as error:
            raise error.expecting(key, self.inner.expects, self.expects) from None
        if not self._passes(value):
            raise self._misfit(node, key)
        return value

    def _passes(self, value: Any) -> bool:
        if value is None:
            return True
        try:
            return self.holds_true(value)
        except TypeError:
            return False

    def plain(self, value: Any) -> Any:
        return self.inner.plain(value)

    def holds(self, value: Any) -> bool:
        return self.inner.holds(value) and self._passes(value)
