"""What fields accept: by type, a YAML value is one value, an axis, or an error."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest
from annotated_types import Ge, Gt, Interval, Len, Lt, MultipleOf, Predicate

from sweeper.config import duration_s, from_plain, plain
from sweeper.config.axes import several
from sweeper.config.field_types import MisfitError
from sweeper.config.parsed_types import Amount
from sweeper.config.problems import Report
from sweeper.config.schema import check_types, schema_of
from sweeper.config.yaml_nodes import parse
from sweeper.errors import ConfigError, TrainerError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Opaque(enum.Enum):
    ONE = object()
    TWO = object()


@dataclass(frozen=True)
class Adam:
    name: Literal["adam"] = "adam"
    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Sgd:
    name: Literal["sgd"] = "sgd"
    momentum: float = 0.0


@dataclass(frozen=True)
class Phase:
    steps: int
    lr: float = 1e-3

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"`steps >= 0` must hold, but got steps={self.steps}")


Metres = NewType("Metres", float)
SECONDS = Amount(duration_s, "seconds")
Pairs = tuple[tuple[float, float], ...]


# What stands for the metadata of pydantic, which need not be installed.
Pydantic = type("FieldInfo", (), {"__module__": "pydantic.fields"})


def read(annotation: Any, text: str) -> tuple[str, Any]:
    """("value", v) or ("axis", [v, …]) for the text in a required field of that type."""
    cls = dataclasses.make_dataclass("Made", [("x", annotation)], frozen=True)
    root = parse(f"x: {text}", Report("f"))
    assert root is not None
    values, _ = several(schema_of(cls).fields["x"], root.entries[0].value, "x")
    return ("value", values[0]) if len(values) == 1 else ("axis", values)


def same(found: Any, wanted: Any) -> bool:
    """Equal in value and, through every container, in type."""
    if type(found) is not type(wanted):
        return False
    if isinstance(found, tuple | list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(found == wanted) and (found != 0 or str(found) == str(wanted))  # 0.0, not -0.0


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "3", 3),
        (float, "3", 3.0),
        (float, "1e-3", 1e-3),
        (float, "-0.0", 0.0),
        (bool, "true", True),
        (bool, "on", True),
        (bool, "No", False),
        (str, "on", "on"),
        (str, "tanh", "tanh"),
        (str, "'1'", "1"),
        (str, "12:30", "12:30"),
        (Literal["on", "off"], "on", "on"),
        (Literal[1, 2], "2", 2),
        (Literal["1", 1], "1", 1),
        (Colour, "red", Colour.RED),
        (Colour, "BLUE", Colour.BLUE),
        (Level, "2", Level.HIGH),
        (Opaque, "TWO", Opaque.TWO),
        (None | int, "null", None),
        (Optional[int], "~", None),  # noqa: UP045  (users write both)
        (int | float, "1", 1),
        (float | int, "1", 1),
        (float | int, "1.0", 1.0),
        (bool | str, "on", "on"),
        (str | bool, "true", True),
        (float | Literal["auto"], "auto", "auto"),
        (float | Literal["auto"], "2", 2.0),
        (Union[tuple[int, ...], int], "3", 3),  # noqa: UP007
        (tuple[int, ...] | tuple[float, ...], "[1, 2.5]", (1.0, 2.5)),
        (tuple[int, ...], "[4, 10, 18]", (4, 10, 18)),
        (tuple[int, ...], "4", (4,)),
        (tuple[int, ...], "[]", ()),
        (tuple[float, ...], "[1]", (1.0,)),
        (list[str], "[a, b]", ["a", "b"]),
        (list[str], "a", ["a"]),
        (Sequence[int], "[1, 2]", (1, 2)),
        (tuple[int, str], "[1, a]", (1, "a")),
        (tuple[float, float], "[0, 1]", (0.0, 1.0)),
        (Pairs, "[[0, .1], [0, 1]]", ((0.0, 0.1), (0.0, 1.0))),
        (Pairs, "[0.0, 1.0]", ((0.0, 1.0),)),
        (tuple[tuple[int, ...], ...], "[[1], [2, 3]]", ((1,), (2, 3))),
        (tuple[tuple[int, ...], ...], "[1, 2]", ((1, 2),)),
        (dict[str, float], "{a: 1, b: .5}", {"a": 1.0, "b": 0.5}),
        (Mapping[str, int], "{}", {}),
        (Any, "[1, {a: x}]", [1, {"a": "x"}]),
        (tuple, "[1, a]", (1, "a")),
        (dict, "{a: [1]}", {"a": [1]}),
        (Metres, "2", 2.0),
        (Annotated[int, "a length in pixels"], "3", 3),
        (Annotated[float | None, Gt(0)], "null", None),
        (Annotated[int, MultipleOf(4)], "8", 8),
        (Annotated[tuple[int, ...], Len(1, 2)], "[1, 2]", (1, 2)),
        (Annotated[str, Predicate(str.islower)], "abc", "abc"),
        (Path, "a/b.npz", Path("a/b.npz")),
        (datetime.date, "2026-11-21", datetime.date(2026, 11, 21)),
        (datetime.datetime, "2026-11-21T09:30", datetime.datetime(2026, 11, 21, 9, 30)),
        (Annotated[float, SECONDS], "1 min", 60.0),
        (Annotated[float, SECONDS], "2", 2.0),
        (Annotated[int, SECONDS], "2 min", 120),
        (Annotated[float, SECONDS] | None, "null", None),
        # One item is simply that value.
        (int, "[64]", 64),
        (Literal["tanh", "relu"], "[tanh]", "tanh"),
        (tuple[int, ...], "[[4]]", (4,)),
        (Pairs, "[[[0, .1], [0, 1]]]", ((0.0, 0.1), (0.0, 1.0))),
        (Adam | Sgd, "sgd", Sgd()),
        (Adam | Sgd, "{name: adam, lr: 1}", Adam(lr=1.0)),
        (Adam, "{betas: [0, 1]}", Adam(betas=(0.0, 1.0))),
        (tuple[Phase, ...], "[{steps: 1}, {steps: 2, lr: 1}]", (Phase(1), Phase(2, 1.0))),
        (tuple[Phase, ...], "{steps: 1}", (Phase(1),)),
        (dict[str, Phase], "{a: {steps: 1}}", {"a": Phase(1)}),
    ],
)
def test_what_fits_is_one_value(annotation: Any, text: str, value: Any) -> None:
    what, found = read(annotation, text)
    assert what == "value"
    assert same(found, value)


@pytest.mark.parametrize(
    ("annotation", "text", "values"),
    [
        (int, "[64, 128]", [64, 128]),
        (float, "[1, .5]", [1.0, 0.5]),
        (bool, "[on, off]", [True, False]),
        (Literal["tanh", "relu"], "[tanh, relu]", ["tanh", "relu"]),
        (float | None, "[null, 1]", [None, 1.0]),
        (tuple[int, ...], "[[4], [10], [18]]", [(4,), (10,), (18,)]),
        (tuple[int, ...], "[[4, 18], 10]", [(4, 18), (10,)]),
        (
            Pairs,
            "[[[0, .1], [0, 1], [0, 1]], [0.0, 1.0]]",
            [((0.0, 0.1), (0.0, 1.0), (0.0, 1.0)), ((0.0, 1.0),)],
        ),
        (tuple[float, float], "[[0, 1], [1, 2]]", [(0.0, 1.0), (1.0, 2.0)]),
        (dict[str, int], "[{a: 1}, {b: 2}]", [{"a": 1}, {"b": 2}]),
        (Adam | Sgd, "[adam, {name: sgd, momentum: 1}]", [Adam(), Sgd(momentum=1.0)]),
        (Path, "[a, b]", [Path("a"), Path("b")]),
    ],
)
def test_a_list_of_what_fits_is_an_axis(annotation: Any, text: str, values: list[Any]) -> None:
    what, found = read(annotation, text)
    assert what == "axis"
    assert same(found, values)


@pytest.mark.parametrize(
    ("annotation", "text", "errors"),
    [
        (int, "1.5", ["x: expected an integer, got the number 1.5"]),
        (int, "1e3", ["x: expected an integer, got the number 1e3; write 1000"]),
        (int, "true", ["x: expected an integer, got true"]),
        (int, "abc", ["x: expected an integer, got `abc`"]),
        (int, "'3'", ['x: expected an integer, got the text "3"; leave out the quotes']),
        (int, "010", [
            "x: expected an integer, got `010`; a number has no leading zeros: write `10`"
        ]),
        (int, "", ["x: expected an integer, got nothing"]),
        (int, "null", ["x: expected an integer, got nothing (`null`)"]),
        (int, "{a: 1}", ["x: expected an integer, got a mapping"]),
        (int, "[]", ["x: an empty list: give at least one value, or leave the key out"]),
        (int, "[1, a, 2, 1.5]", [
            "x: expected an integer, got `a`",
            "x: expected an integer, got the number 1.5",
        ]),
        (int, "[[1], 2]", ["x: expected an integer, got a list of 1"]),
        (float, ".inf", ["x: expected a number, got the number .inf; it must be finite"]),
        (float, ".nan", ["x: expected a number, got the number .nan; it must be finite"]),
        (float, "1e999", ["x: expected a number, got the number 1e999; it must be finite"]),
        (bool, "1", ["x: expected true or false, got the number 1; write true"]),
        (bool, "'on'", ['x: expected true or false, got the text "on"']),
        (bool, "ture", ["x: expected true or false, got `ture`; did you mean `true`?"]),
        (str, "1", ['x: expected text, got the number 1; quote it: "1"']),
        (str, "true", ['x: expected text, got true; quote it: "true"']),
        (str, "", ["x: expected text, got nothing"]),
        (Path, "1", ["x: expected a path, got the number 1"]),
        (Path, "{}", ["x: expected a path, got a mapping"]),
        (datetime.date, "2026-13-01", [
            "x: expected a date such as `2026-11-22`, got `2026-13-01`"
        ]),
        (datetime.datetime, "noon", [
            "x: expected a date and time such as `2026-11-22T09:30`, got `noon`"
        ]),
        (Annotated[float, SECONDS], "3 kg", ["x: expected seconds, got `3 kg`"]),
        (Annotated[int, SECONDS], "1.5 s", ["x: expected seconds, got `1.5 s`"]),
        (Annotated[float, SECONDS] | None, "-1", [
            "x: expected seconds or null, got the number -1"
        ]),
        (Literal["tanh", "gelu"], "tahn", [
            "x: expected one of `tanh`, `gelu`, got `tahn`; did you mean `tanh`?"
        ]),
        (Literal["1", "2"], "1", ['x: expected one of `1`, `2`, got the number 1; quote it: "1"']),
        (Literal[1], "true", ["x: expected `1`, got true"]),
        (Level, "3", ["x: expected one of `1`, `2`, got the number 3"]),
        (Colour, "rde", ["x: expected one of `red`, `blue`, got `rde`; did you mean `red`?"]),
        (Annotated[float, Gt(0)], "-1", ["x: expected a number > 0, got the number -1"]),
        (Annotated[float, Gt(0)], "a", ["x: expected a number > 0, got `a`"]),
        (Annotated[int, Ge(2)] | None, "1", [
            "x: expected an integer ≥ 2 or null, got the number 1"
        ]),
        (Annotated[float, Interval(gt=0, le=1)], "2", [
            "x: expected a number > 0 and ≤ 1, got the number 2"
        ]),
        (Annotated[int, Lt(3), MultipleOf(2)], "1", [
            "x: expected an integer < 3 and that is a multiple of 2, got the number 1"
        ]),
        (Annotated[str, Predicate(str.islower)], "A", [
            "x: expected text for which `islower` holds, got `A`"
        ]),
        (Annotated[tuple[int, ...], Len(1)], "[]", [
            "x: expected a list (each item: an integer) at least 1 long, got a list of 0"
        ]),
        (float | Literal["auto"], "atuo", [
            "x: expected a number or `auto`, got `atuo`; did you mean `auto`?"
        ]),
        (tuple[int, ...], "[4, x, 1.5]", [
            "x[1]: expected an integer, got `x`",
            "x[2]: expected an integer, got the number 1.5",
        ]),
        (tuple[int, ...], "x", ["x: expected an integer, got `x`"]),
        (tuple[int, ...], "[[4], [x]]", ["x[0]: expected an integer, got `x`"]),
        (Pairs, "[[0, 1], [0, a]]", ["x[1][1]: expected a number, got `a`"]),
        (Pairs, "[[[0, 1], [0, 1]], [0, a]]", ["x[1]: expected a number, got `a`"]),
        (tuple[float, float], "[1, 2, 3]", [
            "x: expected a list of 2 (a number, a number), got a list of 3"
        ]),
        (dict[str, float], "{a: x, b: 1, c: y}", [
            "x.a: expected a number, got `x`",
            "x.c: expected a number, got `y`",
        ]),
        (Adam, "{lr: -1, beats: 1}", [
            "x.lr: expected a number > 0, got the number -1",
            "x.beats: unknown key; did you mean `betas`?",
        ]),
        (Adam, "3", [
            "x: expected a mapping with keys of `name`, `lr`, `betas`, got the number 3"
        ]),
        (Adam | Sgd, "adma", [
            "x: expected a mapping with `name` `adam`, `sgd`, got `adma`; did you mean `adam`?"
        ]),
        (Adam | Sgd, "{name: adma}", [
            "x.name: expected one of `adam`, `sgd`, got `adma`; did you mean `adam`?"
        ]),
        (Adam | Sgd, "{lr: 1}", ["x.name: is required: one of `adam`, `sgd`"]),
        (Adam | Sgd, "{name: [adam, sgd]}", [
            "x.name: can't be an axis: write a list of mappings, `[{name: …}, {name: …}]`"
        ]),
        (Phase, "{lr: 1}", ["x.steps: is required"]),
        (Phase, "{steps: -1}", ["x: `steps >= 0` must hold, but got steps=-1"]),
        (tuple[Phase, ...], "[{steps: 1}, {step: 2}]", [
            "x[1].step: unknown key; did you mean `steps`?",
            "x[1].steps: is required",
        ]),
    ],
)  # fmt: skip
def test_a_misfit_says_what_was_expected_and_what_was_meant(
    annotation: Any, text: str, errors: list[str]
) -> None:
    with pytest.raises(MisfitError) as caught:
        read(annotation, text)
    assert [str(misfit) for misfit in caught.value.misfits] == errors


PYDANTIC = Annotated[int, Pydantic()]


@pytest.mark.parametrize("bound", [PYDANTIC, tuple[PYDANTIC, ...]])
def test_bounds_that_would_not_be_checked_are_refused(bound: Any) -> None:
    with pytest.raises(TrainerError, match=r"Made\.x: write its bounds with annotated_types"):
        check_types(make(("x", bound)))


@pytest.mark.parametrize(
    "value",
    [
        Path("a/b.npz"),
        datetime.date(2026, 11, 22),
        datetime.datetime(2026, 11, 22, 9, 30, 1, 25, tzinfo=datetime.UTC),
    ],
)
def test_paths_and_dates_are_text_in_a_file(value: Any) -> None:
    cls = make(("x", type(value) if isinstance(value, datetime.date) else Path))
    data = plain(cls(value))
    assert isinstance(data["x"], str)
    assert from_plain(cls, data) == cls(value)
    with pytest.raises(ConfigError, match="expected a"):
        plain(cls(3))


def make(*fields: Any) -> type:
    return dataclasses.make_dataclass("Made", fields, frozen=True)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (make(("x", set[int])), "no sweep file can give"),
        (make(("x", bytes)), "Made.x: no sweep file can give a value of the type bytes"),
        (make(("x", datetime.time)), "no sweep file can give a value of the type time"),
        (make(("x", Callable[[], int])), "no sweep file can give"),
        (make(("x", dict[int, str])), "keys of a mapping must be `str`"),
        (make(("x", "Nowhere")), "annotations can't be resolved"),
        (make(("x", int, field(default="a"))), "Made.x: its default doesn't fit its type"),
        (make(("x", float, field(default=None))), "its default doesn't fit its type"),
        (make(("x", float, field(default=float("nan")))), "its default doesn't fit its type"),
        (make(("x", Annotated[int, Gt(0)], field(default=0))), "expected an integer > 0"),
        (make(("x", Phase | Sgd)), "nothing distinguishes Phase, Sgd"),
        (make(("x", Annotated[Phase, Predicate(bool)])), "`__post_init__`"),
        (make(("x", GenericAlias(tuple, (make(("y", set[int])), ...)))), "no sweep file can give"),
    ],
)
def test_a_config_that_no_file_could_fill_is_the_trainers_error(cls: type, words: str) -> None:
    with pytest.raises(TrainerError, match=words.replace("(", r"\(")):
        check_types(cls)


@dataclass(frozen=True)
class Tree:
    value: int = 0
    child: Tree | None = None
    others: tuple[Tree, ...] = ()


def test_a_dataclass_may_contain_its_own_kind() -> None:
    check_types(Tree)
    tree = Tree(1, Tree(2), (Tree(3),))
    assert from_plain(Tree, plain(tree)) == tree


@dataclass(frozen=True)
class Odd:
    """Fields that are set by the class itself are no part of the config."""

    a: int = 1
    b: int = field(default=5, init=False)
    c: float = field(default=2, kw_only=True)


def test_fields_that_no_one_can_pass_are_left_out() -> None:
    assert plain(Odd()) == {"a": 1, "c": 2.0}
    assert from_plain(Odd, {"c": 3}) == Odd(c=3.0)
    with pytest.raises(ConfigError, match="b: unknown key"):
        from_plain(Odd, {"b": 1})


def test_a_value_in_a_config_that_is_not_of_its_type_is_an_error() -> None:
    with pytest.raises(ConfigError, match="expected an int"):
        plain(Odd(a="x"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="finite"):
        plain(Odd(c=float("inf")))
