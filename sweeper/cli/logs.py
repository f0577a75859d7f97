"""`sweep logs`: what a run has printed, and what it prints while it runs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sweeper.cli.common import DEFAULT_RUNS, SEE, RunsDir, app, complain, reap
from sweeper.cli.completion import AnyRun
from sweeper.errors import RecordError, SweeperError
from sweeper.untrusted import printable

if TYPE_CHECKING:
    from sweeper.records import RunFolder
    from sweeper.records.log_reader import LogReader

_POLL_S = 0.2
_LOOK_S = 1.0

Follow = Annotated[bool, Parameter(name=["--follow", "-f"])]


@app.command(group=SEE)
def logs(
    run: AnyRun,
    /,
    *,
    follow: Follow = False,
    tail: int | None = None,
    attempt: int | None = None,
    runs_dir: RunsDir = DEFAULT_RUNS,
) -> None:
    """Print the log of a run, and with `-f` what comes until the run has ended.

    Of a log larger than 1 MiB only the end is printed. Its path goes to stderr.

    For example:

    ```text
    sweep logs k3f9x2qa7m
    sweep logs k3f -f --tail 20
    ```

    Args:
        run: A run: its id, the first characters of it, or its name.
        follow: Go on printing until the run has ended.
        attempt: The log of this attempt (default: the one that runs, else the one that decided).
        tail: Begin with this many of its last lines.
    """
    from sweeper.records import find_run
    from sweeper.records.log_reader import LogReader

    if tail is not None and tail < 0:
        raise SweeperError(f"--tail: expected a number of lines, but got {tail}")
    reap()
    folder = find_run(runs_dir, run)
    look = _Look(folder)
    number = look.attempt if attempt is None else attempt
    if attempt is not None and attempt not in look.attempts:
        made = ", ".join(map(str, sorted(look.attempts))) or "none"
        raise RecordError(f"run `{folder.id}` has no attempt {attempt}: there are {made}")
    file = folder.of_attempt(number).log_file
    reader = LogReader(file)
    while follow and not file.exists() and look.may_go_on():
        time.sleep(_POLL_S)
    try:
        skipped = reader.skip_to_tail(tail)
    except FileNotFoundError:
        raise RecordError(f"run `{folder.id}` is {look.standing}: it has no log") from None
    complain(f"{file} (attempt {number or look.attempt}, {look.standing})")
    if skipped and tail is None:
        from sweeper.units import size

        complain(f"the first {size(skipped)} of it aren't shown")
    for line in _followed(reader, look.may_go_on) if follow else _whole(reader):
        sys.stdout.write(printable(line.expandtabs()) + "\n")
        sys.stdout.flush()
    if follow:
        complain(f"run `{folder.id}` is {look.standing}")


def _whole(reader: LogReader) -> Iterator[str]:
    yield from reader.new_lines()
    last = reader.last_line()
    if last:
        yield last


def _followed(reader: LogReader, may_go_on: Callable[[], bool]) -> Iterator[str]:
    """The lines as they come, until nothing can come any more."""
    going_on = True
    while going_on:
        going_on = may_go_on()  # before reading: what was written until then is read below
        with contextlib.suppress(FileNotFoundError):  # between two attempts
            yield from reader.new_lines()
        if going_on:
            time.sleep(_POLL_S)
    last = reader.last_line()
    if last:
        yield last


class _Look:
    """Whether a run goes on, looked up in the records now and then: a large journal takes long."""

    def __init__(self, run: RunFolder) -> None:
        from sweeper.records import GroupReader

        self._run = run
        self._records = GroupReader(run.group.journal_dir)
        self._next = 0.0
        self.standing, self._waits = "unknown", False
        self.attempts: frozenset[int] = frozenset()
        self.attempt = 0  # that runs or decided, else the last
        self._look()

    def _look(self) -> None:
        from sweeper.records.queries import corrected, who_lives

        began = time.monotonic()
        group = self._run.group
        state = self._records.state()
        alive = who_lives(group, state)
        run = corrected(state, alive).runs.get(self._run.id)
        if run is None:
            raise RecordError(f"the journal of group `{group.group}` knows no run `{self._run.id}`")
        self.standing = run.standing
        self.attempts = frozenset(attempt.number for attempt in run.attempts)
        last = max(self.attempts, default=0)
        self.attempt = run.deciding.number if run.deciding and not run.running else last
        self._waits = run.standing == "waiting" and any(it is not False for it in alive.values())
        self._next = time.monotonic() + max(_LOOK_S, 20 * (time.monotonic() - began))

    def may_go_on(self) -> bool:
        """Whether the run runs, or waits for a launch that works."""
        if time.monotonic() >= self._next:
            self._look()
        return self.standing == "running" or self._waits
