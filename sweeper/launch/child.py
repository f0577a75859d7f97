"""A child process for what may die: how it ended is known either way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from sweeper.engine.failures import DeathTraces, cause_of_death
from sweeper.engine.process_state import kill_children
from sweeper.engine.sandbox import Stacks
from sweeper.engine.status_table import StatusTable
from sweeper.errors import SweeperError
from sweeper.host.processes import die_with_parent

__all__ = ["run_in_child"]


def run_in_child(action: Callable[[StatusTable], int], table: StatusTable, stack: Path) -> int:
    """Call `action` in a child of this process, and return what it returns.

    If the child dies in it, how and why is printed, and the result is 1. `table` and `stack` take
    the traces of a death. Raises the child's `SweeperError`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # JAX warns of any fork; nothing of it has started here.
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
        child = os.fork()
    if not child:
        os.close(reading)
        die_with_parent(parent)
        _report(action, table, stack, writing)
    os.close(writing)
    status = _wait(child)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(1 << 20) if status == 0 else b""
    return _taken(json.loads(answer)) if answer else _died(table, stack, status)


def _report(
    action: Callable[[StatusTable], int], table: StatusTable, stack: Path, writing: int
) -> None:
    """In the child: call, report, and leave without the parent's way out."""
    leave = os._exit
    status = 1
    try:
        Stacks(stack)
        try:
            answer: dict[str, Any] = {"status": action(table)}
        except SweeperError as error:
            answer = {"error": str(error)}
        kill_children()
        os.write(writing, json.dumps(answer).encode()[: 1 << 16])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        leave(status)


def _wait(child: int) -> int:
    """The exit status of the child; what this process is asked to do, the child is asked too."""

    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    # A terminal sends Ctrl-C to both.
    previous = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    for number in (signal.SIGTERM, signal.SIGHUP):
        previous[number] = signal.signal(number, forward)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return os.waitstatus_to_exitcode(status)


def _taken(answer: dict[str, Any]) -> int:
    if "error" in answer:
        raise SweeperError(answer["error"])
    return int(answer["status"])


def _died(table: StatusTable, stack: Path, status: int) -> int:
    try:
        seen = stack.read_text(encoding="utf-8", errors="replace")
    except OSError:
        seen = ""
    sys.stderr.write(seen)
    outcome, cause = cause_of_death(
        DeathTraces(
            started=True, stack=seen, noted_exit=table.read(0).exit_code, exit_status=status
        )
    )
    sys.stdout.write(f"{outcome}: {cause.headline()}\n")
    return 1
