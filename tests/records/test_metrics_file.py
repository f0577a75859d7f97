"""metrics.jsonl: batches in, rows out, last values without reading it all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.records import append_rows, last_values, read_progress, read_rows
from sweeper.records import metrics as metrics_module
from sweeper.records.jsonl import parse

Rows: TypeAlias = list[dict[str, float]]

numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats())
rows = st.lists(
    st.dictionaries(st.sampled_from(["loss", "percent", "test/mean"]), numbers, max_size=3),
    max_size=6,
)


@given(st.lists(rows, max_size=4))
def test_every_number_comes_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Rows]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "metrics.jsonl"
    for batch in batches:
        append_rows(path, [{"step": 1, **row} for row in batch])
    expected = [{"step": 1, **row} for batch in batches for row in batch]
    assert repr(read_rows(path)) == repr(expected)  # by text, because NaN differs from itself


@given(rows, st.data())
def test_a_torn_tail_costs_one_row_and_the_next_batch_is_whole(
    tmp_path_factory: pytest.TempPathFactory, batch: Rows, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "metrics.jsonl"
    append_rows(path, [{"step": index, **row} for index, row in enumerate(batch)])
    whole = path.read_bytes() if batch else b""
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    append_rows(path, [{"step": 77}])
    steps = [row["step"] for row in read_rows(path)]
    assert steps[-1] == 77
    assert len(steps) - 1 >= whole[:cut].count(b"\n")
    assert steps[:-1] == list(range(len(steps) - 1))


def test_what_is_not_finite_is_a_word_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_rows(path, [{"step": 1, "a": math.nan, "b": math.inf, "c": -math.inf}])
    assert json.loads(path.read_text()) == {"step": 1, "a": "nan", "b": "inf", "c": "-inf"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_scalars_of_numpy_are_numbers(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "metrics.jsonl"
    append_rows(path, [{"step": np.int64(3), "loss": np.float32(0.5), "bad": np.float32("nan")}])
    (row,) = read_rows(path)
    assert (row["step"], row["loss"]) == (3, 0.5)
    assert math.isnan(row["bad"])


def test_words_and_lists_are_no_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": [1], "name": "x", "ok": 2.5, "yes": true}\n')
    assert read_rows(path) == [{"step": 1, "ok": 2.5}]


def test_a_batch_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real_open = os.open

    def counted(path: Path, flags: int, mode: int) -> int:
        opened.append(path)
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", counted)
    append_rows(tmp_path / "m.jsonl", [{"step": index} for index in range(1000)])
    append_rows(tmp_path / "m.jsonl", [])
    assert len(opened) == 1


def test_last_values_of_a_large_file_read_only_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    append_rows(path, [{"step": 0, "rare": 1.0}])
    for start in range(1, 40_001, 10_000):
        append_rows(
            path, [{"step": step, "loss": 1 / step} for step in range(start, start + 10_000)]
        )
    append_rows(path, [{"step": 50_000, "val": 7}])
    read_bytes: list[int] = []

    def counted(data: bytes) -> tuple[list[dict[str, Any]], int]:
        read_bytes.append(len(data))
        return parse(data)

    monkeypatch.setattr(metrics_module, "parse", counted)
    values = last_values(path, within_bytes=10_000)
    assert values == {"step": 50_000, "loss": 1 / 40_000, "val": 7}
    assert sum(read_bytes) <= 10_000 < path.stat().st_size
    assert last_values(path, within_bytes=10**9)["rare"] == 1.0


@pytest.mark.parametrize("content", [b"", b"\n", b'{"step"', b"\xff\xfe\n"])
def test_last_values_of_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_values(path) == {}
    path.write_bytes(content)
    assert last_values(path) == {}


def test_progress(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert read_progress(path).fraction is None
    path.write_text('{"fraction": 1.5, "step": 12, "time": 3.0}')
    progress = read_progress(path)
    assert (progress.fraction, progress.step, progress.time) == (1.0, 12, 3.0)
