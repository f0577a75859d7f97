"""`sweep retry`: runs that failed are trained again, from what the records hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeper.config import Resources, RunSpec, nearest
from sweeper.diagnosis.failure_groups import CauseGroup, by_cause
from sweeper.engine.policy import Policy
from sweeper.errors import RecordError
from sweeper.launch.launch import compare
from sweeper.launch.recorded_runs import recorded_resources, recorded_specs
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.launch.work import Announcement, Options, Prepared, Purpose, training_policy
from sweeper.plan import Plan, plan_runs
from sweeper.records import GroupFolder, GroupState, crashed, snapshot
from sweeper.records.queries import doubts
from sweeper.records.shards import WHOLE, Shard
from sweeper.records.state import WORTH_RETRYING
from sweeper.suggest import counted
from sweeper.trainer import Trainer

__all__ = ["FailedRuns", "prepare_retry"]


@dataclass(frozen=True)
class FailedRuns:
    """Runs that failed, with the configs in their folders.

    `causes` are those of `specs`, `others` those that were not asked for or would end the same way
    again, `without_config` counts runs whose folder holds none, and `unusable` says of those that
    hold one why it is left out. `doubts` are sentences about launches of which this host can't tell
    whether they live.
    """

    folder: GroupFolder
    trainer: Trainer
    resources: Resources
    specs: Mapping[str, RunSpec]
    causes: tuple[CauseGroup, ...]
    others: tuple[CauseGroup, ...]
    without_config: int
    unusable: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    purpose: Purpose = "retry"
    shard: Shard = WHOLE  # what failed may be in any part
    again: bool = False  # what finished stays as it is
    datasets: None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        left_out = (*self.doubts, *(f"left out: {reason}" for reason in self.unusable))
        if not self.without_config:
            return left_out
        return (
            *left_out,
            f"the records hold no config of {self.without_config} of these runs; launching "
            f"the sweep file again trains them",
        )

    def plan(self, state: GroupState) -> Plan:
        return plan_runs(
            self.specs.values(), state, self.trainer, runs_per_wave=self.resources.runs_per_wave
        )

    def describe(self, plan: Plan) -> dict[str, Any]:
        """`group`, `to_train`, the runs of each wave, and the causes with how many runs each."""
        return {
            "group": self.folder.group,
            "to_train": plan.to_train,
            "waves": [wave.runs for wave in plan.waves],
            "causes": [_plain(cause) for cause in self.causes],
            "left_alone": [_plain(cause) for cause in self.others],
            "without_config": self.without_config,
            "unusable": list(self.unusable),
            "programs": len({pack.program for pack in plan.packs}),
            "timeout_s": self.resources.timeout_s,
            "memory_per_run": self.resources.memory_per_run,
            "invalid": [
                {"id": spec.id, "reasons": list(reasons)} for spec, reasons in plan.invalid
            ],
        }

    def policy(self, state: GroupState, options: Options) -> Policy:
        return training_policy(self.resources, state, options)

    def announce(self, plan: Plan, state: GroupState) -> Announcement:
        """The sweep is the same as at the last launch; nothing new is planned."""
        last = state.last_training
        assert last is not None  # there are failed runs
        return Announcement(last.total, last.sweep_sha)


def _plain(cause: CauseGroup) -> dict[str, Any]:
    return {
        "outcome": cause.outcome,
        "type": cause.type,
        "message": cause.message,
        "place": cause.place,
        "runs": len(cause.runs),
    }


def prepare_retry(
    folder: GroupFolder,
    options: Options,
    *,
    causes: Sequence[str] = (),
    trainer: str | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Prepared:
    """Find the failed runs of a group, and compare what is to be done with the host.

    The runs are those of the sweep as it was last launched: what only earlier files had is left
    alone. `causes` are any parts of causes as `sweep crashed` prints them; none means
    all. `trainer` is its name if it isn't the default one, `limits` are fields of `Resources` that
    replace what the sweep was launched with. Raises `RecordError` where nothing fits,
    `ConfigError` for a stored config that no longer fits its trainer, `HostError`.
    """
    seen = snapshot(folder, take_over=options.take_over)
    state = seen.state.as_planned()
    if state.last_training is None:
        raise RecordError(f"the journal of group `{folder.group}` holds no launch of it")
    groups = by_cause(crashed(folder, state))
    useful = [group for group in groups if group.outcome in WORTH_RETRYING]
    chosen = [group for group in useful if _is_meant(group, causes)]
    doubtful = tuple(doubt["message"] for doubt in doubts(seen))
    if not chosen:
        raise RecordError("\n".join([_nothing(folder.group, groups, causes), *doubtful]))
    loaded = trainer_of(folder, state, trainer)
    wanted = [run for group in chosen for run in group.runs]
    recorded = recorded_specs(folder, state, loaded, wanted)
    if not recorded.specs:
        raise RecordError(
            f"group `{folder.group}`: the records hold no config of "
            f"{counted(len(wanted), 'such run')}; launch the sweep file again"
        )
    work = FailedRuns(
        folder=folder,
        trainer=loaded,
        resources=options.upon(replace(recorded_resources(state, folder), **(limits or {}))),
        specs=recorded.specs,
        causes=tuple(chosen),
        others=tuple(group for group in groups if group not in chosen),
        without_config=recorded.without_config,
        unusable=recorded.unusable,
        doubts=doubtful,
    )
    return compare(work, options)


def _is_meant(group: CauseGroup, causes: Sequence[str]) -> bool:
    words = _words(group).lower()
    return not causes or any(cause.strip().lower() in words for cause in causes)


def _words(group: CauseGroup) -> str:
    """A cause as `sweep crashed` prints it, with its kind."""
    parts = (group.outcome, group.kind, group.type, group.message)
    return ": ".join(part for part in parts if part)


def _nothing(group: str, groups: Sequence[CauseGroup], causes: Sequence[str]) -> str:
    """Why there is nothing to do."""
    useful = [item for item in groups if item.outcome in WORTH_RETRYING]
    if not groups:
        return f"group `{group}`: every run that has ended is finished"
    if not useful:
        counts = ", ".join(f"{len(item.runs)} {_words(item)}" for item in groups)
        return f"group `{group}` has no run that could end differently: {counts}"
    words = {word for item in useful for word in (item.outcome, item.kind, item.type) if word}
    meant = [near for cause in causes if (near := nearest(cause, words))]
    listed = "\n".join(f"  {len(item.runs)} {_words(item)}" for item in useful)
    asked = " or ".join(f"`{cause}`" for cause in causes)
    hint = f"; did you mean `{meant[0]}`?" if meant else ""
    return f"group `{group}`: no cause contains {asked}{hint}\n{listed}"
