"""Parts of a sweep: disjoint, complete, and the same however large the sweep is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.errors import SweeperError
from sweeper.records import WHOLE, Shard

COUNTS = st.integers(1, 12)
IDS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=10)


@st.composite
def shards(draw: st.DrawFn) -> Shard:
    count = draw(COUNTS)
    return Shard(draw(st.integers(1, count)), count)


@given(IDS, COUNTS)
def test_every_run_is_in_exactly_one_part(run: str, count: int) -> None:
    assert sum(Shard(index, count).holds(run) for index in range(1, count + 1)) == 1


@given(shards(), shards())
def test_parts_overlap_if_a_run_can_be_in_both(one: Shard, two: Shard) -> None:
    both = any(
        n % one.count == one.index - 1 and n % two.count == two.index - 1
        for n in range(one.count * two.count)
    )
    assert one.overlaps(two) is both
    assert two.overlaps(one) is both


@given(shards())
def test_a_shard_is_read_back(shard: Shard) -> None:
    assert Shard.parse(str(shard)) == shard
    assert Shard.read(str(shard)) == shard


def test_where_a_run_is_never_changes() -> None:
    # Records of launches that are under way depend on it.
    assert [run for run in map(str, range(12)) if Shard(1, 3).holds(run)] == [
        "0",
        "6",
        "8",
        "9",
        "10",
    ]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", "", "١/٢"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SweeperError, match="expected a shard `i/n`"):
        Shard.parse(text)
    assert Shard.read(text) == WHOLE
