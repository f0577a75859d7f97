"""What a shell completes: groups and run ids, read from the records when Tab is pressed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from sweeper.cli.common import DEFAULT_RUNS, HOST, app, say

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

__all__ = ["AnyGroup", "AnyRun", "Group", "Target"]

_MOST = 200


def _runs_dir(context: CompletionContext) -> Path:
    given = context.get("--runs-dir")
    text = given.raw if given is not None else None
    return Path(text or os.environ.get("SWEEPER_RUNS") or DEFAULT_RUNS).expanduser()


def _groups(context: CompletionContext) -> list[tuple[str, str]]:
    from sweeper.records.layout import groups

    return [(group, "group") for group in groups(_runs_dir(context))]


def _runs(context: CompletionContext) -> list[tuple[str, str]]:
    return list(islice(_ids(context), _MOST))


def _ids(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """The runs whose id begins with what is typed, each with its group; only folders are read."""
    from sweeper.records.layout import GroupFolder, groups

    runs_dir = _runs_dir(context)
    for group in groups(runs_dir):
        for run_id in GroupFolder(runs_dir, group).run_ids():
            if run_id.startswith(context.incomplete):
                yield run_id, f"run of {group}"


def _either(context: CompletionContext) -> list[tuple[str, str]]:
    return [*_groups(context), *_runs(context)]


Group = Annotated[str | None, Parameter(completer=_groups)]
AnyGroup = Annotated[str, Parameter(completer=_groups)]
AnyRun = Annotated[str, Parameter(completer=_runs)]
Target = Annotated[str, Parameter(completer=_either)]


@app.command(group=HOST)
def completion(shell: Literal["bash", "zsh", "fish"], /, *, install: bool = False) -> None:
    """Print the script that makes a shell complete commands, options, groups and run ids.

    For example:

    ```text
    sweep completion bash --install
    source <(sweep completion bash)
    ```

    Args:
        shell: Your shell.
        install: Write the script to where this shell looks for it, and load it in its startup file.
    """
    if install:
        path = app.install_completion(shell=shell)
        say(f"wrote {path}: new shells complete `sweep`\n")
    else:
        sys.stdout.write(app.generate_completion(prog_name="sweep", shell=shell))
