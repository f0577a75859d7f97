"""Logs are read from their end, and on from where reading stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.records import log_reader
from sweeper.records.log_reader import LogReader


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.integers(0, 14), st.booleans())
def test_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], wanted: int, ended: bool
) -> None:
    log = tmp_path_factory.mktemp("log") / "log.txt"
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    log.write_text(text)
    reader = LogReader(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "_BLOCK", 3)
        reader.skip_to_tail(wanted)
        found = [*reader.new_lines(), *filter(None, [reader.last_line()])]
    expected = text.split("\n")[:-1] + ([text.split("\n")[-1]] if text.split("\n")[-1] else [])
    assert found == (expected[-wanted:] if wanted else [])


def test_a_huge_log_is_not_read_from_its_beginning(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(10 * 1024**4)  # sparse
        file.seek(0, 2)
        file.write(b"\nthe end\n")
    reader = LogReader(log)
    assert reader.skip_to_tail(1, most_bytes=100) == 10 * 1024**4 + 1
    assert list(reader.new_lines()) == ["the end"]


def test_the_first_line_is_whole_where_much_is_skipped(log: Path) -> None:
    log.write_text("first\nsecond\nthird\n")
    reader = LogReader(log)
    assert reader.skip_to_tail(most_bytes=9) == len("first\nsecond\n")
    assert list(reader.new_lines()) == ["third"]


def test_what_is_added_follows_even_if_a_character_was_torn(log: Path) -> None:
    log.write_bytes(b"one\nsm" + b"\xc3")
    reader = LogReader(log)
    reader.skip_to_tail()
    assert list(reader.new_lines()) == ["one"]
    with log.open("ab") as file:
        file.write(b"\xb8rt\nlast")
    assert list(reader.new_lines()) == ["smørt"]
    assert reader.last_line() == "last"


def test_a_new_attempt_is_read_from_its_beginning(log: Path) -> None:
    log.write_text("attempt 1\n")
    reader = LogReader(log)
    reader.skip_to_tail()
    assert list(reader.new_lines()) == ["attempt 1"]
    log.rename(log.with_name("old"))
    log.write_text("attempt 2\n")
    assert list(reader.new_lines()) == ["attempt 2"]
