"""Everything about one run, for `sweep show`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeper.errors import ConfigError, RecordError
from sweeper.keys import moved
from sweeper.records import GroupFolder, GroupState, RunFolder, last_values, snapshot
from sweeper.records.code import code_of
from sweeper.records.jsonl import finite
from sweeper.records.queries import progress_of
from sweeper.records.state import Attempt

__all__ = ["show"]


def show(run_folder: RunFolder) -> dict[str, Any]:
    """Everything about one run, for `sweep show`.

    Returns `id`, `name` and `note` (None without), `group`, `outcome` (its standing), `cause`,
    `axis_values`, `metrics` (final ones),
    `last` (last logged value of each metric, with step and time), `progress`, `wall_s`,
    `last_step`, `started` and `ended` (unix time, of the attempt that decides, else of the last),
    `sources` (digests of the code that trained it: one of these), `code` (sentences where that
    isn't certain), `attempts`, `config` (nested; None if the run never started or the file can't be
    read), `paths` (of that attempt; None for files that aren't there) and `files` (all in its
    folder, those of earlier attempts below `attempts`, each with `name` and `size_bytes`). Raises
    `RecordError` for a run that the journal doesn't know.
    """
    group = run_folder.group
    state = snapshot(group).state
    run = state.runs.get(run_folder.id)
    if run is None:
        raise RecordError(f"the journal of group `{group.group}` knows no run `{run_folder.id}`")
    progress = progress_of(group, run)
    attempt = run.deciding or (run.attempts[-1] if run.attempts else Attempt(0, ""))
    own = run_folder.of_attempt(attempt.number)
    files = {
        "folder": own.path,
        "config": run_folder.config_file,
        "metrics": own.metrics_file,
        "result": own.result_file,
        "log": own.log_file,
        "stack": own.stack_file,
    }
    shown: dict[str, Any] = finite(
        {
            "id": run.id,
            "name": run.name,
            "note": run.note,
            "group": group.group,
            "outcome": run.standing,
            "cause": run.cause.plain() if run.cause else None,
            "axis_values": run.axis_values,
            "metrics": run.metrics,
            "last": last_values(own.metrics_file),
            "progress": {"fraction": progress.fraction, "step": progress.step},
            "wall_s": run.wall_s,
            "last_step": run.last_step,
            "started": attempt.started,
            "ended": attempt.ended,
            "sources": list(attempt.sources),
            "code": _code(group, state, attempt),
            "attempts": [_attempt(item) for item in run.attempts],
            "config": _config(run_folder.config_file, state.renamed),
            "paths": {name: _if_there(path) for name, path in files.items()},
            "files": _files(run_folder.path),
        }
    )
    return shown


def _code(group: GroupFolder, state: GroupState, attempt: Attempt) -> list[str]:
    """What is to say where several states of the code may have trained it."""
    if len(attempt.sources) < 2:
        return []
    launches = tuple(it for it in state.launches if it.writer == attempt.writer)
    own = replace(state, launches=launches, runs={})
    messages: list[str] = code_of(group, own, watched={it.id for it in launches})["messages"]
    return messages


def _files(folder: Path) -> list[dict[str, Any]]:
    """Every file below `folder` with its size, by name; links aren't followed."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with contextlib.suppress(OSError):  # gone meanwhile
                size = path.lstat().st_size
                found.append({"name": str(path.relative_to(folder)), "size_bytes": size})
    return sorted(found, key=lambda file: str(file["name"]))


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "writer": attempt.writer,
        "wave": attempt.wave,
        "slot": attempt.slot,
        "started": attempt.started,
        "ended": attempt.ended,
        "outcome": str(attempt.outcome) if attempt.outcome else None,
        "cause": attempt.cause.plain() if attempt.cause else None,
        "running": attempt.running,
        "again": attempt.again,
        "sources": list(attempt.sources),
        "last_step": attempt.last_step,
        "wall_s": attempt.wall_s,
        "cpu_s": attempt.cpu_s,
        "rss_peak_bytes": attempt.rss_peak_bytes,
        "metrics": dict(attempt.metrics),
        "restored_step": attempt.restored_step,
    }


def _config(file: Path, renamed: Mapping[str, str]) -> dict[str, Any] | None:
    from sweeper.config.run_config import read_config

    try:
        return moved(read_config(file), renamed)
    except ConfigError:
        return None


def _if_there(path: Path) -> str | None:
    return str(path) if path.exists() else None
