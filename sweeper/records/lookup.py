"""From what a person types to the folder of a group or run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sweeper.errors import RecordError
from sweeper.records.edit_writer import EDITS
from sweeper.records.fold import fold
from sweeper.records.journal import journal_files, read_events
from sweeper.records.layout import GroupFolder, RunFolder, groups, is_run_id
from sweeper.suggest import meant

__all__ = ["find_group", "find_run", "latest_group", "run_name"]

SHOWN = 8


def find_group(runs_dir: Path, group: str) -> GroupFolder:
    """The folder of a group that has records. Raises `RecordError` with the nearest name."""
    folder = GroupFolder(runs_dir, group)
    if folder.journal_dir.is_dir():
        return folder
    known = groups(runs_dir)
    if not known:
        raise RecordError(f"no group `{group}`: {runs_dir.absolute()} holds no records yet")
    raise RecordError(
        f"no group `{group}` in {runs_dir.absolute()}{meant(group, known)}; "
        f"groups there: {_some(known)}"
    )


def latest_group(runs_dir: Path) -> GroupFolder:
    """The group in which something happened last. Raises `RecordError` if there is none."""
    folders = [GroupFolder(runs_dir, group) for group in groups(runs_dir)]
    if not folders:
        raise RecordError(
            f"{runs_dir.absolute()} holds no records yet: start with `sweep launch FILE`, or "
            f"name the place of your records with --runs-dir"
        )
    return max(folders, key=_last_change)


def find_run(runs_dir: Path, prefix: str) -> RunFolder:
    """The run whose id begins with `prefix`, or that has this name; ``GROUP/…`` looks in one group.

    A run that never started has no folder, but is found in the journal all the same; the folder
    that is returned then doesn't exist. Raises `RecordError` for none (with the nearest id) and for
    several (naming them).
    """
    group, _, start = prefix.rpartition("/")
    if group and group not in groups(runs_dir):  # perhaps a name with a slash
        first, _, rest = prefix.partition("/")
        inside = _named(runs_dir, first, rest) if first in groups(runs_dir) else None
        if named := inside or _named(runs_dir, None, prefix):
            return named
    folders = [find_group(runs_dir, name) for name in ([group] if group else groups(runs_dir))]
    if not start:
        raise RecordError(f"{prefix!r} names no run: give the first characters of an id")
    known = [folder.run(run_id) for folder in folders for run_id in folder.run_ids()]
    found = [run for run in known if run.id.startswith(start)]
    if not found:
        known = [
            folder.run(run_id)
            for folder in folders
            for run_id in fold(read_events(folder.journal_dir)).runs
        ]
        found = [run for run in known if run.id.startswith(start)]
    if not found and (named := _named(runs_dir, group or None, start)):
        return named
    exact = [run for run in found if run.id == start]
    if len(exact) == 1 or len(found) == 1:
        return (exact or found)[0]
    if exact:
        names = _some(f"{run.group.group}/{run.id}" for run in exact)
        raise RecordError(f"run `{start}` is in {len(exact)} groups: give one of {names}")
    if found:
        names = _some(f"{run.group.group}/{run.id}" for run in found)
        raise RecordError(f"`{prefix}` could be {len(found)} runs: {names}; type more of it")
    where = f"group `{group}`" if group else str(runs_dir.absolute())
    raise RecordError(
        f"no run `{prefix}` in {where}{meant(start, sorted(run.id for run in known))}"
    )


def _named(runs_dir: Path, group: str | None, name: str) -> RunFolder | None:
    """The run of that name, in any group or in one; None if there is none.

    Raises `RecordError` if several have it.
    """
    found = [
        folder.run(run.id)
        for folder in (GroupFolder(runs_dir, it) for it in ([group] if group else groups(runs_dir)))
        for run in fold(read_events(folder.journal_dir)).runs.values()
        if run.name == name and is_run_id(run.id)
    ]
    if len(found) > 1:
        names = _some(f"{run.group.group}/{run.id}" for run in found)
        raise RecordError(f"{len(found)} runs are called `{name}`: give one of {names}")
    return found[0] if found else None


def run_name(folder: GroupFolder, run_id: str) -> str:
    """What `find_run` takes for this run: its id, or ``GROUP/ID`` where it is in another group."""
    others = (group for group in groups(folder.runs_dir) if group != folder.group)
    if any((GroupFolder(folder.runs_dir, group).runs_folder / run_id).is_dir() for group in others):
        return f"{folder.group}/{run_id}"
    return run_id


def _last_change(folder: GroupFolder) -> int:
    files = journal_files(folder.journal_dir)
    # A note on an old group doesn't make it the one that people mean.
    times = [path.stat().st_mtime_ns for path in files if not path.name.startswith(EDITS)]
    return max(times, default=0)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in listed[:SHOWN]) + more
