"""Trained runs evaluated on other datasets, in parallel over the slots, without training."""

from __future__ import annotations

import contextlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeper.config import from_plain
from sweeper.config.run_config import read_config
from sweeper.engine.job_queue import Job, WaveJobs
from sweeper.engine.policy import Policy
from sweeper.engine.scratch import Scratch
from sweeper.engine.supervisor import End, Supervisor
from sweeper.errors import RecordError, SweeperError, TrainerError
from sweeper.host.cpus import cpu_offer, cut_slots
from sweeper.host.processes import host_name
from sweeper.launch.launch import careful
from sweeper.launch.recorded_trainer import trainer_of
from sweeper.launch.work import View
from sweeper.records import (
    GroupFolder,
    GroupState,
    JournalWriter,
    Outcome,
    RunFolder,
    find_run,
    fold,
    groups,
    read_events,
)
from sweeper.records.lock import acquire
from sweeper.records.lookup import find_group
from sweeper.records.permissions import readable_as
from sweeper.trainer import Trainer

__all__ = ["Evaluation", "evaluate", "prepare_evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated: runs of one group, on which datasets, and what was left out."""

    folder: GroupFolder
    state: GroupState
    trainer: Trainer
    runs: tuple[RunFolder, ...]
    datasets: tuple[str, ...]
    unfinished: int


def prepare_evaluation(
    runs_dir: Path,
    targets: Sequence[str],
    datasets: Sequence[str],
    *,
    trainer: str | None = None,
) -> Evaluation:
    """Find the runs; `targets` is the name of a group, or run ids of one group.

    `trainer` is the name of the group's trainer if it isn't the default one. Raises `RecordError`
    for what isn't there or hasn't finished, `TrainerError` for a trainer that can't evaluate,
    `SweeperError` for datasets that it doesn't know.
    """
    if len(targets) == 1 and targets[0] in groups(runs_dir):
        folder = find_group(runs_dir, targets[0])
        state = fold(read_events(folder.journal_dir))
        wanted = list(state.runs)
    else:
        found = [find_run(runs_dir, target) for target in targets]
        if len({run.group.path for run in found}) != 1:
            raise RecordError("the runs to evaluate must be of one group; give its name for all")
        folder = found[0].group
        state = fold(read_events(folder.journal_dir))
        wanted = [run.id for run in found]
    finished = [run for run in wanted if state.runs[run].outcome is Outcome.FINISHED]
    if not finished:
        raise RecordError(f"none of these runs of group `{folder.group}` has finished")
    loaded = trainer_of(folder.group, state, trainer)
    if loaded.evaluate is None:
        raise TrainerError(
            f"trainer {loaded.name!r} has no `evaluate`: see docs/your-own-training.md"
        )
    problems = [problem for dataset in datasets for problem in loaded.check_dataset(dataset)]
    if problems:
        raise SweeperError("\n".join(problems))
    return Evaluation(
        folder,
        state,
        loaded,
        tuple(folder.run(run) for run in finished),
        tuple(datasets),
        len(wanted) - len(finished),
    )


def evaluate(
    evaluation: Evaluation,
    *,
    cpus: int | None,
    view_of: Callable[[Evaluation], View],
) -> End:
    """Evaluate; the figures join the records. Raises as a launch does."""
    folder = evaluation.folder
    slots = cut_slots(cpu_offer(), cpus=cpus, cpus_per_run=1)
    launch_id = secrets.token_hex(4)
    with (
        acquire(folder.lock_file),
        readable_as(folder.path),
        JournalWriter(folder.journal_dir, f"{host_name()}-{launch_id}") as journal,
        contextlib.ExitStack() as stack,
    ):
        view = view_of(evaluation)
        stack.callback(careful(view.close))
        scratch = Scratch.create(launch_id)
        try:
            return Supervisor(
                group=folder,
                trainer=evaluation.trainer,
                slots=slots,
                policy=Policy(),
                memory_per_run=None,
                journal=journal,
                scratch=scratch,
                observe=careful(view.observe),
                tick=careful(view.tick),
                datasets=evaluation.datasets,
            ).run([_jobs(evaluation)])
        finally:
            scratch.remove()


def _jobs(evaluation: Evaluation) -> WaveJobs:
    """One job per run, those of one program together."""
    by_program: dict[str, list[Job]] = defaultdict(list)
    for run in evaluation.runs:
        plain = read_config(run.config_file)
        key = evaluation.trainer.program_key(from_plain(evaluation.trainer.Config, plain))
        by_program[repr(key)].append(Job(run.id, 1, plain))
    return [(program, (job,)) for program, jobs in by_program.items() for job in jobs]
