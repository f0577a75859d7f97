"""Commands over groups and the records of single runs."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from sweeper.cli.common import (
    DEFAULT_RUNS,
    SEE,
    Json,
    RunsDir,
    app,
    print_json,
    reap,
    say,
)

Sizes = Annotated[bool, Parameter(name="--sizes")]


@app.command(name="list", group=SEE)
def list_groups(
    *, sizes: Sizes = False, runs_dir: RunsDir = DEFAULT_RUNS, json: Json = False
) -> None:
    """List the groups in the records: runs, outcomes, last activity, size, and who runs them now.

    For example:

    ```text
    sweep list
    sweep list --runs-dir /data/runs --json
    ```

    Args:
        sizes: Measure every file, instead of a few runs of each group.
    """
    from sweeper.cli.group_texts import list_text
    from sweeper.records.summaries import list_groups as listing_of

    reap()
    found = listing_of(runs_dir, sizes=sizes)
    answer = {
        "runs_dir": str(runs_dir.absolute()),
        "groups": [group.plain() for group in found.groups],
        "others": list(found.others),
    }
    print_json(answer) if json else say(list_text(answer, now=time.time()))
