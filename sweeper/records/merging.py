"""Records of one sweep from several places are joined: what `cp -r` does, checked.

Each launch writes a journal file and claims of its own, so the files of different launches can
stand side by side, and the fold over all of them is the state. A run that several places have a
folder of keeps the one whose last attempt decides. Nothing is written to the sources, and to the
target nothing before all is known to fit.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.errors import BusyError, RecordError
from sweeper.host.identity import Host, this_host
from sweeper.records.fold import fold
from sweeper.records.journal import read_events
from sweeper.records.layout import GroupFolder, make_folder, write_atomically
from sweeper.records.occupants import occupants
from sweeper.records.permissions import folder_mode, readable_as
from sweeper.records.queries import snapshot
from sweeper.records.removal import held_still
from sweeper.records.state import Attempt, GroupState, RunState

__all__ = ["Merge", "merge", "plan_merge"]


@dataclass(frozen=True)
class Merge:
    """What joins `sources` into `target`, and what comes out.

    `journals` are the files to write, by name. `runs` are the folders to copy, by run id; those in
    `replaced` take the place of one that the target has. `before` holds the state of the target,
    then of each source, `after` the state of all.
    """

    target: GroupFolder
    sources: tuple[GroupFolder, ...]
    journals: dict[str, Path]
    runs: dict[str, Path]
    replaced: frozenset[str]
    sweep_file: Path | None
    before: tuple[GroupState, ...]
    after: GroupState

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        places = (self.target, *self.sources)
        return {
            "target": str(self.target.path),
            "places": [
                {"path": str(place.path), "total": state.total, "counts": _counts(state)}
                for place, state in zip(places, self.before, strict=True)
            ],
            "total": self.after.total,
            "counts": _counts(self.after),
            "journal_files": sorted(self.journals),
            "copied": sorted(self.runs.keys() - self.replaced),
            "replaced": sorted(self.replaced),
        }


def _counts(state: GroupState) -> dict[str, int]:
    return {word: count for word, count in state.counts().items() if count}


def plan_merge(
    sources: Sequence[GroupFolder], target: GroupFolder, here: Host | None = None
) -> Merge:
    """What has to be copied. Raises `BusyError` while a launch may work on one of the places.

    Raises `RecordError` for places that are one and the same, and where journal files of one
    writer differ.
    """
    here = here or this_host()
    _check_places(sources, target)
    for folder in sources:
        _check_idle(folder, here)
    places = (target, *sources)
    states = [fold(read_events(place.journal_dir)) for place in places]
    events = [event for place in places for event in read_events(place.journal_dir)]
    after = fold(events)
    wanted = {
        run_id: path
        for run_id in sorted({run_id for place in places for run_id in place.run_ids()})
        if (path := _deciding_folder(run_id, after.runs.get(run_id), places, states)) is not None
    }
    return Merge(
        target,
        tuple(sources),
        _journals(sources, target),
        wanted,
        frozenset(run_id for run_id in wanted if run_id in set(target.run_ids())),
        _latest_sweep_file(places, states),
        tuple(states),
        after,
    )


def _check_places(sources: Sequence[GroupFolder], target: GroupFolder) -> None:
    seen: dict[Path, GroupFolder] = {}
    for place in (target, *sources):
        real = place.path.resolve()
        if real in seen:
            raise RecordError(f"{place.path} and {seen[real].path} are the same folder")
        seen[real] = place


def _check_idle(folder: GroupFolder, here: Host) -> None:
    seen = snapshot(folder, here)
    for holder in occupants(folder, seen.state.launches, seen.alive, here):
        raise BusyError(
            f"{folder.path} is or may be run by a launch on host {holder.host}, process "
            f"{holder.pid}: merge when it has ended"
        )


def _journals(sources: Sequence[GroupFolder], target: GroupFolder) -> dict[str, Path]:
    """The journal files to copy. One may have grown since the other was copied from it."""
    chosen: dict[str, Path] = {file.name: file for file in target.journal_dir.glob("*.jsonl")}
    for source in sources:
        for file in sorted(source.journal_dir.glob("*.jsonl")):
            known = chosen.get(file.name)
            if known is None or _is_longer(file, known):
                chosen[file.name] = file
    return {name: file for name, file in chosen.items() if file.parent != target.journal_dir}


def _is_longer(file: Path, known: Path) -> bool:
    """Whether `file` goes on where `known` ends. Raises `RecordError` if they differ before."""
    mine, other = file.read_bytes(), known.read_bytes()
    if not mine.startswith(other) and not other.startswith(mine):
        raise RecordError(f"{file} and {known} are of one launch, but differ: nothing is merged")
    return len(mine) > len(other)


def _deciding_folder(
    run_id: str,
    run: RunState | None,
    places: Sequence[GroupFolder],
    states: Sequence[GroupState],
) -> Path | None:
    """The folder to copy into the first place; None where the one that it has is the right one.

    A run folder holds what the last attempt there left. So the right one is that of a place whose
    last attempt decides after the merge, or while none has ended is the last of all.
    """
    having = [place for place in places if (place.runs_folder / run_id).is_dir()]
    made = {
        place: [_key(attempt) for attempt in state.runs[run_id].attempts]
        for place, state in zip(places, states, strict=True)
        if place in having and run_id in state.runs
    }
    attempt = (run.deciding or (run.attempts[-1] if run.attempts else None)) if run else None
    wanted = _key(attempt) if attempt else None
    right = [place for place in having if made.get(place, [None])[-1:] == [wanted]]
    kept = [place for place in having if wanted in made.get(place, [])]  # among earlier attempts
    found = (right or kept or having)[0]
    return None if found is places[0] else found.runs_folder / run_id


def _key(attempt: Attempt) -> tuple[str, int]:
    return attempt.writer, attempt.number


def _latest_sweep_file(places: Sequence[GroupFolder], states: Sequence[GroupState]) -> Path | None:
    """The sweep file of the last launch, if that isn't the target's."""
    launched = [
        (state.last_training.started, place)
        for place, state in zip(places, states, strict=True)
        if state.last_training is not None and place.sweep_file.exists()
    ]
    place = max(launched, key=lambda item: item[0])[1] if launched else places[0]
    return None if place is places[0] else place.sweep_file


def _copy_sweep_file(source: Path, target: GroupFolder) -> None:
    """The sweep file, and the defaults that it was launched with."""
    write_atomically(target.sweep_file, source.read_bytes())
    defaults = source.with_name(target.defaults_file.name)
    if defaults.exists():
        write_atomically(target.defaults_file, defaults.read_bytes())
    else:
        target.defaults_file.unlink(missing_ok=True)


def merge(sources: Sequence[GroupFolder], target: GroupFolder, here: Host | None = None) -> Merge:
    """Join the sources into the target, which is made if it is missing, and check what came out.

    Run folders come before the journals that speak of them; done again after an interruption, it
    goes on. Raises `BusyError`, OSError, and `RecordError` with nothing written, or if the result
    isn't what was planned.
    """
    here = here or this_host()
    plan_merge(sources, target, here)  # before anything is made
    with readable_as(sources[0].path):
        target.make()
    with held_still(target, here), readable_as(target.path):
        wanted = plan_merge(sources, target, here)
        for run_id, path in wanted.runs.items():
            _copy_run(path, target, run_id)
        for name, file in wanted.journals.items():
            write_atomically(target.journal_dir / name, file.read_bytes())
        _copy_source_lists(sources, target)
        if wanted.sweep_file is not None:
            _copy_sweep_file(wanted.sweep_file, target)
        found = fold(read_events(target.journal_dir))
    if found.runs != wanted.after.runs:
        raise RecordError(
            f"{target.path}: after the merge the records don't say what all places said before; "
            f"the sources are untouched: has something been written there meanwhile?"
        )
    return wanted


def _copy_source_lists(sources: Sequence[GroupFolder], target: GroupFolder) -> None:
    """Copy the lists of the trainers' source files that the target lacks; a name is a digest."""
    for source in sources:
        for file in sorted(source.sources_dir.glob("*.json")):
            place = make_folder(target.sources_dir, folder_mode(target.path)) / file.name
            if file.is_file() and not place.exists():
                write_atomically(place, file.read_bytes())


def _copy_run(source: Path, target: GroupFolder, run_id: str) -> None:
    """Copy the folder of a run, so that at every moment the old one or the new one is there."""
    make_folder(target.runs_folder, folder_mode(target.path))
    new = target.runs_folder / f".removed-{secrets.token_hex(6)}"
    place = target.runs_folder / run_id
    try:
        shutil.copytree(source, new, symlinks=True, ignore=_odd_files)
        if os.path.lexists(place):
            old = target.runs_folder / f".removed-{secrets.token_hex(6)}"
            place.rename(old)
            new.rename(place)
            shutil.rmtree(old)
        else:
            new.rename(place)
    except shutil.Error as error:
        shutil.rmtree(new, ignore_errors=True)
        raise RecordError(f"{source} can't be copied: {error.args[0][0][2]}") from error


def _odd_files(folder: str, names: list[str]) -> list[str]:
    """Pipes and devices, which can't be copied."""
    paths = {name: Path(folder, name) for name in names}
    return [
        name
        for name, path in paths.items()
        if not (path.is_symlink() or path.is_file() or path.is_dir())
    ]
