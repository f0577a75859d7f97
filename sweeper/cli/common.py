"""What the commands share: the app, its exit statuses, and how they print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

from cyclopts import App, CycloptsError, Group, Parameter, Token, validators

from sweeper.errors import SweeperError
from sweeper.host.paths import expanded
from sweeper.suggest import counted
from sweeper.untrusted import printable

if TYPE_CHECKING:
    from sweeper.records import GroupFolder

__all__ = [
    "ALL_FINISHED",
    "DEFAULT_RUNS",
    "HOST",
    "NOT_FINISHED",
    "PAUSED",
    "RECORDS",
    "RUN",
    "SEE",
    "SOME_BAD",
    "STOPPED",
    "USER_ERROR",
    "Again",
    "Brake",
    "Json",
    "Limit",
    "RunsDir",
    "SetOption",
    "ShardOption",
    "TakeOver",
    "TrainerName",
    "Where",
    "app",
    "carefully",
    "complain",
    "group_folder",
    "guarded",
    "limit",
    "main",
    "print_json",
    "reap",
    "say",
    "words",
]

ALL_FINISHED, NOT_FINISHED, USER_ERROR, SOME_BAD, PAUSED, STOPPED = 0, 1, 2, 3, 4, 130

SEE = Group.create_ordered("Inspect")
RUN = Group.create_ordered("Train")
RECORDS = Group.create_ordered("Records")
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
    # No `--empty-cause`, no `--no-json`, no `[default: None]`: who wants one of these says so.
    default_parameter=Parameter(negative=(), show_default=False),
)


def _runs_dir(_type: object, tokens: Sequence[Token]) -> Path:
    return expanded(tokens[0].value, "--runs-dir or SWEEPER_RUNS")


RunsDir = Annotated[
    Path,
    Parameter(
        name="--runs-dir",
        env_var="SWEEPER_RUNS",
        converter=_runs_dir,
        show_default=True,
        help="The folder of the records.",
    ),
]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for programs.")]
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
        help="Take the place of launches on other hosts that you know to be dead, and close what "
        "they left open.",
    ),
]
Brake = Annotated[
    bool,
    Parameter(name="--brake", negative="--no-brake"),
]
ShardOption = Annotated[
    str | None,
    Parameter(
        name="--shard",
        help="Only part i of n, such as `1/4`, so that several hosts can train one sweep.",
    ),
]
Again = Annotated[
    bool,
    Parameter(
        name="--again",
        negative=(),
        help="Train runs again that have finished or diverged too. The earlier outcome stays until "
        "the new attempt has ended, which then decides, also if it was stopped.",
    ),
]
Where = Annotated[
    tuple[str, ...],
    Parameter(
        name="--where",
        negative=(),
        help="Only runs for which this holds: `alpha=0.1`, `head=[a,b]`, several with commas; "
        "given more than once, any of them.",
    ),
]
Limit = Annotated[
    int | None,
    Parameter(
        name="--limit",
        validator=validators.Number(gte=1),
        help="Only the first so many of these runs, in the order of the file.",
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
    _open_closed_streams()
    if os.environ.get("COLUMNS", "1").strip() == "0":  # a terminal without a size, in some IDEs
        del os.environ["COLUMNS"]
    # A name that the terminal's encoding can't show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--json" in sys.argv:
        _keep_stdout_for_the_answer()
    sys.exit(guarded(app, sys.argv[1:]))


def _open_closed_streams() -> None:
    """/dev/null for what the caller has closed (`>&-`): no other file may take its place."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, descriptor)
            if opened != descriptor:
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def _keep_stdout_for_the_answer() -> None:
    """Send what a trainer prints, from native code too, to stderr instead."""
    global _answer  # noqa: PLW0603  (one per process, as stdout is)
    sys.stdout.flush()
    _answer = os.fdopen(os.dup(1), "w", encoding="utf-8", closefd=False)  # open to the last
    os.dup2(2, 1)


def guarded(command: Callable[..., object], arguments: list[str]) -> int:
    """Run a command; user errors become one message and status 2, never a traceback."""
    try:
        status = command(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        from sweeper.cli.usage import usage_error

        complain(usage_error(error, app, arguments))
        return USER_ERROR
    except SweeperError as error:
        complain(str(error))
        return USER_ERROR
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _drop_stdout()
        return 0
    except OSError as error:  # a full disk, a folder without write permission
        if not _can_print():
            _drop_stdout()
        complain(f"{error.filename or 'the operating system'}: {error.strerror or error}")
        return USER_ERROR
    except UnicodeEncodeError as error:  # a file's name under `LC_ALL=C` without UTF-8 mode
        complain(
            f"this locale's encoding, {error.encoding}, has no {error.object[error.start]!r}: "
            f"set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
        )
        return USER_ERROR
    except KeyboardInterrupt:
        return STOPPED
    return status if isinstance(status, int) else 0


def _can_print() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _drop_stdout() -> None:
    """Send what is left for stdout nowhere: at its exit, Python would fail on it again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


@contextlib.contextmanager
def carefully() -> Iterator[None]:
    """Print what a launch says at its end: a closed terminal or a full disk decide nothing."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        _drop_stdout()


def complain(message: str) -> None:
    """Say what is wrong, on stderr."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        sys.stderr.write("\n".join(map(printable, message.split("\n"))) + "\n")
        sys.stderr.flush()


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
            f"removed what a dead launch had left: "
            f"{counted(left.processes, 'process', 'processes')} and "
            f"{counted(left.folders, 'scratch folder')}"
        )


def words(text: str | None) -> list[str] | None:
    """The words between commas; None for None."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def limit(
    field: str, option: str, text: str | None, read: Callable[[str], float]
) -> dict[str, float]:
    """A limit as people write it, for the field of `Resources`; nothing for None."""
    if text is None:
        return {}
    try:
        found = read(text)
    except (ValueError, OverflowError):
        found = 0.0
    if not 0 < found < 1e18:
        example = "20 min" if field == "timeout_s" else "2 GB"
        raise SweeperError(f"{option}: expected an amount such as `{example}`, got {text!r}")
    return {field: found}
