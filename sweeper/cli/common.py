"""What the commands share: the app, its exit statuses, and how they print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

from cyclopts import App, CycloptsError, Group, Parameter, Token

from sweeper.errors import SweeperError
from sweeper.host.paths import expanded
from sweeper.untrusted import printable

if TYPE_CHECKING:
    from sweeper.records import GroupFolder

__all__ = [
    "ALL_FINISHED",
    "DEFAULT_RUNS",
    "HOST",
    "NOT_FINISHED",
    "PAUSED",
    "RUN",
    "SEE",
    "SOME_BAD",
    "STOPPED",
    "USER_ERROR",
    "Json",
    "RunsDir",
    "SetOption",
    "ShardOption",
    "TakeOver",
    "TrainerName",
    "app",
    "complain",
    "group_folder",
    "guarded",
    "main",
    "print_json",
    "reap",
    "say",
    "words",
]

ALL_FINISHED, NOT_FINISHED, USER_ERROR, SOME_BAD, PAUSED, STOPPED = 0, 1, 2, 3, 4, 130

SEE = Group.create_ordered("See")
RUN = Group.create_ordered("Run")
HOST = Group.create_ordered("Host")

app = App(
    name="sweep",
    help=(
        "Train every combination of a sweep file until each run has an outcome and a reason.\n\n"
        "Start with: sweep launch configs/sweeps/quickstart.yaml"
    ),
    version_flags=["--version"],
    help_format="markdown",
    result_action="return_value",
)


def _runs_dir(_type: object, tokens: Sequence[Token]) -> Path:
    return expanded(tokens[0].value, "--runs-dir or SWEEPER_RUNS")


RunsDir = Annotated[
    Path,
    Parameter(
        name="--runs-dir",
        env_var="SWEEPER_RUNS",
        converter=_runs_dir,
        help="The folder of the records.",
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for programs.")]
TrainerName = Annotated[
    str | None,
    Parameter(
        name="--trainer",
        help="The trainer of these runs, if you haven't launched the group yourself. No trainer is "
        "imported just because a record names it.",
    ),
]
TakeOver = Annotated[
    bool,
    Parameter(
        name="--take-over",
        negative=(),
        help="You know that the launches of this group on other hosts are dead: close what they "
        "left open, and take their place.",
    ),
]
ShardOption = Annotated[
    str | None,
    Parameter(
        name="--shard",
        help="Only part i of n (`1/4` say), so that several hosts can train one sweep.",
    ),
]
SetOption = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative=(),
        help="Another value for a key of the file, `lr=1e-3`, or several, `lr=1e-3,1e-2`; can be "
        "repeated. The launch records them.",
    ),
]
DEFAULT_RUNS = Path("runs")


_answer: TextIO | None = None


def main() -> None:
    """Entry point of `sweep`."""
    # A name that the terminal's encoding can't show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--json" in sys.argv:
        _keep_stdout_for_the_answer()
    sys.exit(guarded(app, sys.argv[1:]))


def _keep_stdout_for_the_answer() -> None:
    """Send what a trainer prints, from native code too, to stderr instead."""
    global _answer  # noqa: PLW0603  (one per process, as stdout is)
    sys.stdout.flush()
    _answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def guarded(command: Callable[..., object], arguments: list[str]) -> int:
    """Run a command; user errors become one message and status 2, never a traceback."""
    try:
        status = command(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        complain(f"{error}\nSee: sweep {' '.join(arguments[:1])} --help")
        return USER_ERROR
    except SweeperError as error:
        complain(str(error))
        return USER_ERROR
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder without write permission
        complain(f"{error.filename or 'the operating system'}: {error.strerror or error}")
        return USER_ERROR
    except KeyboardInterrupt:
        return STOPPED
    return status if isinstance(status, int) else 0


def complain(message: str) -> None:
    """Say what is wrong, on stderr."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        sys.stderr.write("\n".join(map(printable, message.split("\n"))) + "\n")


def say(text: str) -> None:
    """Print text without control characters: names and messages may come from strangers."""
    lines = text.split("\n")
    sys.stdout.write("\n".join(line if line.isprintable() else printable(line) for line in lines))


def print_json(data: object) -> None:
    """Print data for programs; numbers that aren't finite, which JSON lacks, as strings."""
    from sweeper.records.jsonl import finite

    stream = _answer or sys.stdout
    stream.write(json.dumps(finite(data), indent=1, allow_nan=False) + "\n")
    stream.flush()


def group_folder(runs_dir: Path, group: str | None) -> GroupFolder:
    """The folder of `group`, or of the only or latest group; raises RecordError."""
    from sweeper.records.lookup import find_group, latest_group

    reap()
    return latest_group(runs_dir) if group is None else find_group(runs_dir, group)


def reap() -> None:
    """Kill the processes and delete the files that dead launches left on this host."""
    from sweeper.engine.scratch import reap_dead_launches

    left = reap_dead_launches()
    if left.processes or left.folders:
        complain(
            f"removed what a dead launch had left: {left.processes} processes and "
            f"{left.folders} scratch folders"
        )


def words(text: str | None) -> list[str] | None:
    """The words between commas; None for None."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
