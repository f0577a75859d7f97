"""What a launch does, with which options, and how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from sweeper.config import Resources, RunSpec, Sweep
from sweeper.diagnosis.invalid_points import invalid_groups
from sweeper.engine.policy import BRAKE_AFTER, Policy
from sweeper.engine.supervisor import End
from sweeper.host.cpus import Slot
from sweeper.launch.chosen import RunChoice
from sweeper.launch.sources import Sources
from sweeper.plan import Plan, describe, invalid_cause, remaining
from sweeper.records import GroupFolder, GroupReader, GroupState, write_atomically
from sweeper.records.events import Ended, Event, Planned
from sweeper.records.outcomes import Outcome
from sweeper.records.shards import WHOLE, Shard
from sweeper.trainer import Trainer

__all__ = [
    "Announcement",
    "LaunchEnd",
    "Options",
    "Prepared",
    "Purpose",
    "SweepFile",
    "View",
    "Work",
    "training_policy",
]

Purpose = Literal["train", "retry", "evaluate"]

_PLANNED_CHUNK = 1000


@dataclass(frozen=True)
class Options:
    """What the command line sets beyond the sweep file."""

    cpus: int | None = None
    cpus_per_run: int | None = None
    runs_per_wave: int | None = None
    brake: bool = True
    open_to_group: bool = False
    shard: Shard = WHOLE
    take_over: bool = False
    """Whether the user says that other hosts' launches of this group are dead."""
    overrides: tuple[str, ...] = ()
    """What it says instead of the sweep file, as `key=value`."""

    def upon(self, resources: Resources) -> Resources:
        """What a run gets, with these options."""
        return replace(
            resources,
            cpus_per_run=self.cpus_per_run or resources.cpus_per_run,
            runs_per_wave=self.runs_per_wave or resources.runs_per_wave,
        )


@dataclass(frozen=True)
class Announcement:
    """What the journal's `Launched` says of the sweep, and the events that follow it."""

    total: int | None = None
    sweep_sha: str | None = None
    events: tuple[Event, ...] = ()


class Work(Protocol):
    """What a launch does: train the runs of a sweep file, retry failed runs, or evaluate runs."""

    @property
    def purpose(self) -> Purpose:
        """Whether it trains, retries or evaluates its runs."""

    @property
    def folder(self) -> GroupFolder:
        """Where the records of its group are."""

    @property
    def trainer(self) -> Trainer:
        """What trains its runs."""

    @property
    def resources(self) -> Resources:
        """What each run gets."""

    @property
    def shard(self) -> Shard:
        """The part of the group that it claims: nobody else works on that meanwhile."""

    @property
    def again(self) -> bool:
        """Whether runs are trained again that have finished; their new attempts then decide."""

    @property
    def datasets(self) -> tuple[str, ...] | None:
        """On which datasets runs are evaluated; None where they are trained."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings to show before it starts."""

    def plan(self, state: GroupState) -> Plan:
        """What is still to be done. Raises `TrainerError`."""

    def policy(self, state: GroupState, options: Options) -> Policy:
        """Time limit, retries and brake."""

    def describe(self, plan: Plan) -> dict[str, Any]:
        """The plan as data, for people and for programs."""

    def announce(self, plan: Plan, state: GroupState) -> Announcement:
        """What the journal says at the start.

        Called once, under the claim, right before the first wave.
        """


def training_policy(resources: Resources, state: GroupState, options: Options) -> Policy:
    """The policy of a training.

    Once any run of the group has finished, not all fail alike; values that do are still held back.
    """
    has_finished = any(run.outcome is Outcome.FINISHED for run in state.runs.values())
    return Policy(
        timeout_s=resources.timeout_s,
        retries=resources.retries,
        brake_after=BRAKE_AFTER if options.brake and not has_finished else 0,
        hold_after=BRAKE_AFTER if options.brake else 0,
        pause_when_sick=options.brake,
        fresh_processes=resources.isolation == "process",
        checkpoint_every_s=resources.checkpoint_every_s,
    )


@dataclass(frozen=True)
class SweepFile:
    """The runs of a sweep file, or of a part of it, that have no settled outcome yet.

    With `again` all of them, whatever their outcome.
    """

    sweep: Sweep
    folder: GroupFolder
    shard: Shard = WHOLE
    chosen: frozenset[str] | None = None
    """The ids of the only runs that are considered; None for all."""
    again: bool = False
    choice: RunChoice = field(default_factory=RunChoice)
    """What was said to choose them."""
    purpose: Purpose = "train"
    datasets: None = None

    @property
    def trainer(self) -> Trainer:
        return self.sweep.trainer

    @property
    def resources(self) -> Resources:
        return self.sweep.resources

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(problem.render() for problem in self.sweep.warnings)

    def plan(self, state: GroupState) -> Plan:
        return remaining(self.sweep, state, self.shard, chosen=self.chosen, again=self.again)

    def policy(self, state: GroupState, options: Options) -> Policy:
        # What finished by other code says nothing for the code of today.
        return training_policy(self.resources, GroupState() if self.again else state, options)

    def describe(self, plan: Plan) -> dict[str, Any]:
        groups = [group.plain() for group in invalid_groups(plan)]
        return describe(
            plan,
            self.sweep,
            invalid_groups=groups,
            shard=self.shard,
            chosen=self.chosen is not None,
            where=self.choice.where,
            limit=self.choice.limit,
        )

    def announce(self, plan: Plan, state: GroupState) -> Announcement:
        """Also writes the sweep file, its defaults and the plan to the group's folder."""
        sweep, trainer = self.sweep, self.trainer
        write_atomically(self.folder.sweep_file, sweep.text)
        if sweep.defaults_text is not None:
            write_atomically(self.folder.defaults_file, sweep.defaults_text)
        else:
            self.folder.defaults_file.unlink(missing_ok=True)
        described = json.dumps(self.describe(plan), indent=1)
        write_atomically(self.folder.plan_file, described + "\n")
        specs = {spec.id: dict(spec.axis_values) for spec in sweep}
        names = sweep.names
        fixed = {"trainer": trainer.name, **sweep.fixed}
        planned = [
            Planned(
                runs=chunk,
                fixed=fixed,
                headline=trainer.headline,
                maximise=trainer.maximise,
                units=trainer.units,
                names={run: names.of(values) for run, values in chunk.items()} if names else {},
            )
            for chunk in _chunks(specs)
        ]
        invalid = [_invalid_end(spec, reasons) for spec, reasons in plan.newly_invalid]
        # Of the runs, not of the file's text: a default that the trainer has changed counts too.
        sha = hashlib.sha256("\n".join(sorted(specs)).encode()).hexdigest()[:16]
        return Announcement(len(specs), sha, (*planned, *invalid))


@dataclass(frozen=True)
class Prepared:
    """What is still to be done on this host, given the records; nothing is written yet."""

    work: Work
    records: GroupReader
    state: GroupState
    plan: Plan
    slots: tuple[Slot, ...]
    sources: Sources = field(default_factory=Sources)
    """The trainer's source files as they were when it was imported."""


@dataclass(frozen=True)
class LaunchEnd:
    """How a launch ended: its id, where its records are, the state after it, and why it ended."""

    launch: str
    folder: GroupFolder
    state: GroupState
    end: End


class View(Protocol):
    """Shows a launch while it runs."""

    def observe(self, event: Event) -> None:
        """Called with every journal event, right after it was written."""

    def tick(self) -> None:
        """Called several times a second."""

    def close(self) -> None:
        """Called once at the end, also after an error."""


def _chunks(specs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(specs.items())
    for start in range(0, len(items), _PLANNED_CHUNK):
        yield dict(items[start : start + _PLANNED_CHUNK])


def _invalid_end(spec: RunSpec, reasons: tuple[str, ...]) -> Ended:
    return Ended(run=spec.id, attempt=0, outcome=Outcome.INVALID, cause=invalid_cause(reasons))
