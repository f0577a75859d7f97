"""Why runs of a group ended badly, asked of real records."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from sweeper.cli.text import crashed_text
from sweeper.diagnosis.explain import EXACT_SOUGHT, VALUES_SHOWN, crash_groups
from sweeper.errors import RecordError
from sweeper.host.processes import host_name, process_start
from sweeper.records import GroupFolder, JournalWriter, crashed, write_atomically
from sweeper.records.events import Ended, Launched, Planned, Started
from sweeper.records.outcomes import Cause, Outcome

Row: TypeAlias = Mapping[str, Any]
End: TypeAlias = tuple[str | None, dict[str, str] | None]

AXES: dict[str, list[Any]] = {
    "data.dataset_name": ["complex_TBP_planar_1_train", "complex_TBP_planar_100_train"],
    "parameters.segment_length_strategy": [[4], [18], [200]],
    "parameters.activation": ["tanh", "leaky_relu"],
    "parameters.lr": [0.001, 0.01, 0.1],
    "parameters.seed": [0, 1],
}
NO_SEGMENT = {"kind": "exception", "type": "ValueError", "place": "train.py:8"}


def product(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


@pytest.fixture
def group(tmp_path: Path) -> Callable[..., GroupFolder]:
    """Writes a group: `ends` gives outcome and cause of a run by its number and axis values."""

    def write(
        ends: Callable[[int, Row], End], rows: Sequence[Row] | None = None, **launched: Any
    ) -> GroupFolder:
        folder = GroupFolder(tmp_path / "runs", "heads").make()
        rows = product(AXES) if rows is None else rows
        runs = {f"run{i:04d}": row for i, row in enumerate(rows)}
        with JournalWriter(folder.journal_dir, "w", clock=lambda: 1000.0) as journal:
            journal.append(
                Launched(launch="L", total=len(runs), **launched),
                Planned(runs=runs),
            )
            for number, (run, row) in enumerate(runs.items()):
                outcome, cause = ends(number, row)
                if outcome == "running":
                    journal.append(Started(run=run, attempt=1))
                elif outcome:
                    why = Cause.from_plain(cause) if cause else None
                    journal.append(Ended(run=run, attempt=1, outcome=Outcome(outcome), cause=why))
        return folder

    return write


def short(row: Row) -> dict[str, Any]:
    return {key.rpartition(".")[2]: value for key, value in row.items()}


def too_long(number: int, row: Row) -> End:
    own = short(row)
    if own["segment_length_strategy"] == [200] and own["dataset_name"].endswith("_1_train"):
        return "crashed", {**NO_SEGMENT, "message": f"no segment of 200 points in orbit {number}"}
    return "finished", None


def test_a_cause_with_its_condition(group: Callable[..., GroupFolder]) -> None:
    folder = group(too_long)
    answer = crash_groups(folder)
    json.dumps(answer, allow_nan=False)
    assert answer["runs"] == [run.plain() for run in crashed(folder)]
    ids = [run["id"] for run in answer["runs"]]
    assert len(ids) == 12
    (cause,) = answer["causes"]
    chance = cause["condition"].pop("chance")
    assert 0 < chance < 1e-9
    assert cause == {
        "outcome": "crashed",
        "kind": "exception",
        "type": "ValueError",
        "message": "no segment of 200 points in orbit …",
        "place": "train.py:8",
        "runs": 12,
        "ids": ids,
        "example": ids[0],
        "condition": {
            "atoms": [
                {
                    "axis": "data.dataset_name",
                    "relation": "=",
                    "values": ["complex_TBP_planar_1_train"],
                },
                {
                    "axis": "parameters.segment_length_strategy",
                    "relation": "=",
                    "values": [[200]],
                },
            ],
            "text": "dataset_name = complex_TBP_planar_1_train and segment_length_strategy = [200]",
            "crashed_in": 12,
            "total_in": 12,
            "crashed_out": 0,
            "total_out": 60,
            "exact": True,
        },
        "note": None,
    }


def test_each_cause_is_compared_with_the_finished_runs(group: Callable[..., GroupFolder]) -> None:
    """What diverged is no evidence for or against a crash."""

    def ends(number: int, row: Row) -> End:
        if short(row)["lr"] == 0.1:
            return "diverged", {"kind": "not finite", "message": f"loss is nan at step {number}"}
        return too_long(number, row)

    answer = crash_groups(group(ends))
    diverged, crash = answer["causes"]
    assert (diverged["outcome"], diverged["runs"]) == ("diverged", 24)
    assert diverged["message"] == "loss is nan at step …"
    assert diverged["condition"]["text"] == "lr = 0.1"
    assert crash["runs"] == 8
    assert crash["condition"]["total_out"] == 40
    assert crash["condition"]["exact"]


def test_a_tendency_is_called_a_heuristic_and_its_example_is_typical(
    group: Callable[..., GroupFolder],
) -> None:
    def ends(number: int, row: Row) -> End:
        bad = short(row)["activation"] == "tanh"
        # The first run is the exception to the rule.
        if bad != (number in {0, 20}) or number == 25:
            return "crashed", {**NO_SEGMENT, "message": "no"}
        return "finished", None

    (cause,) = crash_groups(group(ends, product(AXES)[::-1]))["causes"]
    assert cause["condition"]["text"] == "activation = tanh"
    assert not cause["condition"]["exact"]
    assert cause["note"] == "a tendency, found by a heuristic"
    assert cause["ids"][0] == "run0000"
    assert cause["example"] != "run0000"


def test_five_of_the_eight_with_one_head_are_shown_and_marked_weak(
    group: Callable[..., GroupFolder],
) -> None:
    rows = product({"head": list("abcde"), "lr": [1, 2, 3, 4], "seed": [0, 1]})
    bad = {("e", 1, 0), ("e", 2, 1), ("e", 3, 0), ("e", 4, 1), ("e", 4, 0)}
    folder = group(
        lambda _, row: ("diverged" if tuple(row.values()) in bad else "finished", None), rows
    )
    answer = crash_groups(folder)
    (cause,) = answer["causes"]
    condition = cause["condition"]
    assert condition["text"] == "head = e"
    counts = [condition[key] for key in ("crashed_in", "total_in", "crashed_out", "total_out")]
    assert counts == [5, 8, 0, 32]
    # C(8, 5) of the C(40, 5) ways, times the number of conditions as simple as this one.
    assert condition["chance"] == pytest.approx(56 / 658008 * 4 * 5 * 3 * 3)
    assert cause["note"] == "weak: chance alone does as well in up to 0.015 of cases"
    assert "head = e: 5 of 8 diverged; 0 of 32 others (weak: " in crashed_text(answer)


def test_what_differs_least_is_shown_and_marked_weak(group: Callable[..., GroupFolder]) -> None:
    folder = group(
        lambda number, _: ("lost", None) if number in {3, 26, 47, 60} else ("finished", None)
    )
    (cause,) = crash_groups(folder)["causes"]
    assert cause["condition"]["text"] == "activation = tanh"
    assert cause["note"] == "weak: chance alone does as well"


def test_where_nothing_differs_there_is_no_condition(group: Callable[..., GroupFolder]) -> None:
    rows = product({"head": ["a", "b"], "lr": [1, 2]}) * 2  # each config is bad once, good once
    folder = group(lambda number, _: ("lost" if number < 4 else "finished", None), rows)
    (cause,) = crash_groups(folder)["causes"]
    assert cause["condition"] is None
    assert (
        cause["note"]
        == "none: they have every parameter's values as often as the 4 others have them"
    )
    assert (cause["kind"], cause["message"]) == (None, "")


def test_one_run_alone_may_be_chance(group: Callable[..., GroupFolder]) -> None:
    rows = product({"a": ["x", "y"], "seed": [0, 1]})
    folder = group(lambda n, _: ("crashed", None) if n == 1 else ("finished", None), rows)
    (cause,) = crash_groups(folder)["causes"]
    assert cause["condition"]["text"] == "a = x and seed = 1"
    assert cause["condition"]["exact"]
    assert cause["note"] == "weak: chance alone does as well"


def test_all_runs_crashed(group: Callable[..., GroupFolder]) -> None:
    folder = group(lambda number, _: ("crashed", {**NO_SEGMENT, "message": f"no {number}"}))
    (cause,) = crash_groups(folder)["causes"]
    condition = cause["condition"]
    assert condition["atoms"] == []
    assert condition["text"] == "every run that has ended"
    assert (condition["crashed_in"], condition["total_in"]) == (72, 72)
    assert (condition["crashed_out"], condition["total_out"]) == (0, 0)
    assert condition["exact"]
    assert cause["note"] is None


def test_while_nothing_has_finished_causes_are_compared_with_each_other(
    group: Callable[..., GroupFolder],
) -> None:
    def ends(number: int, row: Row) -> End:
        if number > 60:
            return None, None
        if short(row)["activation"] == "tanh":
            return "crashed", {**NO_SEGMENT, "message": "no"}
        return "diverged", {"kind": "not finite", "message": "loss is nan"}

    texts = [cause["condition"]["text"] for cause in crash_groups(group(ends))["causes"]]
    assert texts == ["activation = tanh", "activation = leaky_relu"]


def test_what_the_check_found_is_compared_with_all_that_passed_it(
    group: Callable[..., GroupFolder],
) -> None:
    def ends(number: int, row: Row) -> End:
        if short(row)["segment_length_strategy"] == [200]:
            return "invalid", {"kind": "preflight", "message": "segment 200 > window"}
        return ("crashed", None) if number % 2 else (None, None)

    causes = {cause["outcome"]: cause for cause in crash_groups(group(ends))["causes"]}
    condition = causes["invalid"]["condition"]
    assert condition["text"] == "segment_length_strategy = [200]"
    assert (condition["total_in"], condition["total_out"]) == (24, 48)
    # The check, which stopped the invalid ones, says nothing about crashes.
    assert causes["crashed"]["condition"]["text"] == "every run that has ended"


def test_what_was_stopped_or_interrupted_has_no_condition(
    group: Callable[..., GroupFolder],
) -> None:
    """They come last in the grid, which would look like a cause."""

    def ends(number: int, _: Row) -> End:
        if number < 60:
            return "finished", None
        if number < 66:
            return "stopped", {"kind": "asked to stop", "message": "asked to stop"}
        return "running", None

    me = {"host": host_name(), "pid": os.getpid(), "pid_start": "some other process"}
    causes = crash_groups(group(ends, **me))["causes"]
    # Runs of one writer before its last start were forgotten, and the launch is dead.
    assert [(cause["outcome"], cause["runs"]) for cause in causes] == [
        ("stopped", 6),
        ("interrupted", 6),
    ]
    assert me["pid_start"] != process_start(os.getpid())
    for cause in causes:
        assert cause["condition"] is None
        assert cause["note"] == "the moment decided which runs it hit, not their parameters"


def test_conditions_are_sought_for_the_greatest_causes_alone(
    group: Callable[..., GroupFolder],
) -> None:
    number = EXACT_SOUGHT + 5
    rows = [{"a": f"v{i}"} for i in range(2 * number)]
    folder = group(
        lambda n, row: (
            ("crashed", {"kind": "exception", "message": f"word{'x' * n}"})
            if n < number
            else ("finished", None)
        ),
        rows,
    )
    causes = crash_groups(folder)["causes"]
    assert len(causes) == number
    assert sum(cause["condition"] is not None for cause in causes) == EXACT_SOUGHT
    assert causes[-1]["note"] == "only the 100 causes with the most runs are examined"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([["a"], ["b"]], 'name = ["a"]'),
        ([0.001, "x"], "name = 0.001"),
        ([True, False], "name = true"),
        ([None, 1], "name = null"),
        (["null", None], 'name = "null"'),
        (["1", 1], 'name = "1"'),
        (["two words", "x"], 'name = "two words"'),
        (["\x1b[31mé", "x"], 'name = "\\u001b[31mé"'),
        (["leaky_relu-2.x", "x"], "name = leaky_relu-2.x"),
        ([{"k": [1, 2]}, None], 'name = {"k": [1, 2]}'),
    ],
)
def test_values_read_as_in_a_sweep_file(
    group: Callable[..., GroupFolder], values: list[Any], text: str
) -> None:
    rows = [{"a.name": value} for value in values]
    folder = group(lambda n, _: ("crashed", None) if n == 0 else ("finished", None), rows)
    (cause,) = crash_groups(folder)["causes"]
    assert cause["condition"]["text"] == text
    assert cause["condition"]["atoms"][0]["values"] == [values[0]]


def test_a_parameter_that_configs_lack_is_a_dash_and_not_null(
    group: Callable[..., GroupFolder],
) -> None:
    rows: list[dict[str, Any]] = [{"a.name": None}, {}, {"a.name": 1}]
    folder = group(lambda n, _: ("crashed", None) if n == 1 else ("finished", None), rows)
    (cause,) = crash_groups(folder)["causes"]
    assert cause["condition"]["text"] == "name = –"
    assert cause["condition"]["atoms"][0]["values"] == [None]


def test_long_lists_and_names_that_need_more_than_their_end(
    group: Callable[..., GroupFolder],
) -> None:
    names = [f"n{i}" for i in range(VALUES_SHOWN + 6)]
    rows = product({"a.name": names, "b.name": [1, 2], "c": list(range(4))})
    chosen = names[: VALUES_SHOWN + 2]
    folder = group(
        lambda _, row: ("crashed" if row["a.name"] in chosen else "finished", None), rows
    )
    (cause,) = crash_groups(folder)["causes"]
    listed = ", ".join(names[:VALUES_SHOWN])
    assert cause["condition"]["text"] == f"a.name in {{{listed}, … (2 more)}}"
    assert cause["condition"]["atoms"][0]["values"] == chosen


def test_bounds_in_words(group: Callable[..., GroupFolder]) -> None:
    folder = group(lambda _, row: ("crashed" if short(row)["lr"] >= 0.01 else "finished", None))
    (cause,) = crash_groups(folder)["causes"]
    assert cause["condition"]["text"] == "lr >= 0.01"


def test_runs_without_axis_values_and_groups_without_crashes(
    group: Callable[..., GroupFolder], tmp_path: Path
) -> None:
    folder = group(lambda n, _: ("crashed" if n == 0 else "finished", None), [{}, {}])
    assert crash_groups(folder)["causes"][0]["condition"] is None
    empty = GroupFolder(tmp_path / "runs", "empty").make()
    assert crash_groups(empty) == {
        "group": "empty",
        "total": 0,
        "chosen_of": None,
        "where": [],
        "limit": None,
        "trainer": None,
        "causes": [],
        "runs": [],
        "in_doubt": [],
        "earlier": 0,
        "show": None,
        "rerun": None,
        "retry": False,
    }
    with pytest.raises(RecordError, match="no records"):
        crash_groups(GroupFolder(tmp_path / "runs", "other"))


def test_only_what_will_work_is_suggested(group: Callable[..., GroupFolder]) -> None:
    ends = ("diverged", "invalid", "finished", "finished")
    folder = group(lambda number, _: (ends[number], None), [{"x": x} for x in range(4)])
    answer = crash_groups(folder)
    assert (answer["show"], answer["rerun"], answer["retry"]) == ("run0000", None, False)
    text = crashed_text(answer)
    assert "Look closer: sweep show run0000\n" in text
    assert "sweep retry" not in text
    write_atomically(folder.run("run0000").make().config_file, "x: 0\n")
    answer = crash_groups(folder)
    assert (answer["rerun"], answer["retry"]) == ("run0000", False)


def test_a_retry_is_suggested_where_it_has_something_to_do(
    group: Callable[..., GroupFolder],
) -> None:
    rows = [{"x": 0}, {"x": 1}]
    folder = group(lambda number, _: ("crashed" if number else "invalid", None), rows)
    assert crash_groups(folder)["retry"] is False  # no config of it is left
    write_atomically(folder.run("run0001").make().config_file, "x: 1\n")
    answer = crash_groups(folder)
    assert (answer["rerun"], answer["retry"]) == ("run0001", True)
    # Another group with such a run: only with the group's name is it clear which is meant.
    GroupFolder(folder.runs_dir, "other").make().run("run0001").make()
    assert "sweep rerun heads/run0001 --pdb" in crashed_text(crash_groups(folder))


def test_no_retry_is_suggested_for_what_only_an_earlier_file_had(
    group: Callable[..., GroupFolder],
) -> None:
    folder = group(lambda *_: ("crashed", None), [{"x": 0}], sweep_sha="old")
    write_atomically(folder.run("run0000").make().config_file, "x: 0\n")
    with JournalWriter(folder.journal_dir, "later") as journal:
        journal.append(
            Launched(launch="later", sweep_sha="new"), Planned(runs={"run0009": {"x": 1}})
        )
    answer = crash_groups(folder, everything=True)
    assert (answer["show"], answer["rerun"], answer["retry"]) == ("run0000", "run0000", False)
