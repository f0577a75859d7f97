"""The points of a grid: exactly once, in order, counted without being listed."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.config import Sweep
from sweeper.config.grid import EntangledError, Selection

Read = Callable[..., Sweep]


@st.composite
def selections(draw: st.DrawFn) -> tuple[list[int], list[Any], list[Any] | None]:
    """Lengths of dimensions, `exclude` conditions, and `only` conditions or None."""
    lengths = draw(st.lists(st.integers(1, 4), max_size=5))

    def condition() -> st.SearchStrategy[dict[int, frozenset[int]]]:
        rows = {
            dimension: st.frozensets(st.integers(0, length - 1), max_size=length)
            for dimension, length in enumerate(lengths)
        }
        return st.fixed_dictionaries({}, optional=rows)

    excludes = draw(st.lists(condition(), max_size=4))
    onlys = draw(st.none() | st.lists(condition(), max_size=3))
    return lengths, excludes, onlys


def listed_naively(
    lengths: list[int], excludes: list[Any], onlys: list[Any] | None
) -> list[tuple[int, ...]]:
    def holds(condition: dict[int, frozenset[int]], point: tuple[int, ...]) -> bool:
        return all(point[dimension] in rows for dimension, rows in condition.items())

    return [
        point
        for point in itertools.product(*map(range, lengths))
        if not any(holds(condition, point) for condition in excludes)
        and (onlys is None or any(holds(condition, point) for condition in onlys))
    ]


@settings(max_examples=300, deadline=None)
@given(selections())
def test_a_selection_is_what_trying_every_point_gives(
    case: tuple[list[int], list[Any], list[Any] | None],
) -> None:
    selection = Selection(*case)
    wanted = listed_naively(*case)
    assert list(selection) == wanted
    assert selection.count() == len(wanted)
    assert list(selection) == wanted, "it can be listed twice"


def test_conditions_that_overlap_in_too_many_ways_are_refused() -> None:
    # Each of 19 conditions is alive or not, whatever the others are: 2¹⁹ states.
    lengths = [2] * 20
    excludes = [{bit: frozenset({0}), 19: frozenset({0})} for bit in range(19)]
    with pytest.raises(EntangledError):
        Selection(lengths, excludes)


_VALUES: dict[str, list[Any]] = {
    "width": [8, 16, 32, 64],
    "depth": [1, 2, 3],
    "activation": ["tanh", "gelu", "elu"],
    "rtol": [1e-6, 1.0, 2.5],
    "lr_strategy": [[0.1], [0.1, 0.2], [3.0]],
}


@st.composite
def sweeps(draw: st.DrawFn) -> dict[str, Any]:
    """A sweep as data: axes in an order, perhaps zipped, with conditions and seeds."""
    keys = draw(st.permutations(list(_VALUES)))[: draw(st.integers(1, 4))]
    axes = {
        key: draw(st.lists(st.sampled_from(_VALUES[key]), min_size=2, max_size=3, unique_by=repr))
        for key in keys
    }
    equal = [key for key in keys if len(axes[key]) == len(axes[keys[0]])]
    zipped = draw(st.sampled_from([[], equal if len(equal) > 1 else []]))
    conditions = st.lists(
        st.fixed_dictionaries({}, optional={k: st.sampled_from(axes[k]) for k in keys}).filter(
            bool
        ),
        max_size=2,
    )
    data: dict[str, Any] = {"parameters": axes}
    if zipped:
        data["zip"] = [draw(st.permutations(zipped))]
    for key in ("exclude", "only"):
        found = draw(conditions)
        if found:
            data[key] = found
    if draw(st.booleans()):
        data["seeds"] = draw(st.integers(2, 3))
    return data


def runs_naively(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Axis values of every run by the plainest reading of the rules."""
    axes = {**data["parameters"]}
    if "seeds" in data:
        axes["seed"] = list(range(data["seeds"]))
    zipped = data.get("zip", [[]])[0]
    first = next((key for key in axes if key in zipped), None)
    loops = []
    for key, values in axes.items():
        if key == first:
            together = [other for other in axes if other in zipped]
            rows = zip(*(axes[other] for other in together), strict=True)
            loops.append([dict(zip(together, row, strict=True)) for row in rows])
        elif key not in zipped:
            loops.append([{key: value} for value in values])
    found = []
    for parts in itertools.product(*loops):
        point = {key: value for part in parts for key, value in part.items()}
        point = {key: point[key] for key in axes}

        def holds(condition: dict[str, Any], point: dict[str, Any] = point) -> bool:
            return all(point[key] == value for key, value in condition.items())

        if any(map(holds, data.get("exclude", []))):
            continue
        if "only" in data and not any(map(holds, data["only"])):
            continue
        found.append(point)
    return found


@settings(max_examples=60, deadline=None)
@given(data=sweeps())
def test_expansion_is_the_plain_product_exact_and_in_order(
    data: dict[str, Any], read_data: Callable[[dict[str, Any]], Sweep | None]
) -> None:
    wanted = runs_naively(data)
    sweep = read_data(data)
    if sweep is None:  # refused, because no run is left
        assert wanted == []
        return
    runs = list(sweep)
    labels = {axis.key: axis.label for axis in sweep.axes}
    assert [
        {labels[key]: value for key, value in run.axis_values.items()} for run in runs
    ] == wanted
    assert sweep.count() == len(wanted)
    assert len({run.id for run in runs}) == len(runs)
    for run in runs:
        for key, value in run.axis_values.items():
            given_to_config = getattr(run.config.parameters, key.rpartition(".")[2])
            assert given_to_config == (tuple(value) if isinstance(value, list) else value)


MANY = "\n".join(
    f"  {key}: [{', '.join(map(str, values))}]"
    for key, values in {
        "width": range(1, 11),
        "depth": range(1, 11),
        "batch_size": range(1, 11),
        "num_trajs": range(1, 11),
        "mse_weight": range(1, 11),
        "rtol": range(1, 11),
        "clip": range(1, 11),
        "segment_length_strategy": [[n] for n in range(2, 12)],
        "lr_strategy": [[n] for n in range(1, 11)],
        "steps_strategy": [[n] for n in range(1, 11)],
        "train_val_split": [n / 10 for n in range(1, 11)],
    }.items()
)


def test_a_grid_that_could_never_be_listed_is_counted_and_begun(sweep: Read) -> None:
    # 10¹² points: if counting or listing went through them, this test would never end.
    text = f"parameters:\n{MANY}\nseeds: 10\n"
    found = sweep(text)
    assert found.count() == found.grid_size() == 10**12
    tracemalloc.start()
    first = list(itertools.islice(found, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [run.axis_values["parameters.seed"] for run in first] == list(range(10)) * 10
    assert peak < 1_000_000
    found = sweep(
        text
        + """
exclude:
  - {width: [1, 2, 3], depth: 3}
  - {lr_strategy: [[2]], clip: 1}
  - {seed: 9}
"""
    )
    assert found.count() == 10**12 * 97 * 99 * 90 // 100**3
    assert next(iter(found)).axis_values["parameters.width"] == 1


def test_listing_goes_straight_to_what_remains(sweep: Read) -> None:
    # The one remaining point is the last of 10¹².
    found = sweep(
        f"parameters:\n{MANY}\nseeds: 10\n"
        "only: {width: 10, depth: 10, batch_size: 10, num_trajs: 10, mse_weight: 10, rtol: 10,"
        " clip: 10, segment_length_strategy: 11, lr_strategy: [[10]], steps_strategy: [[10]],"
        " train_val_split: 1, seed: 9}"
    )
    assert found.count() == 1
    (run,) = found
    assert run.axis_values == {axis.key: axis.plain_values[-1] for axis in found.axes}
    # Together, two conditions leave nothing of the first 10¹¹ points; neither does so alone.
    found = sweep(
        f"parameters:\n{MANY}\nseeds: 10\n"
        "exclude: [{width: 1, seed: [0, 1, 2, 3, 4]}, {width: 1, seed: [5, 6, 7, 8, 9]}]"
    )
    assert found.count() == 9 * 10**11
    assert next(iter(found)).axis_values["parameters.width"] == 2
