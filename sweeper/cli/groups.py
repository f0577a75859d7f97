"""Commands over groups and the records of single runs."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from sweeper.cli.common import (
    DEFAULT_RUNS,
    RECORDS,
    SEE,
    Json,
    RunsDir,
    app,
    print_json,
    reap,
    say,
)
from sweeper.cli.completion import Target
from sweeper.errors import SweeperError

Sizes = Annotated[bool, Parameter(name="--sizes")]


@app.command(name="list", group=SEE)
def list_groups(
    *, sizes: Sizes = False, runs_dir: RunsDir = DEFAULT_RUNS, json: Json = False
) -> None:
    """List the groups: runs, outcomes, last activity, size, and who runs them now.

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


@app.command(group=RECORDS)
def note(
    target: Target,
    text: str | None = None,
    /,
    *,
    clear: bool = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
) -> None:
    """Write a note on a run or a group; `show`, `status`, `crashed` and `list` print it.

    It stays when the run is trained again or removed, and a later note takes its place.

    For example:

    ```text
    sweep note quickstart 'for figure 3'
    sweep note k3f9x2qa7m 'diverges since the new step size'
    sweep note k3f9x2qa7m --clear
    ```

    Args:
        target: A group, or a run: its id, the first characters of it, or its name.
        text: The note.
        clear: Take the note back.
    """
    from sweeper.records import find_run, groups
    from sweeper.records.edit_writer import write_edits
    from sweeper.records.events import Noted
    from sweeper.records.layout import GroupFolder

    if clear == (text is not None):
        raise SweeperError(f"sweep note needs a text, or --clear: `sweep note {target} 'a text'`")
    said = " ".join((text or "").split())
    if not clear and not said:
        raise SweeperError("the note is empty: to take a note back, use --clear")
    if target in groups(runs_dir):
        write_edits(GroupFolder(runs_dir, target), Noted(text=said))
    else:
        run = find_run(runs_dir, target)
        write_edits(run.group, Noted(run=run.id, text=said))
