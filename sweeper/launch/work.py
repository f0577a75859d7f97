"""What a launch works on, what it is asked for, and how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sweeper.config import Resources, RunSpec, Sweep
from sweeper.diagnosis.invalid_points import invalid_groups
from sweeper.engine.supervisor import End
from sweeper.host.cpus import Slot
from sweeper.plan import Plan, describe, invalid_cause, remaining
from sweeper.records import (
    GroupFolder,
    GroupReader,
    GroupState,
    write_atomically,
)
from sweeper.records.events import Ended, Event, Planned
from sweeper.records.outcomes import Outcome
from sweeper.trainer import Trainer

__all__ = ["LaunchEnd", "Options", "Prepared", "SweepFile", "View", "Work"]


_PLANNED_CHUNK = 1000


@dataclass(frozen=True)
class Options:
    """What the command line asks beyond the sweep file."""

    cpus: int | None = None
    cpus_per_run: int | None = None
    runs_per_wave: int | None = None
    brake: bool = True
    open_to_group: bool = False

    def upon(self, resources: Resources) -> Resources:
        """What a run gets, with these wishes."""
        return replace(
            resources,
            cpus_per_run=self.cpus_per_run or resources.cpus_per_run,
            runs_per_wave=self.runs_per_wave or resources.runs_per_wave,
        )


class Work(Protocol):
    """What a launch trains: the runs of a sweep file, or some of the records' runs again."""

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
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before it starts."""

    def plan(self, state: GroupState) -> Plan:
        """What is still to be done. Raises `TrainerError`."""

    def describe(self, plan: Plan) -> dict[str, Any]:
        """The plan as data, for people and for programs."""

    def announce(self, plan: Plan, state: GroupState) -> tuple[dict[str, Any], list[Event]]:
        """What the journal's `launched` says of it, and the events that follow.

        Called once, under the group's lock, right before the first wave.
        """


@dataclass(frozen=True)
class SweepFile:
    """The runs of a sweep file that have no settled outcome yet."""

    sweep: Sweep
    folder: GroupFolder

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
        return remaining(self.sweep, state)

    def describe(self, plan: Plan) -> dict[str, Any]:
        groups = [group.plain() for group in invalid_groups(plan)]
        return describe(plan, self.sweep, invalid_groups=groups)

    def announce(self, plan: Plan, state: GroupState) -> tuple[dict[str, Any], list[Event]]:
        """Leaves the sweep file and the plan beside the records, too."""
        sweep, trainer = self.sweep, self.trainer
        write_atomically(self.folder.sweep_file, sweep.text)
        described = json.dumps(self.describe(plan), indent=1)
        write_atomically(self.folder.plan_file, described + "\n")
        specs = {spec.id: dict(spec.axis_values) for spec in sweep}
        sha = hashlib.sha256(sweep.text.encode()).hexdigest()[:16]
        events: list[Event] = [
            Planned(runs=chunk, headline=trainer.headline, units=trainer.units)
            for chunk in _chunks(specs)
        ]
        events += [_invalid_end(spec, reasons) for spec, reasons in plan.newly_invalid]
        return {"total": len(specs), "sweep_sha": sha}, events


@dataclass(frozen=True)
class Prepared:
    """What is to be trained, compared with the records and the host; nothing is written yet."""

    work: Work
    records: GroupReader
    state: GroupState
    plan: Plan
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class LaunchEnd:
    """How a launch ended: where its records are, the state after it, and why it ended."""

    folder: GroupFolder
    state: GroupState
    end: End


class View(Protocol):
    """Shows a launch while it runs."""

    def observe(self, event: Event) -> None:
        """Called with every journal event, right after it was written."""

    def tick(self) -> None:
        """Called some times a second."""

    def close(self) -> None:
        """Called at the end, however it comes."""


def _chunks(specs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = list(specs.items())
    for start in range(0, len(items), _PLANNED_CHUNK):
        yield dict(items[start : start + _PLANNED_CHUNK])


def _invalid_end(spec: RunSpec, reasons: tuple[str, ...]) -> Ended:
    return Ended(run=spec.id, attempt=0, outcome=Outcome.INVALID, cause=invalid_cause(reasons))
