"""The commands: parse, call, render; nothing else.

Modules that cost time to import are imported where they are used: `sweep --help` and `sweep status`
answer at once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from cyclopts import App, CycloptsError, Group, Parameter

from sweeper.errors import SweeperError
from sweeper.printable import printable

if TYPE_CHECKING:
    from sweeper.launch.local import Options, Prepared
    from sweeper.records import GroupFolder
    from sweeper.report.progress import View

__all__ = ["app", "list_crashed_runs", "main"]

ALL_FINISHED, USER_ERROR, SOME_BAD, PAUSED, STOPPED = 0, 2, 3, 4, 130

_SEE = Group.create_ordered("See")
_RUN = Group.create_ordered("Run")
_HOST = Group.create_ordered("Host")

app = App(
    name="sweep",
    help=(
        "Train every combination of a sweep file until each run has an outcome and a reason.\n\n"
        "Start with: sweep launch configs/sweeps/quickstart.yaml"
    ),
    version_flags=["--version"],
    help_format="markdown",
    result_action="return_value",
)

RunsDir = Annotated[
    Path,
    Parameter(name="--runs-dir", env_var="SWEEPER_RUNS", help="Where the records lie."),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for programs.")]
_DEFAULT_RUNS = Path("runs")


def main() -> None:
    """Entry point of `sweep`."""
    # A name that the terminal's encoding lacks must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_guarded(app, sys.argv[1:]))


def list_crashed_runs() -> None:
    """Entry point of `list-crashed-runs`: the same as `sweep crashed`."""
    sys.argv[1:1] = ["crashed"]
    main()


def _guarded(command: App, arguments: list[str]) -> int:
    """Run a command; user errors become one message and status 2, never a traceback."""
    try:
        status = command(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(f"{error}\nSee: sweep {' '.join(arguments[:1])} --help")
        return USER_ERROR
    except SweeperError as error:
        _complain(str(error))
        return USER_ERROR
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder that may not be written
        _complain(f"{error.filename or 'the operating system'}: {error.strerror or error}")
        return USER_ERROR
    except KeyboardInterrupt:
        return STOPPED
    return status if isinstance(status, int) else 0


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        sys.stderr.write("\n".join(map(printable, message.split("\n"))) + "\n")


def _say(text: str) -> None:
    """Print text; names and messages in it may come from strangers, so it is made harmless."""
    lines = text.split("\n")
    sys.stdout.write("\n".join(line if line.isprintable() else printable(line) for line in lines))


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=1, default=str) + "\n")


def _group_folder(runs_dir: Path, group: str | None) -> GroupFolder:
    """The folder of `group`, or of the only or latest group; raises RecordError."""
    from sweeper.records.lookup import find_group, latest_group

    _reap()
    return latest_group(runs_dir) if group is None else find_group(runs_dir, group)


def _reap() -> None:
    from sweeper.engine.scratch import reap_dead_launches

    left = reap_dead_launches()
    if left.processes or left.folders:
        _complain(
            f"a launch that died had left {left.processes} processes and {left.folders} scratch "
            f"folders: ended and deleted"
        )


def _options(cpus: int | None, cpus_per_run: int | None, runs_per_wave: int | None) -> Options:
    from sweeper.launch.local import Options

    for name, value in (
        ("--cpus", cpus),
        ("--cpus-per-run", cpus_per_run),
        ("--runs-per-wave", runs_per_wave),
    ):
        if value is not None and value < 1:
            raise SweeperError(f"`{name} >= 1` must hold, but got {value}.")
    return Options(cpus, cpus_per_run, runs_per_wave)


@app.command(group=_RUN)
def plan(
    file: Path,
    /,
    *,
    cpus: int | None = None,
    cpus_per_run: int | None = None,
    runs_per_wave: int | None = None,
    runs_dir: RunsDir = _DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Tell what a launch would do: counts, axes, invalid points, waves. Trains nothing.

    For example:

    ```text
    sweep plan configs/sweeps/quickstart.yaml
    sweep plan my-sweep.yaml --json
    ```

    Args:
        file: The sweep file.
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
        cpus_per_run: CPUs of one run (default: the sweep file's `resources`, else 1).
        runs_per_wave: Runs in one Ray session (default: the sweep file's, else up to 1,000).
    """
    from sweeper.launch.local import prepare
    from sweeper.plan import describe
    from sweeper.report.summaries import plan_text

    prepared = prepare(file, runs_dir, _options(cpus, cpus_per_run, runs_per_wave))
    _warn(prepared)
    described = {**describe(prepared.plan, prepared.sweep), "slots": len(prepared.slots)}
    _print_json(described) if json else _say(plan_text(described))


def _warn(prepared: Prepared) -> None:
    for problem in prepared.sweep.warnings:
        _complain(problem.render())


@app.command(group=_RUN)
def launch(
    file: Path,
    /,
    *,
    cpus: int | None = None,
    cpus_per_run: int | None = None,
    runs_per_wave: int | None = None,
    brake: bool = True,
    runs_dir: RunsDir = _DEFAULT_RUNS,
    json: Json = False,
) -> int:
    """Train every run that has no good outcome yet; launching again trains only what is missing.

    Ctrl-C once: running trainings end at their next step, what is done is kept. Twice: stop now.
    If the first runs all fail alike, or the disk fills up, the sweep pauses and says why.
    Exit status: 0 all runs finished, 3 some didn't, 2 a fault in what you gave or in the host,
    4 paused, 130 stopped.

    For example:

    ```text
    sweep launch configs/sweeps/quickstart.yaml
    sweep launch my-sweep.yaml --cpus 64 --runs-dir /data/runs
    tmux new -s sweep 'sweep launch my-sweep.yaml'
    ```

    Args:
        file: The sweep file.
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
        cpus_per_run: CPUs of one run (default: the sweep file's `resources`, else 1).
        runs_per_wave: Runs in one Ray session (default: the sweep file's, else up to 1,000).
        brake: Pause when the first eight runs all end with one cause.
    """
    from sweeper.launch.local import launch as launch_here
    from sweeper.report.ending import ending, ending_text

    _reap()
    # With --json, stdout is for the answer alone.
    stream = sys.stderr if json else sys.stdout
    options = replace(_options(cpus, cpus_per_run, runs_per_wave), brake=brake)
    end = launch_here(file, runs_dir, options, view_of=lambda prepared: _view(prepared, stream))
    answer = ending(end.folder, end.state, reason=end.end.reason, message=end.end.message)
    with contextlib.suppress(OSError):  # a terminal that was closed changes nothing
        _print_json(answer) if json else _say(ending_text(answer))
    if end.end.reason != "done":
        return STOPPED if end.end.reason == "stopped" else PAUSED
    return ALL_FINISHED if answer["all_finished"] else SOME_BAD


def _view(prepared: Prepared, stream: TextIO) -> View:
    """Say what is about to run, and return what shows it."""
    from sweeper.plan import describe
    from sweeper.records import status as read_status
    from sweeper.report.progress import view_for
    from sweeper.report.summaries import axis_words, plan_text

    _warn(prepared)
    plan = {**describe(prepared.plan, prepared.sweep), "slots": len(prepared.slots)}
    stream.write(plan_text(plan) + "\n")
    stream.flush()
    specs = [
        planned.spec for wave in prepared.plan.waves for pack in wave.packs for planned in pack.runs
    ]
    return view_for(
        stream,
        total=len(specs),
        names={spec.id: axis_words(spec.axis_values) for spec in specs},
        headline=prepared.sweep.trainer.headline,
        status=lambda: read_status(prepared.folder),
    )


@app.command(group=_RUN)
def evaluate(
    *targets: str,
    datasets: str,
    cpus: int | None = None,
    runs_dir: RunsDir = _DEFAULT_RUNS,
    json: Json = False,
) -> int:
    """Evaluate trained runs on other datasets, without training; the figures join the tables.

    For example:

    ```text
    sweep evaluate quickstart --datasets circular_TBP_planar_10_test,simple_TBP_planar_10_test
    sweep evaluate k3f9x2qa7m 4nq2 --datasets complex_TBP_10_test
    ```

    Args:
        targets: A group, or ids of runs of one group.
        datasets: Names of datasets, with commas.
        cpus: Use at most this many CPUs (default: all that affinity and cgroup allow).
    """
    from sweeper.launch.evaluation import evaluate as evaluate_runs
    from sweeper.launch.evaluation import prepare_evaluation
    from sweeper.records import fold, read_events
    from sweeper.report.progress import view_for
    from sweeper.report.summaries import axis_words

    _reap()
    names = _words(datasets)
    if not targets or not names:
        raise SweeperError("sweep evaluate takes a group or run ids, and --datasets NAME,NAME")
    prepared = prepare_evaluation(runs_dir, targets, names)
    stream = sys.stderr if json else sys.stdout
    if prepared.unfinished:
        stream.write(f"{prepared.unfinished} runs have not finished and are left out\n")
    end = evaluate_runs(
        prepared,
        cpus=cpus,
        view_of=lambda found: view_for(
            stream,
            total=len(found.runs),
            names={run.id: axis_words(found.state.runs[run.id].axis_values) for run in found.runs},
            headline=f"{names[-1]}/mean",
            status=dict,
        ),
    )
    state = fold(read_events(prepared.folder.journal_dir))
    found = {run.id: dict(state.runs[run.id].evaluated) for run in prepared.runs}
    good = all(any(key.startswith(names[-1]) for key in metrics) for metrics in found.values())
    if json:
        _print_json({"group": prepared.folder.group, "evaluated": found})
    else:
        wanted = ",".join(f"{name}/mean" for name in names)
        _say(f"next:\n  sweep table {prepared.folder.group} --metrics {wanted}\n")
    if end.reason != "done":
        return STOPPED if end.reason == "stopped" else PAUSED
    return ALL_FINISHED if good else SOME_BAD


@app.command(group=_SEE)
def status(
    group: str | None = None, /, *, runs_dir: RunsDir = _DEFAULT_RUNS, json: Json = False
) -> None:
    """How a sweep stands, from its records alone, while it runs or after, from any shell.

    For example:

    ```text
    sweep status
    sweep status quickstart --json
    ```

    Args:
        group: The group of the sweep (default: the one launched last).
    """
    from sweeper.records import status as read_status

    found = read_status(_group_folder(runs_dir, group))
    if json:
        _print_json(found)
    else:
        from sweeper.report.summaries import status_text

        _say(status_text(found))


@app.command(group=_SEE)
def crashed(
    group: str | None = None,
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all", negative=())] = False,
    runs_dir: RunsDir = _DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Why runs ended without a good outcome, cause by cause, and every one of these runs.

    For each cause: the shortest condition on the parameters that tells its runs from those that
    finished, with counts, or that there is none. For each run: last step, log and axis values.

    For example:

    ```text
    sweep crashed quickstart
    list-crashed-runs quickstart --json
    ```

    Args:
        group: The group of the sweep (default: the one launched last).
        everything: List all runs of a cause, not only the first 20.
    """
    from sweeper.plan.explain import crash_groups

    answer = crash_groups(_group_folder(runs_dir, group))
    if json:
        _print_json(answer)
    else:
        from sweeper.report.summaries import crashed_text

        _say(crashed_text(answer, everything=everything))


@app.command(group=_SEE)
def show(run: str, /, *, runs_dir: RunsDir = _DEFAULT_RUNS, json: Json = False) -> None:
    """A run's config, outcome, last metrics and files.

    For example:

    ```text
    sweep show k3f9x2qa7m
    sweep show k3f --json
    ```

    Args:
        run: A run id, or the first characters of one.
    """
    from sweeper.records import find_run
    from sweeper.records import show as show_run
    from sweeper.report.summaries import show_text

    _reap()
    found = show_run(find_run(runs_dir, run))
    _print_json(found) if json else _say(show_text(found))


@app.command(group=_SEE)
def diff(*runs: str, runs_dir: RunsDir = _DEFAULT_RUNS, json: Json = False) -> None:
    """Only the parameters that differ between runs.

    For example:

    ```text
    sweep diff k3f9x2qa7m 4nq2
    sweep diff k3f9x2qa7m other-config.yaml
    ```

    Args:
        runs: Two or more run ids (or their first characters) or YAML files.
    """
    from sweeper.config import differing
    from sweeper.launch.debug import config_of
    from sweeper.report.summaries import diff_text

    if len(runs) < 2:
        raise SweeperError("sweep diff takes two or more run ids or YAML files")
    rows = differing({run: config_of(runs_dir, run) for run in runs})
    if json:
        _print_json([{"key": key, "values": values} for key, values in rows])
    else:
        _say(diff_text(list(runs), rows))


@app.command(group=_RUN)
def rerun(run: str, /, *, pdb: bool = False, runs_dir: RunsDir = _DEFAULT_RUNS) -> int:
    """Train a run again in this process, without Ray, same seed, for debugging a crash.

    Records stay as they are. A crash shows its full traceback; the exit status is then 1.

    For example:

    ```text
    sweep rerun k3f9x2qa7m
    sweep rerun k3f9x2qa7m --pdb
    ```

    Args:
        run: A run id, or the first characters of one.
        pdb: Open the debugger where it crashes.
    """
    from sweeper.launch.debug import rerun_here

    return rerun_here(runs_dir, run, debugger=pdb)


@app.command(group=_SEE)
def table(
    group: str | None = None,
    /,
    *,
    by: str | None = None,
    metrics: str | None = None,
    format: Literal["table", "markdown", "csv", "json"] = "table",  # noqa: A002
    runs_dir: RunsDir = _DEFAULT_RUNS,
) -> None:
    """The results as a table: parameters × metrics, mean ± spread over seeds.

    For example:

    ```text
    sweep table quickstart
    sweep table quickstart --by output_layer,activation --metrics tests/mean --format markdown
    ```

    Args:
        group: The group of the sweep (default: the one launched last).
        by: Parameters of the rows, with commas (default: all that vary, seeds apart).
        metrics: Metrics of the columns, with commas (default: the chief ones).
        format: How it is written.
    """
    from sweeper.report.results import group_table
    from sweeper.report.tables import render

    folder = _group_folder(runs_dir, group)
    text = render(group_table(folder, by=_words(by), metrics=_words(metrics)), format)
    # For programs the very text; for people one without power over their terminal.
    sys.stdout.write(text) if format in {"csv", "json"} else _say(text)


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


@app.command(group=_HOST)
def doctor(*, runs_dir: RunsDir = _DEFAULT_RUNS, json: Json = False) -> int:
    """What this host offers for sweeps, line by line, with the mend for what is wrong.

    Exit status 3 if a line is a problem.

    For example:

    ```text
    sweep doctor
    sweep doctor --json
    ```
    """
    from sweeper.launch.host import checks
    from sweeper.report.summaries import doctor_line

    lines = []
    for line in checks(runs_dir):
        lines.append(line)
        if not json:
            _say(doctor_line(line.name, line.verdict, line.found, line.mend))
            sys.stdout.flush()
    if json:
        _print_json([vars(line) for line in lines])
    return SOME_BAD if any(line.verdict == "problem" for line in lines) else 0
