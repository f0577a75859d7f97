"""Sections: a dataclass, or several told apart by a tag, as mappings of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sweeper.config.field_types import Fault, Kind, Looseness, MisfitError
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode
from sweeper.keys import joined
from sweeper.suggest import listed, meant, shown

__all__ = ["MISSING", "Form", "Section", "SectionKind", "sentence"]


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


# Stands where a required field has no value yet.
MISSING: Final = _Missing()


@dataclass(frozen=True)
class Form:
    """A dataclass as the reader sees it: what each field accepts, and its default.

    A required field's default is `MISSING`; that of a nested dataclass is a `Section`, so that
    single keys of it can be overridden. `default_values` is called when they are needed, as the
    forms of dataclasses that contain their own kind would never be done otherwise.
    """

    cls: Callable[..., Any]
    kinds: Mapping[str, Kind]
    default_values: Callable[[], Mapping[str, Any]]

    def defaults(self) -> Section:
        """The section of all defaults."""
        return Section(self, self.default_values())


@dataclass(frozen=True)
class Section:
    """The values for one form, nested sections unbuilt: they need not be valid together."""

    form: Form
    values: Mapping[str, Any]

    def build(self) -> Any:
        """The dataclass instance. Raises whatever its `__post_init__` raises."""
        return self.form.cls(
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
            else self.form.kinds[name].plain(value)
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
    """What a `__post_init__` has to say: the message of a ValueError, else the type as well."""
    said = shown(str(error), 300)
    if isinstance(error, ValueError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@dataclass(frozen=True)
class SectionKind(Kind):
    """One of some dataclasses; `tag` names the field whose word tells which, if there are several.

    `form_of` makes a form when it is asked for, so that a dataclass may contain its own kind.
    """

    classes: tuple[type, ...]
    tag: str | None
    form_of: Callable[[type], Form]

    @property
    def expects(self) -> str:
        if self.tag is not None:
            return f"a mapping with `{self.tag}` {listed(self.candidates())}"
        return f"a mapping with keys of {listed(self.form_of(self.classes[0]).kinds)}"

    def candidates(self) -> tuple[str, ...]:
        if self.tag is None:
            return ()
        kinds = [self.form_of(cls).kinds[self.tag] for cls in self.classes]
        return tuple(word for kind in kinds for word in kind.candidates())

    def choose(self, node: MappingNode, key: str, base: Any) -> Section:
        """The section that a mapping starts from: the right form with its defaults.

        These are the values of `base` if it is a section of that form, else the form's own.
        """
        form = self._form(node, key, base)
        return base if isinstance(base, Section) and base.form is form else form.defaults()

    def _form(self, node: MappingNode, key: str, base: Any) -> Form:
        if self.tag is None:
            return self.form_of(self.classes[0])
        entry = node.get(self.tag)
        if entry is not None:
            found = self._tagged(entry.value)
            if found is not None:
                return found
            where = joined(key, self.tag)
            if isinstance(entry.value, ListNode):
                text = f"write a list of mappings, `[{{{self.tag}: …}}, {{{self.tag}: …}}]`"
                raise MisfitError([Fault(entry.value.mark, where, f"can't be an axis: {text}")])
            word = entry.value.text if isinstance(entry.value, ScalarNode) else "a mapping"
            expected = f"expected one of {listed(self.candidates())}, got `{shown(word)}`"
            hint = meant(word, self.candidates())
            raise MisfitError([Fault(entry.value.mark, where, expected + hint)])
        if isinstance(base, Section):
            return base.form
        missing = f"is required: one of {listed(self.candidates())}"
        raise MisfitError([Fault(node.mark, joined(key, self.tag), missing)])

    def _tagged(self, node: Node) -> Form | None:
        """The form whose tag has this word."""
        for cls in self.classes if self.tag is not None else ():
            form = self.form_of(cls)
            try:
                form.kinds[str(self.tag)].fit(node, Looseness.EXACT, "")
            except MisfitError:
                continue
            return form
        return None

    def fit(self, node: Node, looseness: Looseness, key: str, base: Any = None) -> Any:
        if isinstance(node, MappingNode):
            return self._built(self.choose(node, key, base), node, looseness, key)
        form = self._tagged(node) if looseness >= Looseness.EASY else None
        if form is None:
            raise self._misfit(node, key)
        word = form.kinds[str(self.tag)].fit(node, Looseness.EXACT, key)
        start = base if isinstance(base, Section) and base.form is form else form.defaults()
        return self._instance(Section(form, {**start.values, str(self.tag): word}), node, key)

    def _built(self, start: Section, node: MappingNode, looseness: Looseness, key: str) -> Any:
        values = dict(start.values)
        faults: list[Fault] = []
        for entry in node.entries:
            name, where = entry.key, joined(key, entry.key)
            kind = start.form.kinds.get(name)
            if kind is None:
                hint = meant(name, start.form.kinds)
                faults.append(Fault(entry.mark, joined(key, shown(name)), f"unknown key{hint}"))
                continue
            try:
                values[name] = kind.fit(entry.value, looseness, where, values[name])
            except MisfitError as misfit:
                faults += misfit.faults
                values[name] = None
        if faults:
            faults += _required(Section(start.form, values), node, key)
            raise MisfitError(faults)
        return self._instance(Section(start.form, values), node, key)

    def _instance(self, section: Section, node: Node, key: str) -> Any:
        faults = _required(section, node, key)
        if faults:
            raise MisfitError(faults)
        try:
            return section.build()
        except Exception as error:  # whatever the user's __post_init__ raises
            raise MisfitError([Fault(node.mark, key, sentence(error))]) from error

    def plain(self, value: Any) -> dict[str, Any]:
        if type(value) not in self.classes:
            names = " or ".join(cls.__name__ for cls in self.classes)
            raise TypeError(f"expected {names}, got {value!r}")
        kinds = self.form_of(type(value)).kinds
        return {name: kind.plain(getattr(value, name)) for name, kind in kinds.items()}

    def holds(self, value: Any) -> bool:
        return type(value) in self.classes


def _required(section: Section, node: Node, key: str) -> list[Fault]:
    return [Fault(node.mark, path, "is required") for path in section.missing(key)]
