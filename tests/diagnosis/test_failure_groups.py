"""Which bad ends are one cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.diagnosis.failure_groups import LAST_LINE, by_cause, likeness, message_shape
from sweeper.records import BadEnd, Cause, CauseKind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("loss is nan at step 512", "loss is inf at step 400"),
        ("loss is -1.5e-07", "loss is 3"),
        ("segment of 200 points", "segment of 18 points"),
        ("expected shape (3, 4)", "expected shape (12,  4, 64)"),
        ("<Model object at 0x7f3a2b90>", "<Model object at 0xA1>"),
        ("run k3f9x2qa7m has no data", "run 2b7zzy4qpa has no data"),
        ("worker_k3f9x2qa7m is gone", "worker_2b7zzy4qpa is gone"),
        (
            "job 123e4567-e89b-12d3-a456-426614174000 ended",
            "job ffffffff-0b0b-cccc-dddd-426614174abc ended",
        ),
        ("no such file: '/data/a b/x.npz'", "no such file: '/home/me/y.npz'"),
        ("can't read /data/x.npz: gone", "can't read ~/runs/7/y.npz: gone"),
        ("can't read runs/k3/x.npz", "can't read other-runs/x7/model.eqx"),
    ],
)
def test_what_varies_from_run_to_run_is_left_out(one: str, other: str) -> None:
    assert message_shape(one) == message_shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("loss is nan", "gradient is nan"),
        ("unknown head `tanh`", "unknown head `relu`"),
        ("speed in km/s", "speed in m/s"),
        ("read and/or write failed", "read failed"),
        ("information", "infinite"),
    ],
)
def test_words_are_kept(one: str, other: str) -> None:
    assert message_shape(one) != message_shape(other)


def test_the_shape_of_a_message_reads_well() -> None:
    message = "segment of 200 points (0x7f) of '/data/a b.npz' at step 1e3: nan"
    assert message_shape(message) == "segment of … points (…) of … at step …: …"


words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9)
numbers = st.integers() | st.floats()


@given(st.data(), st.lists(words, min_size=1, max_size=6))
def test_any_number_anywhere_makes_no_difference(data: st.DataObject, text: list[str]) -> None:
    def filled() -> str:
        return " ".join(f"{word} {data.draw(numbers)}" for word in text)

    assert message_shape(filled()) == message_shape(filled())


@given(st.text(max_size=2000))
def test_any_text_has_a_short_shape(text: str) -> None:
    assert len(message_shape(text)) <= 500


def test_a_long_hostile_text_costs_no_time() -> None:
    for text in ("a/" * 10**6, "a" * 10**6, "1" * 10**6, "/" * 10**6, "'/" * 10**6, "a-" * 10**6):
        message_shape(text)


def item(
    run: str,
    message: str = "",
    *,
    kind: CauseKind = CauseKind.EXCEPTION,
    type: str | None = "ValueError",  # noqa: A002
    place: str | None = None,
) -> BadEnd:
    return BadEnd(run, "crashed", Cause(kind, message, type, place))


def test_place_and_reason_decide_where_a_place_is_known() -> None:
    groups = by_cause(
        [
            item("a", "bad axis 'tanh'", place="train.py:8"),
            item("b", "bad axis 'tanh'", place="train.py:9"),
            item("c", "bad axis 'relu'", place="train.py:8"),
            item("d", "bad axis 'relu'", place="train.py:8", type="KeyError"),
        ]
    )
    assert [(group.message, group.runs) for group in groups] == [
        ("bad axis …", ("a", "c")),
        ("bad axis 'tanh'", ("b",)),
        ("bad axis 'relu'", ("d",)),
    ]
    assert groups[0].place == "train.py:8"


def test_two_reasons_at_one_line_are_two_causes() -> None:
    """As at a line that raises whatever the solver says."""
    said = {
        "a": "singular matrix (rank 3)",
        "b": "file /data/k3/x.npz not found",
        "c": "singular matrix (rank 4)",
        "d": 'file "other data.npz" not found',
        "e": "<Solver at 0x7f3a2b90> can't step from '1e-3'",
        "f": "<Solver at 0x7f11aa00> can't step from '2e-3'",
    }
    groups = by_cause([item(run, text, place="solve.py:40") for run, text in said.items()])
    assert [(group.message, group.runs) for group in groups] == [
        ("singular matrix (rank …)", ("a", "c")),
        ("file … not found", ("b", "d")),
        ("<Solver at …> can't step from '…'", ("e", "f")),
    ]


def test_the_message_decides_elsewhere() -> None:
    groups = by_cause([item("a", "no 4"), item("b", "yes 4"), item("c", "yes 5")])
    assert [(group.message, group.runs) for group in groups] == [
        ("yes …", ("b", "c")),
        ("no 4", ("a",)),
    ]


def test_what_all_messages_share_is_told() -> None:
    (group,) = by_cause([item("a", "loss is nan at step 4"), item("b", "loss is nan at step 5")])
    assert group.message == "loss is nan at step …"
    (group,) = by_cause([item("a", "shape (3, 4)"), item("b", "shape (3, 5)")])
    assert group.message == "shape (3, …)"
    (group,) = by_cause([item("a", "shape (3, 4)"), item("b", "shape (3, 5, 6)")])
    assert group.message == "shape (…)"
    (group,) = by_cause([item("a", "exactly 5"), item("b", "exactly 5")])
    assert group.message == "exactly 5"


def test_what_is_quoted_at_one_place_is_a_value() -> None:
    place = "train.py:8"
    (group,) = by_cause(
        [
            item("a", "no `x` among 3", place=place),
            item("b", "no `y` among 4", place=place),
            item("c", "no `y` among 5", place=place),
        ]
    )
    assert group.message == "no … among …"


def test_what_strikes_anywhere_is_one_cause_wherever_it_struck() -> None:
    memory = CauseKind.OUT_OF_MEMORY
    signal = CauseKind.SIGNAL
    groups = by_cause(
        [
            item("a", "2 GB", place="train.py:8", kind=memory, type="MemoryError"),
            item("b", "tried to get 1 GB", place="model.py:3", kind=memory, type="MemoryError"),
            item("c", "killed by the kernel", kind=memory, type="SIGKILL"),
            item("d", "ended from outside", place="train.py:1", kind=signal, type="SIGTERM"),
            item("e", "ended from outside", place="train.py:2", kind=signal, type="SIGTERM"),
            item("f", "Segmentation fault", place="x.py:1", kind=signal, type="SIGSEGV"),
            item("g", "Segmentation fault", place="x.py:2", kind=signal, type="SIGSEGV"),
        ]
    )
    assert [group.runs for group in groups] == [("a", "b"), ("d", "e"), ("c",), ("f",), ("g",)]
    assert groups[0].place is None
    assert groups[0].type == "MemoryError"


def test_outcomes_are_never_mixed_and_a_cause_may_be_unknown() -> None:
    groups = by_cause([BadEnd("a", "crashed"), BadEnd("b", "lost"), BadEnd("c", "crashed")])
    assert [(group.outcome, group.kind, group.runs) for group in groups] == [
        ("crashed", None, ("a", "c")),
        ("lost", None, ("b",)),
    ]


def test_a_runs_own_id_is_left_out_even_if_it_looks_like_a_word() -> None:
    (group,) = by_cause(
        [item("abcdefghij", "abcdefghij fell"), item("klmnopqrst", "klmnopqrst fell")]
    )
    assert group.message == "… fell"


def test_runs_of_a_dead_launch_are_one_cause() -> None:
    (group,) = by_cause([BadEnd("a", "interrupted"), BadEnd("b", "interrupted")])
    assert (group.kind, group.message) == ("interrupted", "its launch ended before this run did")


def test_messages_on_several_lines_are_alike_as_those_on_one() -> None:
    one, two = (Cause(CauseKind.EXCEPTION, text) for text in ("no\n 4", "no 5"))
    assert likeness("crashed", one) == likeness("crashed", two)


def test_the_last_line_of_a_log_is_no_part_of_the_cause() -> None:
    left = "its process left with status 3, outside of Python"
    causes = [
        Cause(CauseKind.EXIT, f"{left}{LAST_LINE}{line}", code=3)
        for line in ("deed: one", "nothing alike")
    ]
    assert likeness("crashed", causes[0]) == likeness("crashed", causes[1])
