"""The page on records names every file, event and field that the code has."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from sweeper.engine.results import Result
from sweeper.records.event_codec import VERSION
from sweeper.records.events import KINDS
from sweeper.records.layout import GroupFolder, RunFolder
from sweeper.records.outcomes import Cause, CauseKind, Outcome

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


def words(text: str) -> list[str]:
    return re.findall(r"`([\w ]+)`", text)


def test_every_kind_of_event_has_a_row_with_its_fields() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \|$", PAGE, re.M)

    head, *rows = rows
    assert head[0] == "event"
    assert {name: words(listed) for name, listed in rows} == {
        name: [field.name for field in fields(kind)] for name, kind in KINDS.items()
    }


def test_outcomes_and_causes_are_all_listed() -> None:
    paragraph = PAGE[PAGE.index("An `outcome` is one of") : PAGE.index("## Metrics and results")]

    listed = {*words(paragraph)}
    assert listed >= {str(outcome) for outcome in Outcome}
    assert listed >= {str(kind) for kind in CauseKind}
    assert listed >= {field.name for field in fields(Cause)} - {"message"}


def test_the_fields_of_a_result_are_listed() -> None:
    sentence = re.search(r"`result.json` has (.*?)\. In Python", PAGE, re.S)

    assert sentence is not None
    assert words(sentence[1]) == [field.name for field in fields(Result) if field.name != "spoilt"]


def test_every_file_is_in_the_tree() -> None:
    tree = PAGE[PAGE.index("runs/<group>/") : PAGE.index("**The journal decides.**")]
    group = GroupFolder(Path("runs"), "g")
    places = [group.sweep_file, group.plan_file, group.journal_dir, group.claims_dir]
    folders = [group.results_dir, group.runs_folder, group.sources_dir, group.requests_dir]
    names = {path.name for path in (*places, *folders)}

    for name in names | RunFolder(Path("r")).own_names:
        assert re.search(rf"^ +{re.escape(name)}", tree, re.M), name


def test_the_version_is_the_one_that_is_written() -> None:
    assert f"This is version {VERSION};" in PAGE
