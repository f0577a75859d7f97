"""Launches that are started elsewhere, from the command line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sweeper.cli.common import complain, print_json, say

if TYPE_CHECKING:
    from sweeper.launch.work import Prepared
    from sweeper.submit.base import Submission

__all__ = ["launch_in_tmux", "submission_text"]


def launch_in_tmux(
    prepared: Prepared, name: str | None, *, shared: bool, take_over: bool, json: bool
) -> None:
    """Start this very command in a new tmux session, and say how to get at it.

    Raises `SweeperError`, with nothing started, for whatever the launch would fail for at once.
    """
    from sweeper.host.identity import this_host
    from sweeper.launch.recorded_trainer import check_installed
    from sweeper.records.claims import check_free
    from sweeper.submit.base import own_command, without_options
    from sweeper.submit.tmux import check_name, session_name, start_session

    work = prepared.work
    group, shard = work.folder.group, None if work.shard.is_whole else str(work.shard)
    if name is not None:
        check_name(name)
    check_installed(work.trainer)
    check_free(work.folder, here=this_host(), shard=work.shard, take_over=take_over)
    work.folder.make(shared=shared)  # so that it can be watched at once
    arguments = without_options(sys.argv[1:], ["--tmux", "--json"], ["--tmux-name"])
    started = start_session(
        group, name or session_name(group, shard), [*own_command(), *arguments], os.environ
    )
    for note in started.notes:
        complain(note)
    print_json(started.plain()) if json else say(submission_text(started))


def submission_text(started: Submission) -> str:
    """Where a launch was started, and what to type now."""
    width = max(map(len, started.commands), default=0)
    lines = [f"{started.group}: launched in {started.where}"]
    lines += [f"  {what:<{width}}  {command}" for what, command in started.commands.items()]
    return "\n".join(lines) + "\n"
