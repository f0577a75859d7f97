"""Commands that remove, rename and join records."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sweeper.cli.common import (
    DEFAULT_RUNS,
    RECORDS,
    SOME_BAD,
    Json,
    RunsDir,
    TakeOver,
    app,
    complain,
    print_json,
    reap,
    say,
)
from sweeper.cli.completion import AnyGroup, Target
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from pathlib import Path

    from sweeper.records import GroupFolder

Yes = Annotated[bool, Parameter(name=["--yes", "-y"])]


@app.command(group=RECORDS)
def rm(
    *targets: Target,
    yes: Yes = False,
    take_over: TakeOver = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
) -> int:
    """Remove groups or runs with all their files; it asks first.

    Nothing is removed while a launch works on the group. A removed run is forgotten: if the sweep
    file still has it, the next launch trains it again. The exit status is 3 if you say no.

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
def mv(group: AnyGroup, new: str, /, *, runs_dir: RunsDir = DEFAULT_RUNS) -> None:
    """Rename a group.

    Refused while a launch works on it. Write the new name into the sweep file too.

    For example:

    ```text
    sweep mv quickstart first-try
    ```

    Args:
        group: The group.
        new: Its new name.
    """
    from sweeper.config.sweep_keys import why_no_group
    from sweeper.launch.known_trainers import follow
    from sweeper.records import GroupFolder, find_group, snapshot
    from sweeper.records.removal import move_group

    reason = why_no_group(new)
    if reason:
        raise SweeperError(f"`{new}` {reason}")
    reap()
    old, moved = find_group(runs_dir, group), GroupFolder(runs_dir, new)
    move_group(old, moved)
    launches = snapshot(moved).state.launches
    if launches and launches[-1].trainer:
        follow(old.path, moved.path, launches[-1].trainer, os.environ)
    complain(
        f"`{group}` is now `{new}`: write `group: {new}` in its sweep file too, or the next launch "
        f"trains everything again, in a new group"
    )


@app.command(group=RECORDS)
def merge(
    *places: AnyGroup,
    dry_run: bool = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Join records of one sweep from several places into the last one, which may be new.

    Journals stand side by side, and of a run that several places have, the files of the attempt
    that decides are kept. The other places stay as they are. Refused while a launch works on any
    of them.

    For example:

    ```text
    sweep merge /data/from-node7/quickstart /data/from-node8/quickstart quickstart
    sweep merge first-half second-half whole --dry-run
    ```

    Args:
        places: Two or more groups: names, or the paths of their folders.
        dry_run: Only show what would be done.
    """
    from sweeper.cli.group_texts import merge_text
    from sweeper.records.merging import merge as merge_here
    from sweeper.records.merging import plan_merge

    if len(places) < 2:
        raise SweeperError("sweep merge needs two or more groups: `sweep merge SOURCE TARGET`")
    reap()
    *sources, target = (_place(runs_dir, name) for name in places)
    for source in sources:
        if not source.journal_dir.is_dir():
            raise SweeperError(f"{source.path} is no group: it holds no journal")
    done = plan_merge(sources, target) if dry_run else merge_here(sources, target)
    answer = {**done.plain(), "dry_run": dry_run}
    print_json(answer) if json else say(merge_text(answer))


def _place(runs_dir: Path, name: str) -> GroupFolder:
    """A group by its name or by the path of its folder."""
    from pathlib import Path

    from sweeper.config.sweep_keys import why_no_group
    from sweeper.host.paths import expanded
    from sweeper.records import GroupFolder
    from sweeper.records.layout import group_name

    if "/" in name:
        path = Path(expanded(name, "sweep merge")).absolute()
        return GroupFolder(path.parent, group_name(path.name))
    reason = why_no_group(name)
    if reason:
        raise SweeperError(f"`{name}` {reason}")
    return GroupFolder(runs_dir, name)
