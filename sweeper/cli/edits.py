"""Commands that remove, rename and join records."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sweeper.cli.common import (
    DEFAULT_RUNS,
    RECORDS,
    SOME_BAD,
    RunsDir,
    TakeOver,
    app,
    complain,
    reap,
    say,
)
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from pathlib import Path

    from sweeper.records import GroupFolder

Yes = Annotated[bool, Parameter(name=["--yes", "-y"])]


@app.command(group=RECORDS)
def rm(
    *targets: str,
    yes: Yes = False,
    take_over: TakeOver = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
) -> int:
    """Remove groups or runs with all their files; asks first, and never while a launch works.

    A run that is removed is forgotten: if the sweep file still has it, the next launch trains it
    again. Exit status 3 if you say no.

    For example:

    ```text
    sweep rm old-sweep
    sweep rm k3f9x2qa7m 4nq2 --yes
    ```

    Args:
        targets: Groups, or runs: ids, the first characters of them, or names.
        yes: Don't ask.
    """
    from sweeper.records.removal import finish_removals, remove_group, remove_runs

    if not targets:
        raise SweeperError("sweep rm needs groups or runs: `sweep rm old-sweep`")
    reap()
    groups, runs = _targets(runs_dir, targets)
    finish_removals(runs_dir, *(folder.runs_folder for folder in (*groups, *runs)))
    for folder in groups:
        say(_group_line(folder))
    for folder, ids in runs.items():
        say(_run_lines(folder, ids))
    if not yes and not _agreed():
        return SOME_BAD
    for folder in groups:
        remove_group(folder, take_over=take_over)
    for folder, ids in runs.items():
        remove_runs(folder, ids, take_over=take_over)
    return 0


def _targets(
    runs_dir: Path, targets: Sequence[str]
) -> tuple[list[GroupFolder], Mapping[GroupFolder, list[str]]]:
    """The groups, and the runs by group; those of a group that goes as a whole are left out."""
    from sweeper.records import GroupFolder, find_run
    from sweeper.records import groups as known_groups

    known = set(known_groups(runs_dir))
    groups = [GroupFolder(runs_dir, it) for it in dict.fromkeys(targets) if it in known]
    runs: dict[GroupFolder, list[str]] = {}
    for target in dict.fromkeys(targets):
        if target not in known:
            run = find_run(runs_dir, target)
            if run.group not in groups and run.id not in runs.get(run.group, []):
                runs.setdefault(run.group, []).append(run.id)
    return groups, runs


def _group_line(folder: GroupFolder) -> str:
    """``group old in /data/runs/old: 8 runs (6 finished, 2 diverged), 1.2 MiB``."""
    from sweeper.cli.group_texts import counts_text
    from sweeper.records import snapshot
    from sweeper.records.folder_sizes import size_of
    from sweeper.suggest import counted
    from sweeper.units import size

    state = snapshot(folder).state
    counts = counts_text(state.counts())
    outcomes = f" ({counts})" if counts else ""
    others = ", ".join(folder.foreign_names())
    besides = f"; also in it: {others}" if others else ""
    return (
        f"group {folder.group} in {folder.path.absolute()}: {counted(state.total, 'run')}"
        f"{outcomes}, {size(size_of(folder.path))}{besides}\n"
    )


def _run_lines(folder: GroupFolder, ids: Sequence[str]) -> str:
    """A line for each run: ``run k3f (tanh-8) of old: finished, 30 KiB``."""
    from sweeper.records import snapshot
    from sweeper.records.folder_sizes import size_of
    from sweeper.report.format import run_words
    from sweeper.units import size

    known = snapshot(folder).state.runs
    lines = []
    for run_id in ids:
        run = known.get(run_id)
        called = run_words(run_id, run.name if run else None)
        standing = run.standing if run else "not in the journal"
        bytes_ = size_of(folder.run(run_id).path)
        lines.append(f"run {called} of {folder.group}: {standing}, {size(bytes_)}\n")
    return "".join(lines)


def _agreed() -> bool:
    """Whether the user says yes. Raises `SweeperError` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise SweeperError("sweep rm asks before it removes anything: in a script, add --yes")
    sys.stdout.write("Remove this? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@app.command(group=RECORDS)
def mv(group: str, new: str, /, *, runs_dir: RunsDir = DEFAULT_RUNS) -> None:
    """Rename a group; not while a launch works on it.

    For example:

    ```text
    sweep mv quickstart first-try
    ```

    Args:
        group: The group.
        new: Its new name.
    """
    from sweeper.config.sweep_keys import why_no_group
    from sweeper.records import GroupFolder, find_group
    from sweeper.records.removal import move_group

    reason = why_no_group(new)
    if reason:
        raise SweeperError(f"`{new}` {reason}")
    reap()
    move_group(find_group(runs_dir, group), GroupFolder(runs_dir, new))
    complain(
        f"`{group}` is now `{new}`: write `group: {new}` in its sweep file too, or the next launch "
        f"trains everything again, in a new group"
    )
