"""`sweep watch`: a sweep as it goes on, or as it stood, from the records alone."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sweeper.cli.common import DEFAULT_RUNS, SEE, Json, RunsDir, app, group_folder, print_json, say
from sweeper.cli.completion import Group
from sweeper.errors import SweeperError

if TYPE_CHECKING:
    from sweeper.cli.watch_screen import Reader
    from sweeper.records import GroupFolder

_LOOK_S = 1.0
_PAINTS_A_SECOND = 2
_LOG_LINES = 200


@app.command(group=SEE)
def watch(
    group: Group = None,
    /,
    *,
    once: bool = False,
    at: str | None = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Watch a sweep: counts, what each slot trains, what failed, the time left.

    From the records alone, so it works on any host that sees them, and after a crash. Keys: `q`
    quits, `j` and `k` move, `o` shows the next outcome only, Enter opens the log of a run, Esc
    closes it. Where the output is no terminal, it prints the screen once.

    For example:

    ```text
    sweep watch
    sweep watch quickstart --once
    sweep watch quickstart --at '2026-11-25 22:10'
    ```

    Args:
        group: The group of the sweep (default: the last one launched).
        once: Print the screen and return.
        at: The sweep as it stood at this time, such as `2026-11-25 22:10`.
    """
    from sweeper.cli.watch_screen import Reader, screen

    folder, moment = group_folder(runs_dir, group), _moment(at)
    if json:
        print_json(_look(folder, moment))
    elif once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        width = shutil.get_terminal_size((120, 40)).columns
        say("\n".join(screen(_look(folder, moment), Reader(), width)) + "\n")
    else:
        _live(folder, lambda: _look(folder, moment))


def _moment(text: str | None) -> float | None:
    """A time as unix time. Raises `SweeperError` for what is none."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise SweeperError(
            f"--at: expected a time such as `2026-11-25 22:10`, but got {text!r}"
        ) from None


def _look(folder: GroupFolder, moment: float | None) -> dict[str, Any]:
    from sweeper.records import snapshot
    from sweeper.records.watching import snapshot_at, watched

    if moment is None:
        return watched(folder, snapshot(folder), time.time())
    return watched(folder, snapshot_at(folder, moment), moment, past=True)


def _live(folder: GroupFolder, look: Callable[[], dict[str, Any]]) -> None:
    """Draw until the reader quits: at most two repaints in a second, and none without a change."""
    from sweeper.cli.watch_screen import Reader, screen

    reader, shown, painted = Reader(), [""], deque([0.0], maxlen=_PAINTS_A_SECOND)
    seen, next_look = look(), time.monotonic() + _LOOK_S
    with _raw_terminal():
        while True:
            wide, high = shutil.get_terminal_size()
            lines = screen(seen, reader, wide, high)
            if lines != shown and time.monotonic() - painted[0] >= 1.0:
                sys.stdout.write("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines))
                sys.stdout.flush()
                shown = lines
                painted.append(time.monotonic())
            if select.select([sys.stdin], [], [], 0.1)[0]:
                keys = os.read(sys.stdin.fileno(), 64).decode("ascii", "replace")
                for key in keys if len(keys) < 2 or keys[0] != "\x1b" else "":
                    if key == "q":
                        return
                    reader = _moved(folder, seen, reader, key)
                if not keys:  # the terminal is gone
                    return
            if time.monotonic() >= next_look:
                began = time.monotonic()
                seen = look()
                # Reading a large journal takes long; at most a twentieth of the time.
                next_look = time.monotonic() + max(_LOOK_S, 20 * (time.monotonic() - began))


def _moved(folder: GroupFolder, seen: dict[str, Any], reader: Reader, key: str) -> Reader:
    """Where the reader is after a key."""
    from sweeper.cli.watch_screen import choices, entries

    runs = entries(seen, reader.outcome)
    if key == "\x1b":
        return replace(reader, log=None)
    if reader.log is not None:
        return reader
    if key in "jk":
        place = reader.place + (1 if key == "j" else -1)
        return replace(reader, place=max(0, min(place, len(runs) - 1)))
    if key == "o":
        known = choices(seen)
        place = known.index(reader.outcome) if reader.outcome in known else -1
        return replace(reader, place=0, outcome=known[(place + 1) % len(known)])
    if key in "\r\n" and runs:
        run = runs[min(reader.place, len(runs) - 1)]
        return replace(reader, log=_log_tail(folder, run["id"]))
    return reader


def _log_tail(folder: GroupFolder, run: str) -> tuple[str, ...]:
    from sweeper.records.log_reader import LogReader

    try:
        log = LogReader(folder.run(run).log_file)
        log.skip_to_tail(_LOG_LINES)
        lines = [*log.new_lines(), log.last_line()]
    except (OSError, SweeperError):  # no log, or no id that a folder could have
        return (f"run {run} has no log",)
    return (f"log of {run}:", *(line.expandtabs() for line in lines if line))


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys one by one and without echo, on a screen of its own."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
