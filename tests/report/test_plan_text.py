"""What `sweep plan` and `sweep retry` say to people."""

from __future__ import annotations

import re

import pytest

from sweeper.cli.text import plan_text, retry_text

PLAN = {
    "group": "g",
    "total": 64,
    "to_train": 64,
    "done": {},
    "earlier": 0,
    "excluded": 0,
    "failed_before": 0,
    "zipped": [],
    "startup_s": None,
    "axes": [],
    "programs": 1,
    "packs": 64,
    "waves": [16, 16, 16, 16],
    "slots": 192,
    "invalid_groups": [],
}


@pytest.mark.parametrize(
    ("waves", "slots", "warned"),
    [
        (
            [16, 16, 16, 16],
            192,
            "192, at most 32 in use: the waves are too small",
        ),
        ([16, 16, 16, 16], 32, None),
        ([16, 16], 192, None),  # all there is: no larger wave would help
        ([100, 100, 2], 192, None),
    ],
)
def test_waves_too_small_for_the_slots_are_reported(
    waves: list[int], slots: int, warned: str | None
) -> None:
    """No more than two waves work at once."""
    said = plan_text({**PLAN, "waves": waves, "slots": slots})
    assert ("in use" in said) is (warned is not None)
    assert warned is None or warned in said


def test_a_retry_says_what_it_takes_and_what_it_leaves() -> None:
    cause = {"outcome": "crashed", "type": "ValueError", "message": "no", "place": "t.py:3"}
    other = {"outcome": "diverged", "type": None, "message": "loss is nan", "place": None}
    said = retry_text(
        {
            **PLAN,
            "to_train": 3,
            "waves": [3],
            "causes": [{**cause, "runs": 4}],
            "left_alone": [{**other, "runs": 2}],
            "timeout_s": 90.0,
            "memory_per_run": 2 * 1024**3,
            "invalid": [{"id": "abc", "reasons": ["steps must be positive"]}],
        }
    )
    assert said.splitlines() == [
        "g: 3 runs to train again",
        "  4 crashed: ValueError: no  at t.py:3",
        "left alone:",
        "  2 diverged: loss is nan",
        "  abc is no longer valid: steps must be positive",
        "waves   1 (3 runs)",
        "slots   192",
        "limits  timeout 90 s, memory_per_run 2 GiB",
    ]


def rows(plan: dict[str, object]) -> dict[str, str]:
    """The rows of the plan's text by their first word."""
    lines = plan_text({**PLAN, **plan}).splitlines()
    return dict(re.split(r"  +", line, maxsplit=1) for line in lines)


def test_a_plan_says_what_is_zipped_left_out_and_failed_before() -> None:
    said = rows(
        {"zipped": [["lr", "decay"]], "excluded": 12, "failed_before": 6, "done": {"finished": 3}}
    )
    assert said["runs"] == "64: 64 to train (58 new, 6 failed before), 3 finished"
    assert said["left out"] == "12 runs by `exclude` or `only`"
    assert said["zip"] == "lr with decay"


def test_a_plan_with_nothing_to_do_has_no_waves_and_programs() -> None:
    said = rows({"to_train": 0, "waves": [], "programs": None, "packs": 0})
    assert list(said) == ["group", "runs", "slots"]


def test_an_estimate_counts_start_and_stop() -> None:
    said = rows({"estimate_s": 640.0, "startup_s": 7.0})
    assert said["estimate"].startswith("17 s on these slots")
    assert said["estimate"].endswith(", 7 s of start and stop counted")
