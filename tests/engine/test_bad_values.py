"""What fails alike and shares a value is held back, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from engine.test_supervisor import Stage, crash

from sweeper.engine.bad_values import Failure, Values, bad_values, values_of
from sweeper.engine.job_queue import Job, WaveJobs
from sweeper.engine.policy import Policy
from sweeper.engine.protocol import Task
from sweeper.engine.scripted_backend import Fate
from sweeper.engine.supervisor import End
from sweeper.records.events import HeldBack
from sweeper.records.outcomes import Cause, CauseKind, Outcome


def points(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def failures(*found: Mapping[str, Any], wall_s: float = 1.0) -> list[Failure]:
    return [Failure(values_of(point), wall_s) for point in found]


def found(
    failed: Sequence[Failure],
    fine: Sequence[Mapping[str, Any]] = (),
    running: Sequence[tuple[Mapping[str, Any], float]] = (),
    number: int = 4,
) -> tuple[Values, int] | None:
    ages = [(values_of(point), age_s) for point, age_s in running]
    return bad_values(failed[-1].values, failed, [values_of(p) for p in fine], ages, number)


ONE_BAD = points(head=["b"], width=[8, 16], seed=[0, 1])


def test_the_value_that_all_failures_share_is_bad() -> None:
    assert found(failures(*ONE_BAD)) == (values_of({"head": "b"}), 4)
    assert found(failures(*ONE_BAD[:3])) is None


def test_all_that_the_first_failures_of_a_grid_share_is_suspected_together() -> None:
    failed = failures(*points(head=["b"], width=[8], seed=range(4)))
    assert found(failed) == (values_of({"head": "b", "width": 8}), 4)
    failed += failures({"head": "b", "width": 16, "seed": 0})
    assert found(failed) == (values_of({"head": "b"}), 5)


def test_no_value_is_bad_with_which_a_run_has_finished() -> None:
    assert found(failures(*ONE_BAD), fine=[{"head": "b", "width": 32, "seed": 3}]) is None


def test_a_pair_is_bad_where_each_of_its_values_has_finished() -> None:
    failed = failures(*points(head=["b"], width=[8], seed=range(4)))
    fine = [{"head": "b", "width": 16, "seed": 0}, {"head": "a", "width": 8, "seed": 0}]
    assert found(failed, fine) == (values_of({"head": "b", "width": 8}), 4)


def test_other_failures_at_the_same_line_do_not_hide_a_bad_value() -> None:
    other = failures(*points(head=["c"], width=[8, 16], seed=[0]))
    assert found(other + failures(*ONE_BAD)) == (values_of({"head": "b"}), 4)


def test_a_run_that_goes_on_for_longer_than_the_failures_took_is_well() -> None:
    failed = failures(*ONE_BAD, wall_s=60.0)
    running = {"head": "b", "width": 8, "seed": 7}
    assert found(failed, running=[(running, 61.0)]) is None
    assert found(failed, running=[(running, 59.0)]) == (values_of({"head": "b"}), 4)


def test_values_that_only_look_alike_are_different() -> None:
    assert values_of({"x": 1}) != values_of({"x": "1"})
    assert values_of({"x": [1, {"b": 2, "a": 3}]}) == values_of({"x": [1, {"a": 3, "b": 2}]})


def jobs(grid: Sequence[Mapping[str, Any]]) -> WaveJobs:
    """A pack for each point, named by its values."""
    return [
        ("p", (Job("-".join(f"{value}" for value in point.values()), 1, {}, point),))
        for point in grid
    ]


def fates(bad: Callable[[str], bool], fate: Fate, good: Fate) -> Callable[[Task, int, int], Fate]:
    return lambda task, wave, slot: fate if bad(task.run) else good


SAID = "have crashed alike (ValueError: no luck at train.py:7), and none has finished"
AGAIN = ". Fix the cause and launch again, or launch with `--no-brake` to train them all the same"


def bad_heads(heads: str, fate: Fate, good: Fate) -> Callable[[Task, int, int], Fate]:
    """Runs are named `head-…`."""
    return lambda task, wave, slot: fate if task.run[0] in heads else good


def finished(stage: Stage) -> int:
    return sum(ends[-1] is Outcome.FINISHED for ends in stage.outcomes().values())


def by_seed(heads: str, seeds: int) -> list[dict[str, Any]]:
    """The heads of each seed, one after another."""
    return sorted(points(head=list(heads), seed=range(seeds)), key=lambda point: int(point["seed"]))


def test_one_bad_value_on_192_slots_ends_no_other_run(tmp_path: Path) -> None:
    """Runs with it crash within seconds, before anything else has finished."""
    stage = Stage(tmp_path, fates=bad_heads("b", crash(3.0), Fate(1000.0)), slots=192)
    end = stage.run(jobs(by_seed("abcd", 150)))
    # 48 were in the first round of slots, and two more had begun when these had crashed.
    assert end == End("paused", f"100 runs with head = b held back: 50 with it {SAID}{AGAIN}")
    assert finished(stage) == 450
    assert [(event.where, event.released) for event in stage.of(HeldBack)] == [("head = b", False)]
    assert len(stage.backend.waves) == 1  # taken back from a wave that goes on


def test_two_bad_values_that_fail_alike_are_both_held_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=bad_heads("bc", crash(), Fate(30.0)), slots=4)
    end = stage.run(jobs(by_seed("abcd", 40)))
    assert end == End(
        "paused",
        f"32 runs with head = b held back: 8 with it {SAID}; "
        f"32 runs with head = c held back: 8 with it {SAID}{AGAIN}",
    )
    assert finished(stage) == 80


def test_a_bad_value_that_fails_as_slowly_as_others_finish_is_held_back(tmp_path: Path) -> None:
    """In the order of the grid it comes first: when it is found, nothing has finished."""
    stage = Stage(tmp_path, fates=bad_heads("b", crash(3600.0), Fate(3600.0)), slots=4)
    end = stage.run(jobs(points(head=["b", "a", "c"], seed=range(40))))
    assert end.message.startswith("28 runs with head = b held back: 12 with it have crashed")
    assert finished(stage) == 80


def test_a_value_that_times_out_is_held_back(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=bad_heads("b", Fate(hangs=True), Fate(30.0)),
        slots=2,
        policy=Policy(timeout_s=60.0),
    )
    end = stage.run(jobs(by_seed("ab", 20)))
    assert end.message.startswith(
        "11 runs with head = b held back: 9 with it have timed out alike (ran longer than its "
        "timeout of 60 s)"
    )


def test_it_is_held_back_after_others_have_finished_too(tmp_path: Path) -> None:
    """Of 200 runs with the bad value at the end of the grid, all but ten are spared."""
    stage = Stage(tmp_path, fates=bad_heads("z", crash(60.0), Fate(60.0)), slots=2)
    end = stage.run(jobs(points(head=["a", "z"], seed=range(200))))
    assert end.message.startswith("190 runs with head = z held back: 10 with it have crashed")
    assert finished(stage) == 200


def test_what_finished_in_an_earlier_launch_is_not_held_back(tmp_path: Path) -> None:
    grid = points(head=["a", "z"], seed=range(20))
    for proven, trained in (({"head": "z", "seed": 99}, 40), ({"head": "a", "seed": 99}, 30)):
        stage = Stage(tmp_path, fates=bad_heads("z", crash(), Fate()), proven=[proven], slots=2)
        stage.run(jobs(grid))
        assert len(stage.ends()) == trained


def test_a_run_that_finishes_after_all_releases_its_value(tmp_path: Path) -> None:
    """It was the slowest to start of nine, of which the others had crashed by then."""
    crashing = {f"b-{seed}" for seed in range(8)}
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: (
            crash(40.0)
            if task.run in crashing
            else Fate(39.0, began_after_s=5.0 * (task.run == "b-8"))
        ),
        slots=9,
    )
    assert stage.run(jobs(points(head=["b", "a"], seed=range(20)))) == End("done")
    assert finished(stage) == 32
    assert [event.released for event in stage.of(HeldBack)] == [False, True]


def test_where_everything_fails_alike_the_brake_pauses_after_the_second_value(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, fates=bad_heads("abcd", crash(), Fate()), slots=1)
    end = stage.run(jobs(points(head=list("abcd"), seed=range(40))))
    assert end == End(
        "paused",
        "the last 8 runs all ended as crashed and none has finished: ValueError: no luck at "
        "train.py:7",
    )
    assert len(stage.ends()) == 18  # eight of each, and one that had begun each time


def test_where_only_the_bad_value_is_left_the_brake_pauses(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=bad_heads("b", crash(), Fate()), slots=1)
    end = stage.run(jobs(points(head=["b"], seed=range(40))))
    assert end.message.startswith("the last 8 runs all ended as crashed")


def test_retries_of_a_bad_value_are_held_back_with_it(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=bad_heads("b", crash(), Fate(10.0)),
        policy=Policy(retries=3),
        slots=2,
    )
    end = stage.run(jobs(by_seed("ab", 20)))
    assert end.message.startswith("20 runs with head = b held back: 9 with it have crashed")
    assert {run: ends for run, ends in stage.outcomes().items() if run[0] == "b"} == {
        f"b-{seed}": [Outcome.CRASHED] for seed in range(9)
    }


def test_without_the_brake_everything_is_trained(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=bad_heads("b", crash(), Fate()),
        policy=Policy(brake_after=0, hold_after=0),
    )
    assert stage.run(jobs(by_seed("ab", 20))) == End("done")
    assert len(stage.ends()) == 40


def test_what_diverges_is_no_failure(tmp_path: Path) -> None:
    nan = Fate(1.0, Outcome.DIVERGED, Cause(CauseKind.NOT_FINITE, "loss is nan"))
    stage = Stage(tmp_path, fates=bad_heads("b", nan, Fate()))
    assert stage.run(jobs(by_seed("ab", 20))) == End("done")


def test_the_rest_of_a_pack_is_trained_without_what_is_held_back(tmp_path: Path) -> None:
    grid = by_seed("ab", 30)
    packs = [jobs(grid[index : index + 1])[0] for index in range(40)]
    mixed = ("p", tuple(job for _, (job,) in jobs(grid[40:])))
    stage = Stage(tmp_path, fates=bad_heads("b", crash(), Fate(10.0)), slots=2)
    end = stage.run([*packs, mixed])
    assert end.message.startswith("21 runs with head = b held back: 9 with it have crashed")
    assert finished(stage) == 30
