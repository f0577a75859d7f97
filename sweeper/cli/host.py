"""Commands about this host."""

from __future__ import annotations

import sys

from sweeper.cli.common import (
    DEFAULT_RUNS,
    HOST,
    SOME_BAD,
    Json,
    RunsDir,
    app,
    print_json,
    say,
)


@app.command(group=HOST)
def doctor(*, runs_dir: RunsDir = DEFAULT_RUNS, json: Json = False) -> int:
    """Check what this host offers for sweeps, and say how to fix what is wrong.

    Exit status 3 if a line is a problem.

    For example:

    ```text
    sweep doctor
    sweep doctor --json
    ```
    """
    from sweeper.cli.text import doctor_line
    from sweeper.doctor.checks import checks

    lines = []
    for line in checks(runs_dir):
        lines.append(line)
        if not json:
            say(doctor_line(line.name, line.verdict, line.found, line.fix))
            sys.stdout.flush()
    if json:
        print_json([vars(line) for line in lines])
    return SOME_BAD if any(line.verdict == "problem" for line in lines) else 0
