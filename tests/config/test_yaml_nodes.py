"""YAML text to nodes: scalars as people mean them, places, limits, errors of syntax."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from sweeper.config.problems import Report
from sweeper.config.yaml_nodes import ListNode, MappingNode, data_of, node_of, parse, resolve
from sweeper.config.yaml_text import MAX_DEPTH, MAX_NODES, read_text
from sweeper.errors import Mark


def read(text: str) -> tuple[Any, Report]:
    report = Report("f.yaml", text.split("\n"))
    root = parse(text, report)
    return (None if root is None else data_of(root)), report


def only_error(text: str) -> tuple[int, int, str]:
    _, report = read(text)
    (problem,) = report.errors()
    return problem.line, problem.col, problem.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("+4", 4),
        ("0", 0),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e-3", 1e-3),
        ("3E5", 3e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e+2", -150.0),
        ("1_000.5", 1000.5),
        ("0.0", 0.0),
        ("0e0", 0.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("", None),
        ("~", None),
        ("Null", None),
        # What YAML 1.1 takes for something else stays a word.
        ("on", "on"),
        ("No", "No"),
        ("y", "y"),
        ("010", "010"),
        ("0_1", "0_1"),
        ("08.5", "08.5"),
        ("12:30", "12:30"),
        ("2026-11-21", "2026-11-21"),
        ("1__0", "1__0"),
        ("_1", "_1"),
        ("1_", "1_"),
        ("e5", "e5"),
        ("1e", "1e"),
        (".", "."),
        ("nan", "nan"),
        ("١", "١"),  # a digit to Python's int(), a letter to YAML
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_plain_scalar_is_what_people_mean(text: str, value: object) -> None:
    found = resolve(text)
    assert (type(found), found) == (type(value), value)


def test_not_a_number_is_read_so_that_it_can_be_refused() -> None:
    found = resolve(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_quoted_scalars_stay_text() -> None:
    assert read("a: ['1', \"1e-3\", 'true', '', !!str 2]")[0] == {
        "a": ["1", "1e-3", "true", "", "2"]
    }


def test_every_node_knows_its_place() -> None:
    report = Report("f.yaml")
    root = parse("a:\n  - 1\n  - {b: x}\n", report)
    assert root is not None
    entry = root.entries[0]
    assert entry.mark == Mark(1, 1)
    assert isinstance(entry.value, ListNode)
    one, two = entry.value.items
    assert (one.mark, two.mark) == (Mark(2, 5), Mark(3, 5))
    assert isinstance(two, MappingNode)
    (inner,) = two.entries
    assert (inner.mark, inner.value.mark) == (Mark(3, 6), Mark(3, 9))


def test_lines_end_where_yaml_says_so() -> None:
    report = Report("f.yaml")
    root = parse("a: 1\r\nb: 2\u2028c: 3\rd: 4\n", report)
    assert root is not None
    assert [entry.mark.line for entry in root.entries] == [1, 2, 3, 4]


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    text = """
base: &base {width: 64, depth: 2}
more: &more {depth: 3, rtol: 1e-6}
one: {<<: *base, depth: 4}
two: {<<: [*base, *more]}
same: [*base, *base]
"""
    data, report = read(text)
    assert not report.problems
    assert data["one"] == {"depth": 4, "width": 64}
    assert data["two"] == {"width": 64, "depth": 2, "rtol": 1e-6}
    assert data["same"] == [data["base"], data["base"]]


def test_a_duplicate_key_names_both_lines() -> None:
    data, report = read("a: 1\nb: {c: 1,\n  c: 2}\na: 1\n")
    (error,) = report.errors()
    assert (error.line, error.col) == (3, 3)
    assert (
        error.message
        == "`c` is given twice, on line 2 and on line 3, with different values: keep one"
    )
    (warning,) = report.warnings()
    assert warning.render().startswith(
        "f.yaml:4:1: warning: `a` is given twice, on line 1 and on line 4"
    )
    assert data["a"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [("1", "1.0"), ("1", "true"), ("1", "'1'"), ("[1, 1]", "1"), ("[]", "1"), ("[1]", "1.0")],
)
def test_equal_values_of_different_types_are_different(first: str, second: str) -> None:
    _, report = read(f"a: {first}\na: {second}\n")
    assert len(report.errors()) == 1


@pytest.mark.parametrize(
    "text", ["a: [64]\na: 64\n", "a: {b: 64, c: x}\na: {c: [x], b: [64]}\n", "a: x\na: [x]\n"]
)
def test_an_axis_of_one_value_is_the_same_as_the_value(text: str) -> None:
    _, report = read(text)
    assert report.errors() == []
    (warning,) = report.warnings()
    assert warning.message == "`a` is given twice, on line 1 and on line 2"


def test_five_seeds_are_not_the_seed_five() -> None:
    _, report = read("seeds: 5\nseeds: [5]\n")
    assert len(report.errors()) == 1


@pytest.mark.parametrize(
    ("text", "line", "col", "words"),
    [
        ("a: 1\n\tb: 2\n", 2, 1, "a tab can't indent YAML"),
        ("a: b: c\n", 1, 5, "quote a value that contains `: `"),
        ("a: [1, 2\nb: 3\n", 2, 2, "started on line 1"),
        ("a: 'x\n", 2, 1, "quotation mark is not closed"),
        ("a: @x\n", 1, 4, "quote a value that begins with this character"),
        ("a:\n  - 1\n - 2\n", 3, 2, "fix the indentation"),
        ("", 0, 0, "is empty"),
        ("# nothing\n", 0, 0, "is empty"),
        ("~\n", 0, 0, "is empty"),
        ("- 1\n", 1, 1, "must be a mapping"),
        ("words\n", 1, 1, "must be a mapping"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second document"),
        ("1: x\n", 1, 1, 'key `1` is not text: quote it, "1"'),
        ("true: x\n", 1, 1, "key `true` is not text"),
        ("~: x\n", 1, 1, "key `~` is not text"),
        ("? [a]\n: 1\n", 1, 3, "a key must be text"),
        ("a: !!python/name:os.system x\n", 1, 4, "the tag `!!python/name:os.system`"),
        ("a: ! x\n", 1, 4, "the tag `!` is not supported"),
        ("a: !!map [1]\n", 1, 4, "the tag `!!map` is not supported"),
        ("a: !thing {b: 1}\n", 1, 4, "the tag `!thing`"),
        ("a: *base\n", 1, 4, "`*base`: no anchor `&base` before it"),
        ("a: &a [*a]\n", 1, 8, "`*a` refers to itself"),
        ("<<: 3\n", 1, 5, "`<<` takes a mapping"),
        ("a: x\x07y\n", 1, 5, "U+0007"),
        ('a: "\\ud800"\n', 1, 4, "surrogate"),
        ('a: "\\UFFFFFFFF"\n', 1, 7, "not valid YAML"),
    ],
)
def test_errors_of_text_say_where_and_what(text: str, line: int, col: int, words: str) -> None:
    found = only_error(text)
    assert found[:2] == (line, col)
    assert words in found[2]


def test_aliases_that_stand_for_a_billion_values_are_refused_at_once() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
    )
    line, _, message = only_error(text)
    assert line == 5
    assert f"more than {MAX_NODES} values" in message


def test_aliases_that_nest_too_deep_are_refused() -> None:
    # No line nests more than two levels; written out, the last one would nest 2,000.
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2_000))
    line, _, message = only_error(text)
    assert (line, message) == (MAX_DEPTH, f"nested more than {MAX_DEPTH} levels deep")
    assert read("".join(text.splitlines(keepends=True)[: MAX_DEPTH - 1]))[1].problems == []


def test_an_anchor_can_be_given_again() -> None:
    assert read("a: &x 1\nb: *x\nc: &x [2]\nd: *x\n")[0] == {"a": 1, "b": 1, "c": [2], "d": [2]}


def test_too_many_values_and_too_deep_nesting_are_refused() -> None:
    assert "levels deep" in only_error("a: " + "[" * 10_000)[2]
    keys = "".join(f"k{n}: 1\n" for n in range(500))
    assert read(keys)[1].problems == []


def test_bytes_that_are_not_text_are_reported_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    text, report = read_text(file)
    assert text is None
    (problem,) = report.errors()
    assert (problem.line, problem.col) == (2, 7)
    assert "byte 0xe9 is not UTF-8" in problem.message


@pytest.mark.parametrize(
    ("content", "words"),
    [("a: 1".encode("utf-16"), "save it as UTF-8"), (b"#" * (1 << 20) + b"#", "larger than 1 MiB")],
)
def test_files_that_are_no_sweep_files(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(content)
    text, report = read_text(file)
    assert text is None
    assert words in report.errors()[0].render()


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    text, report = read_text(file)
    assert text == "a: 1\n"
    assert report.lines[0] == "a: 1"


def test_a_missing_file_is_reported_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("a: 1\n")
    _, report = read_text(tmp_path / "quickstrat.yaml")
    assert report.errors()[0].message == "no such file; did you mean `quickstart.yaml`?"
    assert read_text(tmp_path)[1].errors()[0].message.startswith("is a folder")
    assert "can't be read" in read_text(tmp_path / "quickstart.yaml" / "x")[1].errors()[0].message
    assert "can't be read" in read_text(tmp_path / "a\0b")[1].errors()[0].message


def test_nodes_of_plain_data_and_back() -> None:
    data = {"a": [1, 2.5, None, True, "x"], "b": {"c": []}}
    assert data_of(node_of(data)) == data
