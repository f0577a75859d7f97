"""`sweep evaluate`: measures trained runs on other datasets, in parallel over the slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweeper.config import Resources, RunSpec
from sweeper.engine.policy import BRAKE_AFTER, Policy
from sweeper.errors import RecordError, SweeperError, TrainerError
from sweeper.launch.launch import compare
from sweeper.launch.recorded_runs import recorded_resources, recorded_specs
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.launch.work import Announcement, Options, Prepared, Purpose
from sweeper.plan import Plan, plan_each
from sweeper.records import GroupFolder, GroupState, Outcome, find_run, fold, groups, read_events
from sweeper.records.lookup import find_group
from sweeper.records.shards import WHOLE, Shard
from sweeper.suggest import counted
from sweeper.trainer import Trainer

__all__ = ["Evaluation", "prepare_evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """Finished runs of one group, and the datasets on which they are evaluated.

    `left_out` counts runs that were asked for and haven't finished; `unusable` says why others that
    have are left out too.
    """

    folder: GroupFolder
    trainer: Trainer
    resources: Resources
    specs: Mapping[str, RunSpec]
    datasets: tuple[str, ...]
    left_out: int
    unusable: tuple[str, ...] = ()
    purpose: Purpose = "evaluate"
    again: bool = False
    shard: Shard = WHOLE  # a model that is trained again meanwhile can't be evaluated

    @property
    def warnings(self) -> tuple[str, ...]:
        waiting = (
            "1 run has not finished and is left out"
            if self.left_out == 1
            else f"{self.left_out} runs have not finished and are left out"
        )
        return (
            *([waiting] if self.left_out else []),
            *(f"left out: {reason}" for reason in self.unusable),
        )

    def plan(self, state: GroupState) -> Plan:
        return plan_each(
            self.specs.values(), self.trainer, runs_per_wave=self.resources.runs_per_wave
        )

    def policy(self, state: GroupState, options: Options) -> Policy:
        return Policy(
            timeout_s=self.resources.timeout_s,
            retries=self.resources.retries,
            brake_after=BRAKE_AFTER if options.brake else 0,
            hold_after=0,
            pause_when_sick=options.brake,
            fresh_processes=self.resources.isolation == "process",
        )

    def describe(self, plan: Plan) -> dict[str, Any]:
        """`group`, `datasets`, `to_evaluate` and the runs of each wave."""
        return {
            "group": self.folder.group,
            "datasets": list(self.datasets),
            "to_evaluate": plan.to_train,
            "waves": [wave.runs for wave in plan.waves],
        }

    def announce(self, plan: Plan, state: GroupState) -> Announcement:
        """Evaluation changes no plan: there is nothing to announce."""
        return Announcement()


def prepare_evaluation(
    runs_dir: Path,
    targets: Sequence[str],
    datasets: Sequence[str],
    options: Options,
    *,
    trainer: str | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Prepared:
    """Find the runs, and compare what is to be done with the host.

    `targets` is the name of a group, for the runs of its sweep as it was last launched, or run ids
    of one group. `trainer` is the name of the group's
    trainer if it isn't the default one, `limits` are fields of `Resources` that replace what the
    sweep was launched with. Raises `RecordError` for what isn't there or hasn't finished,
    `TrainerError` for a trainer that can't evaluate, `SweeperError` for datasets that it doesn't
    know, `HostError`.
    """
    folder, state, wanted = _targets(runs_dir, targets)
    finished = [run for run in wanted if state.runs[run].standing == Outcome.FINISHED]
    if not finished:
        raise RecordError(f"none of these runs of group `{folder.group}` has finished")
    loaded = trainer_of(folder, state, trainer)
    if loaded.evaluate is None:
        raise TrainerError(
            f"trainer {loaded.name!r} has no `evaluate`: see docs/your-own-training.md"
        )
    problems = [problem for dataset in datasets for problem in loaded.check_dataset(dataset)]
    if problems:
        raise SweeperError("\n".join(problems))
    recorded = recorded_specs(folder, state, loaded, finished)
    missing = f"there is no config of {counted(recorded.without_config, 'run')} in the records"
    work = Evaluation(
        folder=folder,
        trainer=loaded,
        resources=options.upon(replace(recorded_resources(state, folder), **(limits or {}))),
        specs=recorded.specs,
        datasets=tuple(datasets),
        left_out=len(wanted) - len(finished),
        unusable=(*recorded.unusable, *([missing] if recorded.without_config else [])),
    )
    return compare(work, options)


def _targets(runs_dir: Path, targets: Sequence[str]) -> tuple[GroupFolder, GroupState, list[str]]:
    """The group, its state, and the runs that are meant. Raises `RecordError`."""
    if len(targets) == 1 and targets[0] in groups(runs_dir):
        folder = find_group(runs_dir, targets[0])
        state = fold(read_events(folder.journal_dir))
        return folder, state, list(state.as_planned().runs)
    found = [find_run(runs_dir, target) for target in targets]
    if len({run.group.path for run in found}) != 1:
        raise RecordError(
            "the runs to evaluate must belong to one group; to evaluate all, give its name"
        )
    folder = found[0].group
    state = fold(read_events(folder.journal_dir))
    unknown = [run.id for run in found if run.id not in state.runs]
    if unknown:
        raise RecordError(f"the journal of group `{folder.group}` holds no run `{unknown[0]}`")
    return folder, state, [run.id for run in found]
