"""Commands that plan, train or evaluate."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from cyclopts import Parameter

from sweeper.cli.common import (
    ALL_FINISHED,
    DEFAULT_RUNS,
    PAUSED,
    RUN,
    SOME_BAD,
    STOPPED,
    Again,
    Brake,
    Json,
    Limit,
    RunsDir,
    SetOption,
    ShardOption,
    TakeOver,
    TrainerName,
    Where,
    amount,
    app,
    carefully,
    complain,
    group_folder,
    print_json,
    reap,
    say,
    words,
)
from sweeper.cli.completion import AnyRun, Group, Target
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from sweeper.launch.work import Options, Prepared, View
    from sweeper.records import Shard


def _options(
    cpus: int | None, cpus_per_run: int | None = None, runs_per_wave: int | None = None
) -> Options:
    from sweeper.launch.work import Options

    for name, value in (
        ("--cpus", cpus),
        ("--cpus-per-run", cpus_per_run),
        ("--runs-per-wave", runs_per_wave),
    ):
        if value is not None and value < 1:
            raise SweeperError(f"{name}: expected at least 1, but got {value}")
    return Options(cpus, cpus_per_run, runs_per_wave)


@app.command(group=RUN)
def plan(
    file: Path,
    /,
    *runs: AnyRun,
    set_: SetOption = (),
    where: Where = (),
    limit: Limit = None,
    again: Again = False,
    cpus: int | None = None,
    cpus_per_run: int | None = None,
    runs_per_wave: int | None = None,
    shard: ShardOption = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Show what a launch would do: counts, axes, invalid combinations, waves. Trains nothing.

    For example:

    ```text
    sweep plan configs/sweeps/quickstart.yaml
    sweep plan my-sweep.yaml --json
    sweep plan my-sweep.yaml --set lr=1e-3,1e-2 --set seeds=5
    sweep plan my-sweep.yaml --where 'alpha=0.1' --limit 10
    ```

    Args:
        file: The sweep file.
        runs: Only these runs, by id or its first characters (default: all).
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
        cpus_per_run: CPUs of one run (default: the sweep file's `resources`, else 1).
        runs_per_wave: Runs in one Ray session (default: the sweep file's, else up to 5,000).
    """
    from sweeper.cli.text import plan_text
    from sweeper.launch.chosen import RunChoice
    from sweeper.launch.launch import prepare
    from sweeper.launch.recorded_trainer import lacking

    options = replace(
        _options(cpus, cpus_per_run, runs_per_wave), shard=_shard(shard), overrides=set_
    )
    prepared = prepare(file, runs_dir, options, choice=RunChoice(runs, where, limit), again=again)
    _warn(prepared)
    problem = lacking(prepared.work.trainer)
    if problem is not None:
        complain(problem)
    described = _described(prepared)
    print_json(described) if json else say(plan_text(described))


def _shard(text: str | None) -> Shard:
    from sweeper.records import WHOLE, Shard

    return WHOLE if text is None else Shard.parse(text)


def _described(prepared: Prepared) -> dict[str, Any]:
    from sweeper.launch.notes import notes_on

    described = {**prepared.work.describe(prepared.plan), "slots": len(prepared.slots)}
    return {**described, **notes_on(prepared).plain()}


def _warn(prepared: Prepared) -> None:
    from sweeper.engine.environment import withheld
    from sweeper.launch.notes import notes_on

    for name in withheld(os.environ):
        complain(f"{name} is not passed to the runs: what they print is kept in their logs")
    for warning in (*prepared.work.warnings, *notes_on(prepared).lines):
        complain(warning)


@app.command(group=RUN)
def launch(
    file: Path,
    /,
    *runs: AnyRun,
    set_: SetOption = (),
    where: Where = (),
    limit: Limit = None,
    again: Again = False,
    cpus: int | None = None,
    cpus_per_run: int | None = None,
    runs_per_wave: int | None = None,
    brake: Brake = True,
    shared: bool = False,
    shard: ShardOption = None,
    take_over: TakeOver = False,
    tmux: bool = False,
    tmux_name: str | None = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> int:
    """Train every run that has no good outcome yet; launching again trains only what is missing.

    Press Ctrl-C once: running trainings end at their next step, and finished runs are kept. Press
    it twice: everything stops now. If the first runs all fail alike, or the disk fills up, the
    sweep pauses and says why; runs with a parameter value that always fails come
    last. Exit status: 0 all runs finished, 3 some didn't, 2 an error in your input or on the host,
    4 paused, 130 stopped.

    For example:

    ```text
    sweep launch configs/sweeps/quickstart.yaml
    sweep launch my-sweep.yaml --cpus 64 --runs-dir /data/runs
    sweep launch my-sweep.yaml --tmux
    sweep launch my-sweep.yaml --shard 2/4
    sweep launch my-sweep.yaml --set steps=100 --set group=trial --limit 4
    sweep launch my-sweep.yaml --again --where 'alpha=0.1'
    ```

    Args:
        file: The sweep file.
        runs: Only these runs, by id or its first characters (default: all).
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
        cpus_per_run: CPUs of one run (default: the sweep file's `resources`, else 1).
        runs_per_wave: Runs in one Ray session (default: the sweep file's, else up to 5,000).
        brake: Pause if the first eight runs all fail for the same cause, and hold back parameter
            values with which eight do (the default).
        shared: Let your Unix group read the records, including all that later commands add.
        tmux: Launch in a new tmux session and return at once. The session goes on when you log out,
            and stays to be read when the launch has ended.
        tmux_name: The name of that session (default: `sweep-GROUP`); goes with --tmux or without.
    """
    from sweeper.cli.text import plan_text
    from sweeper.launch.chosen import RunChoice
    from sweeper.launch.launch import prepare
    from sweeper.records.permissions import closed_on_the_way

    reap()
    options = replace(
        _options(cpus, cpus_per_run, runs_per_wave),
        brake=brake,
        open_to_group=shared,
        shard=_shard(shard),
        take_over=take_over,
        overrides=set_,
    )
    prepared = prepare(file, runs_dir, options, choice=RunChoice(runs, where, limit), again=again)
    closed = closed_on_the_way(runs_dir) if shared else None
    if closed is not None:
        complain(f"--shared: others can't open {closed}; to allow it, run: chmod g+x {closed}")
    if tmux or tmux_name is not None:
        from sweeper.cli.submissions import launch_in_tmux

        launch_in_tmux(prepared, tmux_name, shared=shared, take_over=take_over, json=json)
        return 0
    return _train(prepared, options, plan_text, json=json)


@app.command(group=RUN)
def retry(
    group: Group = None,
    /,
    *,
    cause: tuple[str, ...] = (),
    timeout: str | None = None,
    memory_per_run: str | None = None,
    dry_run: bool = False,
    cpus: int | None = None,
    brake: Brake = True,
    take_over: TakeOver = False,
    trainer: TrainerName = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> int:
    """Train failed runs again: those that crashed, timed out, were lost or stopped.

    They are listed first. They get the configs and resources from the records. What the failed
    attempt left is kept in the run's folder. A launch of the sweep file would train these runs and
    all that are missing. The exit status is that of a launch.

    For example:

    ```text
    sweep retry quickstart --dry-run
    sweep retry quickstart --cause ValueError --cause lost
    sweep retry quickstart --cause 'timed out' --timeout '2 h'
    ```

    Args:
        group: The group of the sweep (default: the last one launched).
        cause: Only runs with this cause: any part of what `sweep crashed` prints for it.
        timeout: Another time limit, such as `20 min`.
        memory_per_run: Another memory limit, such as `2 GB`.
        dry_run: Only show what would be done.
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
        brake: Pause if the first eight runs all fail for the same cause, and hold back parameter
            values with which eight do (the default).
    """
    from sweeper.cli.text import retry_text
    from sweeper.config import duration_s, size_bytes
    from sweeper.launch.retry import prepare_retry

    options = replace(_options(cpus), brake=brake, take_over=take_over)
    limits = {
        **amount("timeout_s", "--timeout", timeout, duration_s),
        **amount("memory_per_run", "--memory-per-run", memory_per_run, size_bytes),
    }
    prepared = prepare_retry(
        group_folder(runs_dir, group), options, causes=cause, trainer=trainer, limits=limits
    )
    if dry_run:
        _warn(prepared)
        described = _described(prepared)
        print_json(described) if json else say(retry_text(described))
        return 0
    return _train(prepared, options, retry_text, json=json)


def _train(
    prepared: Prepared,
    options: Options,
    text_of: Callable[[dict[str, Any]], str],
    *,
    json: bool,
) -> int:
    """Launch what was prepared, show its progress, and return the exit status."""
    from sweeper.cli.text import ending_text
    from sweeper.launch.launch import launch as launch_here
    from sweeper.launch.work import SweepFile
    from sweeper.report.final_report import ending

    # With --json, only the answer goes to stdout.
    stream = sys.stderr if json else sys.stdout
    end = launch_here(prepared, options, view_of=lambda now: _view(now, text_of, stream))
    answer = ending(
        end.folder,
        end.state,
        reason=end.end.reason,
        message=end.end.message,
        shard=prepared.work.shard,
        chosen=prepared.work.chosen if isinstance(prepared.work, SweepFile) else None,
        launch=end.launch,
    )
    for problem in answer["problems"]:
        complain(problem)
    with carefully():
        print_json(answer) if json else say(ending_text(answer))
    if end.end.reason != "done":
        return STOPPED if end.end.reason == "stopped" else PAUSED
    return ALL_FINISHED if answer["all_finished"] else SOME_BAD


def _view(
    prepared: Prepared,
    text_of: Callable[[dict[str, Any]], str],
    stream: TextIO,
    *,
    headline: str | None = None,
) -> View:
    """Print what is about to run, and return the view that shows its progress."""
    from sweeper.cli.live_view import run_labels, view_for
    from sweeper.records import status as read_status

    _warn(prepared)
    described = text_of(_described(prepared))
    with contextlib.suppress(OSError):  # see `carefully`
        stream.write(described + "\n")
        stream.flush()
    work = prepared.work
    specs = [planned.spec for pack in prepared.plan.packs for planned in pack.runs]
    return view_for(
        stream,
        total=len(specs),
        names=run_labels(prepared),
        headline=headline or work.trainer.headline,
        # The records know the progress of trainings only.
        status=(lambda: read_status(work.folder)) if work.datasets is None else dict,
    )


@app.command(group=RUN)
def evaluate(
    *targets: Target,
    datasets: str,
    timeout: str | None = None,
    cpus: int | None = None,
    brake: Brake = True,
    take_over: TakeOver = False,
    trainer: TrainerName = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> int:
    """Evaluate trained runs on other datasets, without training; tables then show the metrics.

    The limits on time and memory are those of the last launch. The exit status is that of a launch.

    For example:

    ```text
    sweep evaluate quickstart --datasets circular_TBP_planar_10_test
    sweep evaluate k3f9x2qa7m 4nq2 --datasets complex_TBP_10_test
    ```

    Args:
        targets: A group, or ids of runs of one group.
        datasets: Names of datasets, separated by commas.
        timeout: Another time limit for each run, such as `20 min`.
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
        brake: Pause if the first eight runs all fail for the same cause (the default).
    """
    from sweeper.cli.text import evaluation_text
    from sweeper.config import duration_s
    from sweeper.launch.evaluate import prepare_evaluation
    from sweeper.launch.launch import launch as launch_here

    reap()
    names = words(datasets)
    if not targets or not names:
        raise SweeperError("sweep evaluate takes a group or run ids, and --datasets NAME,NAME")
    options = replace(_options(cpus), brake=brake, take_over=take_over)
    limits = amount("timeout_s", "--timeout", timeout, duration_s)
    prepared = prepare_evaluation(runs_dir, targets, names, options, trainer=trainer, limits=limits)
    stream = sys.stderr if json else sys.stdout
    end = launch_here(
        prepared,
        options,
        view_of=lambda now: _view(now, evaluation_text, stream, headline=f"{names[-1]}/mean"),
    )
    runs = [planned.spec.id for pack in prepared.plan.packs for planned in pack.runs]
    found = {run: dict(end.state.runs[run].evaluated) for run in runs}
    good = all(any(key.startswith(names[-1]) for key in metrics) for metrics in found.values())
    with carefully():
        if json:
            print_json({"group": prepared.work.folder.group, "evaluated": found})
        else:
            if end.end.message:
                say(f"paused: {end.end.message}\n")
            wanted = ",".join(f"{name}/mean" for name in names)
            say(f"next:\n  sweep table {prepared.work.folder.group} --metrics {wanted}\n")
    if end.end.reason != "done":
        return STOPPED if end.end.reason == "stopped" else PAUSED
    return ALL_FINISHED if good else SOME_BAD


@app.command(group=RUN)
def rerun(
    run: AnyRun,
    /,
    *,
    pdb: bool = False,
    set_: SetOption = (),
    as_new: Annotated[bool, Parameter(negative=())] = False,
    trainer: TrainerName = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
) -> int:
    """Train a run again here and now, without Ray and with the same seed, to debug a crash.

    The records don't change. A crash shows its full traceback, and the exit status is then 1.

    With --set some of its values are others. With --as-new too, the result is a run of its own: it
    is launched as a sweep of one run and recorded in a new group, GROUP-ID, and the exit status is
    that of a launch.

    For example:

    ```text
    sweep rerun k3f9x2qa7m
    sweep rerun k3f9x2qa7m --pdb
    sweep rerun k3f9x2qa7m --set steps=5000 --as-new
    ```

    Args:
        run: A run: its id, the first characters of it, or its name.
        pdb: Open the debugger where it crashes.
        as_new: Record it as a run of its own.
    """
    if as_new:
        from sweeper.cli.text import plan_text
        from sweeper.launch.new_run import prepare_new_run

        options = _options(None)
        prepared = prepare_new_run(runs_dir, run, set_, options, trainer=trainer)
        return _train(prepared, options, plan_text, json=False)
    from sweeper.launch.rerun import rerun_here

    return rerun_here(runs_dir, run, overrides=set_, trainer=trainer, debugger=pdb)
