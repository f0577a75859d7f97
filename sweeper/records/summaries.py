"""Every group of a runs directory in one line, for `sweep list`.

Folding the journal of 6,000 runs takes a quarter of a second, and a runs directory has a hundred
groups. So what a group comes to is kept in its ``summary.json`` once none of its launches can add
to it any more, by the launch or by the next listing, together with the sizes of the journal's
files, which only ever grow. The file says nothing that the journal doesn't: it may be deleted, and
is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.host.identity import Host, this_host
from sweeper.records import json_fields as read
from sweeper.records.folder_sizes import Size, group_size
from sweeper.records.journal import journal_files
from sweeper.records.layout import GroupFolder, group_name, groups, read_json, write_atomically
from sweeper.records.occupants import Occupant, occupants
from sweeper.records.permissions import readable_as
from sweeper.records.queries import snapshot
from sweeper.records.state import STANDINGS

__all__ = ["GroupSummary", "Listing", "Totals", "keep_summary", "list_groups"]

# Rises with whatever changes what a summary says.
_FORMAT = 1


@dataclass(frozen=True)
class Totals:
    """What the journal of a group comes to: `counts` by standing, of the sweep as last launched.

    `earlier` counts runs of earlier sweep files, `last_time` is the unix time of the last event.
    """

    total: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    earlier: int = 0
    last_time: float | None = None
    damaged_lines: int = 0
    note: str | None = None


@dataclass(frozen=True)
class GroupSummary:
    """A group as `sweep list` shows it; `problem` says why its journal can't be read."""

    group: str
    path: Path
    totals: Totals
    size: Size
    user: str | None
    held_by: tuple[Occupant, ...]
    problem: str | None = None

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        totals = asdict(self.totals)
        return {
            "group": self.group,
            "path": str(self.path),
            **totals,
            "size_bytes": self.size.size_bytes,
            "size_is_exact": self.size.exact,
            "user": self.user,
            "held_by": [it.plain() for it in self.held_by],
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Listing:
    """What a runs directory holds: groups, those first in which something happened last.

    `others` are the names of folders that are no groups.
    """

    groups: tuple[GroupSummary, ...]
    others: tuple[str, ...]


def list_groups(runs_dir: Path, here: Host | None = None, *, sizes: bool = False) -> Listing:
    """Every group below a runs directory; with `sizes` every file is measured."""
    here, known = here or this_host(), groups(runs_dir)
    found = [_summary(GroupFolder(runs_dir, group), here, exact=sizes) for group in known]
    found.sort(key=lambda it: (-(it.totals.last_time or 0.0), it.group))
    return Listing(tuple(found), _others(runs_dir, set(known)))


def keep_summary(folder: GroupFolder) -> None:
    """Keep what the group comes to at the end of a launch, so that listing it is fast at once."""
    with contextlib.suppress(OSError, RecordError):
        _totals(folder, this_host())


def _others(runs_dir: Path, known: set[str]) -> tuple[str, ...]:
    try:
        folders = [entry for entry in os.scandir(runs_dir) if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    names = [folder.name for folder in folders if not folder.name.startswith(".")]
    return tuple(sorted(name for name in names if group_name(name) not in known))


def _summary(folder: GroupFolder, here: Host, *, exact: bool) -> GroupSummary:
    problem: str | None = None
    held: tuple[Occupant, ...] = ()
    try:
        totals, held = _totals(folder, here)
    except (OSError, RecordError) as error:
        totals, problem = Totals(), str(error)
    size = group_size(folder, exact=exact)
    return GroupSummary(folder.group, folder.path, totals, size, _owner(folder.path), held, problem)


def _totals(folder: GroupFolder, here: Host) -> tuple[Totals, tuple[Occupant, ...]]:
    """What the group comes to, and who holds it. Raises OSError, `RecordError`."""
    # Sizes first: what is written meanwhile makes the summary void, never wrong.
    sizes = {file.name: file.stat().st_size for file in journal_files(folder.journal_dir)}
    kept = _kept(folder, sizes)
    if kept is not None:
        return kept, occupants(folder, (), {}, here)
    seen = snapshot(folder, here)
    state = seen.state.as_planned()
    totals = Totals(
        state.total,
        {word: count for word, count in state.counts().items() if count},
        len(seen.state.earlier),
        state.last_time,
        seen.damaged_lines,
        state.note,
    )
    held = occupants(folder, seen.state.launches, seen.alive, here)
    if not seen.open_launches and not held:
        _keep(folder, sizes, totals)
    return totals, held


def _kept(folder: GroupFolder, sizes: Mapping[str, int]) -> Totals | None:
    """What an earlier listing kept, if the journal hasn't grown since; no text is trusted."""
    data = read_json(folder.summary_file) or {}
    counts, total = data.get("counts"), read.integer(data, "total")
    if data.get("format") != _FORMAT or data.get("journal") != sizes or total is None:
        return None
    if not isinstance(counts, Mapping) or not set(counts) <= set(STANDINGS):
        return None
    numbers = {word: read.integer(counts, word) or 0 for word in counts}
    earlier, damaged = read.integer(data, "earlier") or 0, read.integer(data, "damaged_lines") or 0
    last_time, note = read.real(data, "last_time"), read.text(data, "note")
    return Totals(total, numbers, earlier, last_time, damaged, note)


def _keep(folder: GroupFolder, sizes: Mapping[str, int], totals: Totals) -> None:
    """Keep the summary of one's own group; a reader leaves nothing in the folders of others."""
    data = {"format": _FORMAT, "journal": sizes, **asdict(totals)}
    with contextlib.suppress(OSError):
        if folder.path.stat().st_uid == os.geteuid():
            with readable_as(folder.path):
                write_atomically(folder.summary_file, json.dumps(data) + "\n", durable=False)


def _owner(path: Path) -> str | None:
    try:
        number = path.stat().st_uid
    except OSError:
        return None
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
