"""The page for scripts: exit codes as in the code, and the keys of every `--json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Bench

from sweeper.cli import common
from sweeper.cli.reference import reference

PAGE = (Path(__file__).parents[2] / "docs" / "programs.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))


def test_exit_codes_are_those_of_the_commands() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.M)

    assert len(rows) == 6
    assert {name: getattr(common, name) for _, name in rows} == {
        name: int(status) for status, name in rows
    }


def test_every_command_with_json_has_a_section() -> None:
    commands = re.findall(r"^## sweep (\w+)\n(.*?)(?=^## |\Z)", reference(), re.M | re.S)
    with_json = {name for name, text in commands if "`--json`" in text}

    assert with_json - {"retry"} == set(SECTIONS)  # which answers as `launch` does


def documented(command: str) -> set[str]:
    """The keys of a section: in each item, the words before `:`, parentheses left out."""
    keys: set[str] = set()
    for item in re.findall(r"^- (.*?)(?=^- |\Z|^\n)", SECTIONS[command], re.M | re.S):
        plain = re.sub(r"\([^()]*\)", "", item)
        parts = re.split(r";", plain)
        keys |= {word for part in parts for word in re.findall(r"`(\w+)`", part.partition(":")[0])}
    return keys


@pytest.fixture(scope="module")
def launched(new_bench: Callable[[], Bench]) -> tuple[Bench, Any]:
    """A small sweep of which some runs crash, and the answer of its launch."""
    bench = new_bench()
    bench.write("some", "trainer: sabotage\ngroup: some\ndeed: [finish, raise]\nseeds: 2\n")
    done = bench.sweep("launch", "some.yaml", "--json")
    return bench, json.loads(done.stdout)


def test_launch_prints_these_keys(launched: tuple[Bench, Any]) -> None:
    assert set(launched[1]) == documented("launch")


# `tests/cli` and `tests/launch` look at the answers of these.
ELSEWHERE = ("launch", "doctor", "stop", "evaluate")


@pytest.mark.parametrize("command", [name for name in SECTIONS if name not in ELSEWHERE])
def test_a_command_prints_these_keys(launched: tuple[Bench, Any], command: str) -> None:
    bench, _ = launched
    one, other = sorted(bench.state("some").runs)[:2]
    arguments = {
        "plan": ["some.yaml"],
        "run": ["some.yaml"],
        "show": [one],
        "diff": [one, other],
        "merge": ["some", "joined", "--dry-run"],
    }

    answer = json.loads(bench.sweep(command, *arguments.get(command, []), "--json").stdout)

    for item in answer if isinstance(answer, list) else [answer]:
        assert set(item) == documented(command)
