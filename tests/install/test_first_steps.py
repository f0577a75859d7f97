"""The hour of docs/first-steps.md, replayed with the installed wheel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from installed import Installed

PAGE = (Path(__file__).parents[2] / "docs" / "first-steps.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


def test_every_command_prints_what_the_page_shows(installed: Installed, tmp_path: Path) -> None:
    """Files and commands in their order; `…` stands for any text, on its own for any lines."""
    replayed = 0
    for language, title, text in BLOCK.findall(PAGE):
        if language == "console":
            for command, expected in commands(text):
                done = installed.shell(tmp_path, command)
                assert matches(expected, done.stdout), f"$ {command}\n{done.stdout}"
                replayed += 1
        elif title:
            name, _, added = title.partition(", ")
            with (tmp_path / name).open("a" if added else "w") as file:
                file.write(text)
    assert replayed == PAGE.count("\n$ ")


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output below it."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def matches(expected: str, output: str) -> bool:
    pattern = ""
    for line in expected.strip("\n").split("\n"):
        pattern += r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*?") + r"\n"
    return re.fullmatch(pattern, output.strip("\n") + "\n") is not None


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\n", "a\nb\nc\n", True),
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b\nc\n", False),
        ("…\nd\n", "a\nb\n", False),
    ],
)
def test_the_comparison_can_fail(expected: str, output: str, same: bool) -> None:
    assert matches(expected, output) is same
