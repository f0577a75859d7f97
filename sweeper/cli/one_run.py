"""`sweep run`: the first thing to do with a new training."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.cli.common import (
    ALL_FINISHED,
    DEFAULT_RUNS,
    NOT_FINISHED,
    RUN,
    STOPPED,
    Json,
    SetOption,
    Where,
    app,
    print_json,
    say,
)
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from sweeper.launch.one_run import OneRun, ProgressView

_LINE_S = 5.0
_DRAW_S = 0.2


@app.command(group=RUN)
def run(
    file: Path,
    /,
    *runs: str,
    where: Where = (),
    set_: SetOption = (),
    pdb: bool = False,
    folder: Path | None = None,
    json: Json = False,
) -> int:
    """Train one run of a sweep file here and now, with its output on the terminal.

    It is the first run of the file, or the first that an id or --where choose. Nothing is recorded,
    and Ray isn't started: this is for trying a training. Press Ctrl-C once to stop it at its next
    step, twice to end it at once. Exit status: 0 it finished, 1 it didn't, 2 an error in your
    input, 130 stopped.

    For example:

    ```text
    sweep run my-sweep.yaml
    sweep run my-sweep.yaml --set steps=10 --pdb
    sweep run my-sweep.yaml --where 'activation=tanh'
    sweep run my-sweep.yaml --folder /tmp/first
    ```

    Args:
        file: The sweep file.
        runs: The run, by id or its first characters.
        pdb: Open the debugger where it crashes.
        folder: Keep the run's files in this folder, which must be new or empty (default: a
            temporary one, which is deleted).
    """
    from sweeper.config import read_sweep
    from sweeper.launch.chosen import RunChoice, chosen_runs
    from sweeper.launch.known_trainers import search_folders
    from sweeper.launch.one_run import run_here
    from sweeper.records import GroupFolder, Outcome
    from sweeper.report.format import axis_words, run_words

    sweep = read_sweep(file, search=search_folders(file), overrides=set_)
    group = GroupFolder(DEFAULT_RUNS, sweep.group)
    chosen = chosen_runs(sweep, group, RunChoice(tuple(runs), tuple(where)))
    spec = next(spec for spec in sweep if chosen is None or spec.id == chosen[0])
    count = sweep.count() if chosen is None else len(chosen)
    if not json:
        first = f", the first of {count} runs" if count > 1 else ""
        called = run_words(spec.id, sweep.names.of(spec.axis_values) if sweep.names else None)
        say(f"{called}{first}  {axis_words(spec.axis_values)}".rstrip() + "\n")
    with _files(folder) as place:
        done = run_here(spec, sweep.trainer, place, _progress(), debugger=pdb)
        print_json(_plain(spec.id, done)) if json else say(_text(done, kept=folder))
    if done.outcome is Outcome.STOPPED:
        return STOPPED
    return ALL_FINISHED if done.outcome is Outcome.FINISHED else NOT_FINISHED


@contextlib.contextmanager
def _files(folder: Path | None) -> Iterator[Path]:
    """The folder for the run's files. Raises `SweeperError` for one that holds something."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="sweeper-run-") as temporary:
            yield Path(temporary)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SweeperError(f"--folder {folder}: it isn't empty; name a new folder")
    yield folder


def _plain(run_id: str, done: OneRun) -> dict[str, object]:
    return {
        "id": run_id,
        "outcome": done.outcome,
        "cause": asdict(done.cause) if done.cause else None,
        "metrics": dict(done.metrics),
    }


def _text(done: OneRun, *, kept: Path | None) -> str:
    why = f": {done.cause.headline()}" if done.cause else ""
    rows = [f"{done.outcome}{why}"]
    rows += [f"  {name}  {value:.6g}" for name, value in done.metrics.items()]
    names = ", ".join(sorted(file.name for file in done.folder.iterdir()))
    where = f"saved in {kept}" if kept else "deleted (--folder DIR keeps them)"
    return "\n".join([*rows, f"files {where}: {names}", ""])


def _progress() -> ProgressView:
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Lines:
    """A line of metrics on stderr every few seconds, for pipes and logs."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LINE_S

    def show(self, step: int | None, fraction: float | None, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LINE_S
            sys.stderr.write(_summary(step, fraction, metrics) + "\n")

    def close(self) -> None:
        sys.stderr.flush()


class _Bar:
    """A bar with the metrics logged last, redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            *(BarColumn(bar_width=30), TextColumn("{task.description}", markup=False)),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()
        self._next = 0.0

    def show(self, step: int | None, fraction: float | None, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _DRAW_S
            total = None if fraction is None else 1.0
            text = _summary(step, fraction, metrics)
            self._bar.update(self._task, total=total, completed=fraction or 0.0, description=text)
            self._bar.refresh()

    def close(self) -> None:
        self._bar.stop()


def _summary(step: int | None, fraction: float | None, metrics: Mapping[str, float]) -> str:
    parts = [] if fraction is None else [f"{fraction:4.0%}"]
    parts += [] if step is None else [f"step {step}"]
    return "  ".join([*parts, *(f"{name} {value:.4g}" for name, value in metrics.items())])
