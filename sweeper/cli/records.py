"""Commands that only read records."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from sweeper.cli.common import (
    DEFAULT_RUNS,
    SEE,
    Json,
    Limit,
    RunsDir,
    Where,
    app,
    complain,
    group_folder,
    print_json,
    reap,
    say,
    words,
)
from sweeper.cli.completion import AnyRun, Group
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from sweeper.records.state import Chosen

Everything = Annotated[bool, Parameter(name="--all")]


def _chosen(where: tuple[str, ...], limit: int | None) -> Chosen:
    """The runs that are meant; what reads conditions is imported only where there are some."""
    from sweeper.records.state import ALL_RUNS, Chosen

    if not where and limit is None:
        return ALL_RUNS
    from sweeper.launch.chosen import RunChoice
    from sweeper.launch.recorded_choice import chosen_state

    choice = RunChoice(where=where, limit=limit)
    return Chosen(where, limit, lambda state: chosen_state(state, choice))


@app.command(group=SEE)
def status(
    group: Group = None,
    /,
    *,
    where: Where = (),
    limit: Limit = None,
    everything: Everything = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Show the progress of a sweep, while it runs or later, from any shell.

    For example:

    ```text
    sweep status
    sweep status quickstart --json
    sweep status quickstart --where activation=tanh
    ```

    Args:
        group: The group of the sweep (default: the last one launched).
        everything: Count the runs of earlier sweep files of the group too.
    """
    from sweeper.records import status as read_status

    found = read_status(
        group_folder(runs_dir, group), everything=everything, chosen=_chosen(where, limit)
    )
    if json:
        print_json(found)
    else:
        from sweeper.cli.text import status_text

        say(status_text(found))


@app.command(group=SEE)
def crashed(
    group: Group = None,
    /,
    *,
    where: Where = (),
    limit: Limit = None,
    everything: Everything = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Show why runs failed: each cause, and the runs that it ended.

    For each cause: the shortest condition on the parameters that separates its runs from those that
    finished, with counts, if there is one. For each run: last step, log and axis values.

    For example:

    ```text
    sweep crashed quickstart
    list-crashed-runs quickstart --json
    ```

    Args:
        group: The group of the sweep (default: the last one launched).
        everything: List all runs: of a cause not only the first 20, and those of earlier sweep
            files of the group too.
    """
    from sweeper.diagnosis.explain import crash_groups

    answer = crash_groups(
        group_folder(runs_dir, group), everything=everything, chosen=_chosen(where, limit)
    )
    if json:
        print_json(answer)
    else:
        from sweeper.cli.text import crashed_text

        say(crashed_text(answer, everything=everything))


@app.command(group=SEE)
def show(run: AnyRun, /, *, runs_dir: RunsDir = DEFAULT_RUNS, json: Json = False) -> None:
    """Show a run's config, outcome, last metrics and files.

    For example:

    ```text
    sweep show k3f9x2qa7m
    sweep show k3f --json
    ```

    Args:
        run: A run: its id, the first characters of it, or its name.
    """
    from sweeper.cli.text import show_text
    from sweeper.records import find_run
    from sweeper.report.show import show as show_run

    reap()
    found = show_run(find_run(runs_dir, run))
    print_json(found) if json else say(show_text(found))


@app.command(group=SEE)
def diff(*runs: AnyRun, runs_dir: RunsDir = DEFAULT_RUNS, json: Json = False) -> None:
    """Show in which parameters runs differ.

    For example:

    ```text
    sweep diff k3f9x2qa7m 4nq2
    sweep diff k3f9x2qa7m other-config.yaml
    ```

    Args:
        runs: Two or more run ids (or their first characters) or YAML files.
    """
    from sweeper.cli.text import diff_text
    from sweeper.config import differing
    from sweeper.launch.run_configs import config_of

    if len(runs) < 2:
        raise SweeperError("sweep diff takes two or more run ids or YAML files")
    rows = differing({run: config_of(runs_dir, run) for run in runs})
    if json:
        print_json([{"key": key, "values": values} for key, values in rows])
    else:
        say(diff_text(list(runs), rows))


@app.command(group=SEE)
def table(
    group: Group = None,
    /,
    *,
    by: str | None = None,
    metrics: str | None = None,
    where: Where = (),
    limit: Limit = None,
    everything: Everything = False,
    format: Literal["table", "markdown", "csv", "json"] = "table",  # noqa: A002
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Show the results as a table: parameters × metrics, mean ± spread over seeds.

    For example:

    ```text
    sweep table quickstart
    sweep table quickstart --by activation --metrics loss --format csv
    ```

    Args:
        group: The group of the sweep (default: the last one launched).
        by: Parameters of the rows, separated by commas (default: all that vary, except seeds).
        metrics: Metrics of the columns, separated by commas (default: the main ones).
        everything: Show the runs of earlier sweep files of the group too.
        format: The format of the table (default: `table`).
    """
    from sweeper.report.aggregate import group_table
    from sweeper.report.tables import plain, render

    if json and format not in {"table", "json"}:
        raise SweeperError(f"--json and --format {format}: give one of them")

    folder = group_folder(runs_dir, group)
    found = group_table(
        folder,
        by=words(by),
        metrics=words(metrics),
        everything=everything,
        chosen=_chosen(where, limit),
    )
    if json:
        print_json(plain(found))
        return
    text = render(found, format)
    for note in found.notes if format == "csv" else ():  # which has no place for it
        complain(note)
    # Programs get the exact text; people get it without control characters.
    sys.stdout.write(text) if format in {"csv", "json"} else say(text)
