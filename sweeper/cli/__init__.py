"""The commands: parse, call, render; nothing else.

Slow modules are imported where they are used, so that `sweep --help` and `sweep status` answer at
once.
"""

from __future__ import annotations

import sys

# Importing the commands adds them to the app.
from sweeper.cli import (
    completion,
    edits,
    foreign,
    groups,
    host,
    init,
    logs,
    one_run,
    records,
    runs,
    stop,
    watch,
)
from sweeper.cli.common import app, main

__all__ = [
    "app",
    "completion",
    "edits",
    "foreign",
    "groups",
    "host",
    "init",
    "list_crashed_runs",
    "logs",
    "main",
    "one_run",
    "records",
    "runs",
    "stop",
    "watch",
]


def list_crashed_runs() -> None:
    """Entry point of `list-crashed-runs`: the same as `sweep crashed`."""
    sys.argv[1:1] = ["crashed"]
    main()
