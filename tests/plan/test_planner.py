"""Plans: every run is done, invalid, or in exactly one pack of one wave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import folded

from sweeper.config import RunSpec
from sweeper.errors import TrainerError
from sweeper.plan import Plan, invalid_cause, plan_runs
from sweeper.plan.programs import Programs
from sweeper.records import GroupState, Outcome
from sweeper.trainer import Run

OUTCOMES = [str(outcome) for outcome in Outcome]


@dataclass(frozen=True)
class SmallConfig:
    head: str = "a"
    steps: int = 1
    seed: int = 0
    layers: list[int] = field(default_factory=list)


class SmallTrainer:
    """A trainer whose program depends on the head, and whose check knows bad steps."""

    name = "small"
    search: tuple[Path, ...] = ()
    renamed: Mapping[str, str] = MappingProxyType({})
    Config = SmallConfig
    headline = "loss"
    maximise = False
    names_programs = True
    preload: tuple[str, ...] = ()
    evaluate = None
    units: Mapping[str, str] = MappingProxyType({})

    def __init__(self, pack_size: int = 1) -> None:
        self.pack_size = pack_size
        self.checked: list[SmallConfig] = []

    def train(self, configs: Sequence[SmallConfig], runs: Sequence[Run]) -> None: ...

    def check(self, config: SmallConfig) -> list[str]:
        self.checked.append(config)
        if config.steps == 13:
            return ["13 steps\nbring bad luck"]
        if config.steps == 99:
            raise KeyError("steps table")
        return []

    def check_dataset(self, name: str) -> list[str]:
        return []

    def program_key(self, config: SmallConfig) -> Hashable:
        if config.head == "broken":
            raise ZeroDivisionError("no such head")
        return (config.head, config.layers or ())


def spec(
    index: int,
    head: str = "a",
    steps: int = 1,
    seed: int = 0,
    *,
    invalid: Sequence[str] = (),
    layers: Sequence[int] = (),
) -> RunSpec:
    config = None if invalid else SmallConfig(head, steps, seed, list(layers))
    values = {"head": head, "steps": steps, "seed": seed}
    return RunSpec(f"run{index}", config, values, tuple(invalid))


def state_of(
    outcomes: Mapping[str, str],
    walls: Mapping[str, float] | None = None,
    messages: Mapping[str, str] | None = None,
) -> GroupState:
    """A state in which these runs ended so."""
    events = [
        {
            "event": "ended",
            "run": run,
            "outcome": outcome,
            "seq": index,
            "wall_s": (walls or {}).get(run),
            "cause": {"kind": "preflight", "message": (messages or {}).get(run, "")},
        }
        for index, (run, outcome) in enumerate(outcomes.items())
    ]
    values = {run: {"head": "a", "steps": 1} for run in outcomes}
    return folded([{"event": "planned", "runs": values}, *events])


def ids(plan: Plan) -> list[str]:
    return [run.spec.id for pack in plan.packs for run in pack.runs]


specs = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([1, 2, 13, 99]), st.integers(0, 3)),
    max_size=25,
).map(lambda points: [spec(i, *point) for i, point in enumerate(points)])


@given(
    specs,
    st.dictionaries(st.integers(0, 24), st.sampled_from(OUTCOMES)),
    st.integers(1, 4),
    st.none() | st.integers(1, 6),
)
def test_every_run_is_somewhere_exactly_once(
    runs: list[RunSpec], outcomes: dict[int, str], pack_size: int, runs_per_wave: int | None
) -> None:
    state = state_of({f"run{i}": outcome for i, outcome in outcomes.items()}, {"run0": 3.0})
    plan = plan_runs(iter(runs), state, SmallTrainer(pack_size), runs_per_wave=runs_per_wave)
    places = [*ids(plan), *(s.id for s, _ in plan.invalid), *(s.id for s in plan.settled)]
    assert Counter(places) == Counter(run.id for run in runs)
    assert plan.total == plan.to_train + len(plan.invalid) + sum(plan.done.values())
    assert {s.id for s in plan.settled} == {
        run.id for run in runs if outcomes.get(int(run.id[3:])) in ("finished", "diverged")
    }
    for pack in plan.packs:
        assert 1 <= len(pack.runs) <= pack_size
        assert {run.program for run in pack.runs} == {pack.program}
        assert len({run.spec.config.head for run in pack.runs}) == 1
    for wave in plan.waves:
        assert wave.runs <= max(runs_per_wave or 1000, pack_size)
    by_head = {run.spec.config.head: run.program for pack in plan.packs for run in pack.runs}
    assert len(set(by_head.values())) == len(by_head)


def test_what_finished_or_diverged_is_left_alone_and_not_even_checked() -> None:
    trainer = SmallTrainer()
    runs = [spec(i, seed=i) for i in range(7)]
    state = state_of(dict(zip([run.id for run in runs], OUTCOMES, strict=True)))
    plan = plan_runs(runs, state, trainer)
    assert plan.done == {"finished": 1, "diverged": 1}
    # What was invalid is looked at again: the trainer may have been fixed since.
    assert ids(plan) == ["run4", "run5", "run6", "run2", "run3"]
    assert [config.seed for config in trainer.checked] == [2, 3, 4, 5, 6]


def test_reasons_are_single_lines_and_a_check_that_raises_is_one() -> None:
    runs = [
        spec(0, steps=13),
        spec(1, steps=99),
        spec(2, invalid=["`low <= high` must hold"]),
        spec(3, head="broken"),
        spec(4),
    ]
    plan = plan_runs(runs, folded([]), SmallTrainer())
    assert {s.id: reasons for s, reasons in plan.invalid} == {
        "run0": ("13 steps bring bad luck",),
        "run1": ("check failed with KeyError: 'steps table'",),
        "run2": ("`low <= high` must hold",),
        "run3": ("program_key failed with ZeroDivisionError: no such head",),
    }
    assert ids(plan) == ["run4"]
    assert plan.newly_invalid == plan.invalid


def test_an_invalid_run_is_recorded_once_for_the_same_reason() -> None:
    runs = [spec(0, steps=13), spec(1, steps=13)]
    message = invalid_cause(["13 steps bring bad luck"]).message
    state = state_of(
        {"run0": "invalid", "run1": "invalid"}, messages={"run0": message, "run1": "older reason"}
    )
    plan = plan_runs(runs, state, SmallTrainer())
    assert len(plan.invalid) == 2
    assert [s.id for s, _ in plan.newly_invalid] == ["run1"]


def test_without_history_the_grid_order_stays_and_programs_keep_together() -> None:
    runs = [spec(i, head=head) for i, head in enumerate("abab")]
    plan = plan_runs(runs, folded([]), SmallTrainer())
    assert ids(plan) == ["run0", "run2", "run1", "run3"]
    assert plan.estimate_s is None
    assert all(run.estimate_s is None for pack in plan.packs for run in pack.runs)


def test_longest_first_by_what_finished() -> None:
    runs = [spec(0, steps=1), spec(1, steps=5), spec(2, steps=5, seed=1), spec(3, steps=1, seed=1)]
    events: list[Mapping[str, object]] = [
        {"event": "planned", "runs": {run.id: run.axis_values for run in runs}},
        {"event": "ended", "run": "run0", "outcome": "finished", "wall_s": 1.0},
        {"event": "ended", "run": "run1", "outcome": "finished", "wall_s": 5.0},
    ]
    plan = plan_runs(runs, folded(events), SmallTrainer())
    assert ids(plan) == ["run2", "run3"]
    assert [pack.estimate_s for pack in plan.packs] == [5.0, 1.0]
    assert plan.estimate_s == 6.0


@given(
    outcomes=st.lists(st.sampled_from([*OUTCOMES, None]), min_size=1, max_size=30),
    pack_size=st.integers(1, 4),
)
def test_what_failed_before_comes_after_all_that_did_not(
    outcomes: list[str | None], pack_size: int
) -> None:
    """A relaunch must not begin with failures alike: a brake would never let it go on."""
    specs = [spec(index, seed=index) for index in range(len(outcomes))]
    known = {f"run{index}": told for index, told in enumerate(outcomes) if told is not None}
    walls = {run: 1.0 + index for index, run in enumerate(known)}
    plan = plan_runs(specs, state_of(known, walls), SmallTrainer(pack_size))
    failed = [known.get(run) in ("crashed", "timed out") for run in ids(plan)]
    assert failed == sorted(failed)
    for pack in plan.packs:
        assert len({known.get(run.spec.id) in ("crashed", "timed out") for run in pack.runs}) == 1


def test_packs_of_one_program_are_as_equal_as_can_be() -> None:
    runs = [spec(i, seed=i) for i in range(10)]
    plan = plan_runs(runs, folded([]), SmallTrainer(pack_size=4))
    assert sorted(len(pack.runs) for pack in plan.packs) == [3, 3, 4]


def test_a_pack_lasts_as_long_as_its_longest_run() -> None:
    runs = [spec(0, steps=1), spec(1, steps=5), spec(2, steps=5, seed=1), spec(3, steps=1, seed=1)]
    events: list[Mapping[str, object]] = [
        {"event": "planned", "runs": {"x": {"head": "a", "steps": 1}, "y": {"steps": 5}}},
        {"event": "ended", "run": "x", "outcome": "finished", "wall_s": 1.0},
        {"event": "ended", "run": "y", "outcome": "finished", "wall_s": 5.0},
    ]
    plan = plan_runs(runs, folded(events), SmallTrainer(pack_size=3))
    # 3 for steps=5: one finished run agrees in the head, the other in the steps.
    assert [[run.spec.axis_values["steps"] for run in p.runs] for p in plan.packs] == [
        [5, 5],
        [1, 1],
    ]
    assert [pack.estimate_s for pack in plan.packs] == [3.0, 1.0]


@pytest.mark.parametrize(
    ("runs", "per_wave", "waves"),
    [
        (12, None, [12]),
        (5000, None, [5000]),
        (5001, None, [2501, 2500]),
        (12, 5, [5, 5, 2]),
        (3, 1, [1, 1, 1]),
        (0, 5, []),
    ],
)
def test_waves(runs: int, per_wave: int | None, waves: list[int]) -> None:
    plan = plan_runs(
        [spec(i, seed=i) for i in range(runs)], folded([]), SmallTrainer(), runs_per_wave=per_wave
    )
    assert [wave.runs for wave in plan.waves] == waves


def test_a_pack_is_never_cut_by_a_wave() -> None:
    runs = [spec(i, seed=i) for i in range(8)]
    plan = plan_runs(runs, folded([]), SmallTrainer(pack_size=4), runs_per_wave=3)
    assert [wave.runs for wave in plan.waves] == [4, 4]


def test_the_same_run_twice_is_planned_once() -> None:
    plan = plan_runs([spec(0), spec(0), spec(1)], folded([]), SmallTrainer())
    assert (plan.total, ids(plan)) == (2, ["run0", "run1"])


def test_a_pack_size_below_one_is_the_trainers_fault() -> None:
    with pytest.raises(TrainerError, match="`pack_size >= 1` must hold"):
        plan_runs([], folded([]), SmallTrainer(pack_size=0))


def test_keys_that_cannot_be_hashed_are_told_apart_by_their_repr() -> None:
    runs = [spec(0, layers=[1]), spec(1, layers=[1]), spec(2, layers=[2])]
    plan = plan_runs(runs, folded([]), SmallTrainer())
    programs = {run.spec.id: run.program for pack in plan.packs for run in pack.runs}
    assert programs["run0"] == programs["run1"] != programs["run2"]


def test_program_names_are_stable_and_never_shared() -> None:
    class Opaque:
        def __repr__(self) -> str:
            return "<opaque>"

    names = Programs()
    first, second = Opaque(), Opaque()
    assert names.name(first) == names.name(first) != names.name(second)
    assert names.name(("a", 64)) == Programs().name(("a", 64)) == "0d52d867b7"
