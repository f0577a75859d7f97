"""Variants of the sections that are an axis's values, where a `when` sets keys inside them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeper.config.axes import DraftAxis, leaves, replaced, several
from sweeper.config.field_types import canonical_json
from sweeper.config.schema import as_section
from sweeper.config.yaml_nodes import Node

__all__ = ["Widened", "variants_of"]


@dataclass
class Widened:
    """The values of an axis of sections with variants of them, and where each came from.

    `made` are the variants that aren't values of the file, `instead` the values of the file in
    whose place there are only variants.
    """

    axis: DraftAxis
    values: list[Any] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    made: set[int] = field(default_factory=set)
    instead: set[int] = field(default_factory=set)
    touched: bool = False

    def add(self, index: int, value: Any, variants: list[Any] | None, *, always: bool) -> None:
        """Add a value, or its variants; and the value itself unless they `always` replace it."""
        found = [value] if variants is None else list(variants)
        word = self._word(value)
        if word not in map(self._word, found) and not always:
            found.append(value)
            self.instead.add(len(self.values) + len(found) - 1)
        start = len(self.values)
        self.below.append(list(range(start, start + len(found))))
        if variants is not None:
            self.touched = True
            self.made |= {
                start + place for place, one in enumerate(found) if self._word(one) != word
            }
        self.values += found
        self.nodes += [self.axis.nodes[index]] * len(found)

    def _word(self, value: Any) -> str:
        """The value as it goes into an id: the user's dataclasses may compare as they like."""
        return canonical_json(self.axis.field_type.plain(value))

    def repeated(self) -> bool:
        """Whether a variant is a value of the file, or of another variant."""
        words = [self._word(value) for value in self.values]
        return any(words.count(words[made]) > 1 for made in self.made)

    def renumbered(
        self, condition: Mapping[int, frozenset[int]], number: int
    ) -> Mapping[int, frozenset[int]]:
        """A condition on the values before, as one on those that came of them."""
        if number not in condition:
            return condition
        rows = frozenset(new for old in condition[number] for new in self.below[old])
        return {**condition, number: rows}


def variants_of(axis: DraftAxis, value: Any, settings: Mapping[str, Node]) -> list[Any] | None:
    """The section with each combination of the settings' values; None if it lacks a key.

    `settings` has a node per dotted path. Raises `MisfitError`, and whatever a `__post_init__`
    raises.
    """
    section = as_section(axis.field_type, value)
    types = {path: one for path, one, _ in leaves(section, axis.key)}
    if any(path not in types for path in settings):
        return None
    lists = [several(types[path], node, path)[0] for path, node in settings.items()]
    found = []
    for combination in itertools.product(*lists):
        variant = section
        for path, new in zip(settings, combination, strict=True):
            variant = replaced(variant, path[len(axis.key) + 1 :], new)
        found.append(variant.build())
    return found
