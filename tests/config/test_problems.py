"""How problems are rendered, and how the word that was meant is found."""

from __future__ import annotations

import pytest

from sweeper.config import Problem, nearest
from sweeper.config.problems import Report
from sweeper.errors import Mark
from sweeper.suggest import listed, shown


def test_a_problem_shows_the_line_and_a_caret_below_the_place() -> None:
    problem = Problem("s.yaml", 3, 10, "width: expected an integer", "  width: abc")
    assert problem.render() == (
        "s.yaml:3:10: width: expected an integer\n     width: abc\n            ^"
    )


def test_a_problem_of_the_whole_file_has_no_line() -> None:
    assert Problem("s.yaml", 0, 0, "is empty").render() == "s.yaml: is empty"
    assert Problem("", 0, 0, "width: no").render() == "width: no"
    warning = Problem("s.yaml", 1, 1, "twice", severity="warning")
    assert warning.render() == "s.yaml:1:1: warning: twice"


@pytest.mark.parametrize("col", [1, 60, 5000, 10_000])
def test_the_caret_stays_under_its_character_in_a_long_line(col: int) -> None:
    line = "".join(chr(ord("a") + n % 26) for n in range(10_000))
    _, shown_line, caret = Problem("s", 1, col, "m", line).render().split("\n")
    assert len(shown_line) < 110
    assert shown_line[caret.index("^")] == line[col - 1]


def test_tabs_and_escape_codes_do_not_reach_the_terminal() -> None:
    _, line, caret = Problem("s", 1, 3, "m", "\t\x1bx").render().split("\n")
    assert line == "     x"
    assert caret.index("^") == line.index("x")
    assert shown("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert len(shown("x" * 1000)) == 60


def test_a_report_is_in_file_order_and_repeats_nothing() -> None:
    report = Report("s", ["one", "two"])
    report.error(Mark(2, 1), "b")
    report.error(Mark(1, 2), "a")
    report.error(Mark(2, 1), "b")
    report.warn(Mark(1, 1), "w")
    assert [problem.message for problem in report.errors()] == ["a", "b"]
    assert report.errors()[0].source_line == "one"
    assert [problem.message for problem in report.warnings()] == ["w"]


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("Tanh", ["gelu", "tanh"], "tanh"),
        ("tahn", ["gelu", "tanh"], "tanh"),
        ("paramters", ["data", "parameters"], "parameters"),
        (
            "unit_exp",
            ["mlp_4D_logmag_unit_tanh_exp", "mlp_4D_logmag_unit_exp"],
            "mlp_4D_logmag_unit_exp",
        ),
        ("lr", ["depth", "lr_strategy"], "lr_strategy"),
        ("zzz", ["gelu", "tanh"], None),
        ("", ["gelu"], None),
        ("x" * 10_000, ["xxx"], None),
        ("tanh", [], None),
    ],
)
def test_the_nearest_word(word: str, words: list[str], meant: str | None) -> None:
    assert nearest(word, words) == meant


def test_long_lists_of_words_are_cut() -> None:
    assert listed("ab") == "`a`, `b`"
    assert listed(str(n) for n in range(40)).endswith("`11`, … (40 in all)")
