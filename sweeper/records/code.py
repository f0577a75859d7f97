"""Which code trained the runs of a group, and what there is to say about it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sweeper.records.layout import GroupFolder, read_json
from sweeper.records.origins import LOADING_S
from sweeper.records.outcomes import Outcome
from sweeper.records.state import CodeChange, GroupState, Launch, RunState

__all__ = [
    "changed_files",
    "code_of",
    "code_words",
    "edited_text",
    "files_text",
    "is_trained",
    "missing_folders",
    "missing_text",
    "trained_by",
]

_FILES_SHOWN = 4
_CODES_SHOWN = 4
_RUNS_SHOWN = 3
_SHORT = 8  # digits of a digest for people


def code_of(
    folder: GroupFolder, state: GroupState, *, watched: Collection[str] = ()
) -> dict[str, Any]:
    """Which code trained the runs that have finished or diverged.

    Returns `trained_by` (a list of `sources`, digests of which one is the right one, and `runs`,
    how many; no digest where the records don't say it), `changed` (the files in which these
    differ), `edits` (launches during which the trainer's files changed: `launch`, `files`, `since`
    as unix time, `runs`, how many may be of either code), `undone` (runs that had finished, were
    trained again and did not finish) and `messages`, which say what of this isn't as usual. Of
    `watched` launches every edit counts; of others those that left runs in doubt.
    """
    counts = Counter(trained_by(run) for run in state.runs.values() if is_trained(run))
    digests = sorted({digest for sources in counts for digest in sources})
    changed = changed_files(folder, digests) if len(digests) > 1 else []
    edits = [
        _edit(launch, launch.code_changes, state)
        for launch in state.launches
        if launch.code_changes
    ]
    edits = [edit for edit in edits if edit["runs"] or edit["launch"] in watched]
    messages = [edited_text(edit["files"], edit["since"], edit["launch"]) for edit in edits]
    if len({sources for sources in counts if len(sources) < 2}) > 1 and digests:
        messages.append(_versions_text(counts, changed))
    undone = [run.id for run in state.runs.values() if _is_undone(run)]
    if undone:
        messages.append(_undone_text(undone))
    return {
        "trained_by": [
            {"sources": list(sources), "runs": runs} for sources, runs in counts.most_common()
        ],
        "changed": changed,
        "edits": edits,
        "undone": undone,
        "messages": messages,
    }


def _is_undone(run: RunState) -> bool:
    last = run.deciding
    if last is None or not last.again or run.running or last.outcome is Outcome.FINISHED:
        return False
    return any(attempt.outcome is Outcome.FINISHED for attempt in run.attempts)


def _undone_text(runs: Sequence[str]) -> str:
    number = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return (
        f"{number} that had finished before did not finish when trained again; "
        f"`sweep show {runs[0]} --json` has the earlier results among its attempts"
    )


def is_trained(run: RunState) -> bool:
    """Whether its outcome is one that launching again leaves alone, and that code decides."""
    return run.standing in (Outcome.FINISHED, Outcome.DIVERGED)


def trained_by(run: RunState) -> tuple[str, ...]:
    """The digests of the code that may have trained it; empty where nothing is known."""
    return run.deciding.sources if run.deciding else ()


def _edit(launch: Launch, changes: Sequence[CodeChange], state: GroupState) -> dict[str, Any]:
    doubtful = (
        run
        for run in state.runs.values()
        if is_trained(run)
        and run.deciding is not None
        and run.deciding.writer == launch.writer
        and len(run.deciding.sources) > 1
    )
    return {
        "launch": launch.id,
        "files": list(dict.fromkeys(file for change in changes for file in change.files)),
        "since": min(change.unchanged_until for change in changes) - LOADING_S,
        "runs": sum(1 for _ in doubtful),
    }


def code_words(sources: Sequence[str]) -> str:
    """``1a2b3c4d or 5e6f7a8b``: the digests of the code of which one trained a run; "" for none."""
    short = [digest[:_SHORT] for digest in sources]
    if len(short) > 2:
        return f"{short[0]} or one of {len(short) - 1} later states of the code"
    return " or ".join(short)


def edited_text(files: Sequence[str], since: float, launch: str | None = None) -> str:
    """That the trainer's code changed under a launch; without `launch` it is this one."""
    which = "this launch" if launch is None else f"launch {launch}"
    return (
        f"the trainer's code changed while {which} ran ({files_text(files)}): runs that started "
        f"after {_clock(since)} may be trained by the new code"
    )


def _clock(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # a damaged journal may hold any time
        return str(moment)


def files_text(files: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = len(files) - _FILES_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return (", ".join(files[:_FILES_SHOWN]) or "unknown files") + rest


def _versions_text(counts: Mapping[tuple[str, ...], int], changed: Sequence[str]) -> str:
    parts = [
        f"{runs} by {code_words(sources) or 'code that was not recorded'}"
        for sources, runs in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    more = len(parts) - _CODES_SHOWN
    shown = ", ".join(parts[:_CODES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    where = f" (changed: {files_text(changed)})" if changed else ""
    return f"not all runs were trained by the same code: {shown}{where}"


def changed_files(
    folder: GroupFolder, digests: Iterable[str], today: Mapping[str, str] | None = None
) -> list[str]:
    """The names of files that differ between these states of the code, and from `today`'s.

    States whose list of files is gone are left out.
    """
    lists = [files for digest in digests if (files := _files(folder, digest))]
    if today is not None:
        lists.append(dict(today))
    names = sorted({name for files in lists for name in files})
    return [name for name in names if len({files.get(name) for files in lists}) > 1]


def _files(folder: GroupFolder, digest: str) -> dict[str, str]:
    files = (read_json(folder.source_list(digest)) or {}).get("files")
    if not isinstance(files, dict):
        return {}
    return {name: sha for name, sha in files.items() if isinstance(sha, str)}


def missing_folders(folder: GroupFolder, runs: Iterable[RunState]) -> list[str]:
    """The ids of finished runs that have no folder any more; looks at one listing."""
    finished = [run.id for run in runs if run.standing == Outcome.FINISHED]
    there = set(folder.run_ids()) if finished else set()
    return [run for run in finished if run not in there]


def missing_text(runs: Sequence[str], file: str = "FILE") -> str:
    """That finished runs have no folder, and what trains them again."""
    number = "1 finished run has" if len(runs) == 1 else f"{len(runs)} finished runs have"
    names = " ".join(runs[:_RUNS_SHOWN]) + (" …" if len(runs) > _RUNS_SHOWN else "")
    return (
        f"{number} no folder any more; `sweep launch {file} {names} --again` trains "
        f"{'it' if len(runs) == 1 else 'them'} again"
    )
