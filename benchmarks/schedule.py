"""How busy 192 slots are: a simulation of 6,000 runs by the supervisor of a launch.

Runs last as the users' neural ODEs do: 1,000 steps 1:08 to 2:26 minutes, 2,000 steps 3:33 to 4:06,
the ten-phase curriculum 4:42 to 10:21. Within its range a run's time follows from two axes, and its
seed shifts it by some percent. The records hold one finished replicate of each point, so that
the plan can put the longest first; without these records it keeps the grid's order.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.simulation import Costs, Simulated, lower_bound_s, simulate
from sweeper.config import RunSpec
from sweeper.plan import PlannedWave, plan_runs
from sweeper.records import GroupState, Outcome, fold
from sweeper.records.events import Ended, Event, Planned, Recorded
from sweeper.trainer import Run, load_trainer

SLOTS = 192
WAVES: tuple[int | None, ...] = (16, 192, 1000, None)

Kind = Literal["1000 steps", "2000 steps", "curriculum"]
RANGES_S: dict[Kind, tuple[float, float]] = {
    "1000 steps": (68.0, 146.0),
    "2000 steps": (213.0, 246.0),
    "curriculum": (282.0, 621.0),
}
SEGMENTS = (4, 10, 18, 24, 36)
HEADS = tuple(range(10))
REPLICATES = 40
SEED_SPREAD = 0.03


@dataclass(frozen=True)
class Config:
    """A point of the simulated sweep; this module is its trainer."""

    kind: Kind = "1000 steps"
    segment: int = 4
    head: int = 0
    seed: int = 0


def program_key(config: Config) -> tuple[Kind, int, int]:
    """Shapes and heads decide the program, seeds don't."""
    return config.kind, config.segment, config.head


def train(_configs: Sequence[Config], _runs: Sequence[Run]) -> None:
    """Nothing is trained here."""
    raise NotImplementedError("the simulated sweep can't be trained")


def duration_s(config: Config) -> float:
    """The wall time of a run: longer with the segment and the head, shifted by the seed."""
    low, high = RANGES_S[config.kind]
    place = 0.7 * SEGMENTS.index(config.segment) / (len(SEGMENTS) - 1)
    place += 0.3 * HEADS.index(config.head) / (len(HEADS) - 1)
    shift = random.Random(repr(config)).uniform(-SEED_SPREAD, SEED_SPREAD)
    return min(high, max(low, (low + place * (high - low)) * (1.0 + shift)))


def points(seeds: range) -> Iterator[Config]:
    """The grid, seeds fastest."""
    for kind, segment, head, seed in itertools.product(RANGES_S, SEGMENTS, HEADS, seeds):
        yield Config(kind, segment, head, seed)


def runs(seeds: range) -> dict[str, RunSpec]:
    """The grid's runs by id."""
    return {
        f"r{index}s{config.seed}": RunSpec(
            f"r{index}s{config.seed}",
            config,
            {
                "kind": config.kind,
                "segment": config.segment,
                "head": config.head,
                "seed": config.seed,
            },
        )
        for index, config in enumerate(points(seeds))
    }


def history(finished: dict[str, RunSpec]) -> GroupState:
    """The records after these runs, read from events as in a journal."""
    planned = Planned(runs={run: dict(spec.axis_values) for run, spec in finished.items()})
    ends: list[Event] = [
        Ended(run=run, attempt=1, outcome=Outcome.FINISHED, wall_s=duration_s(spec.config))
        for run, spec in finished.items()
    ]
    return fold(Recorded(event, "past", seq, 0.0) for seq, event in enumerate([planned, *ends]))


def planned_waves(
    runs_per_wave: int | None, *, longest_first: bool, replicates: int = REPLICATES
) -> tuple[PlannedWave, ...]:
    """The runs, 6,000 with all replicates, as the plan of a launch."""
    known = {f"past{run}": spec for run, spec in runs(range(-1, 0)).items()}
    state = history(known) if longest_first else GroupState()
    plan = plan_runs(
        runs(range(replicates)).values(),
        state,
        load_trainer("benchmarks.schedule"),
        runs_per_wave=runs_per_wave,
    )
    return plan.waves


def table(costs: Costs) -> str:
    """A row per way to cut and overlap waves."""
    durations = {run: duration_s(spec.config) for run, spec in runs(range(REPLICATES)).items()}
    bound = lower_bound_s(durations, SLOTS)
    lines = [
        f"{len(durations)} runs on {SLOTS} slots; lower bound of the makespan {bound / 60:.1f} min",
        "",
        "runs per wave  order          overlap  makespan min  over the bound  utilisation",
    ]
    lines.append("-" * len(lines[-1]))
    for size, longest_first in itertools.product(WAVES, (True, False)):
        waves = planned_waves(size, longest_first=longest_first)
        for overlap in (True, False):
            found: Simulated = simulate(waves, durations, SLOTS, costs=costs, overlap=overlap)
            name = f"auto ({waves[0].runs})" if size is None else str(size)
            lines.append(
                f"{name:<13}  {'longest first' if longest_first else 'as in the grid':<14} "
                f"{'yes' if overlap else 'no':>7}  {found.makespan_s / 60:12.1f}  "
                f"{found.makespan_s / bound - 1:14.1%}  {found.utilisation(SLOTS):11.1%}"
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks schedule", description=__doc__)
    parser.add_argument("--compile", type=float, default=Costs.compile_s, help="seconds a program")
    asked = parser.parse_args(arguments)
    print(table(Costs(compile_s=asked.compile)))
    return 0
