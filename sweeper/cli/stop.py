"""`sweep stop`: what Ctrl-C does, from any shell and for the launches of any host."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.cli.common import DEFAULT_RUNS, RUN, Json, RunsDir, app, print_json, reap, say
from sweeper.cli.completion import Group
from sweeper.errors import RecordError
from sweeper.suggest import counted, listed

if TYPE_CHECKING:
    from sweeper.records import GroupFolder
    from sweeper.records.occupants import Occupant

_POLL_S = 0.5


@app.command(group=RUN)
def stop(
    group: Group = None,
    /,
    *,
    now: bool = False,
    wait: bool = False,
    runs_dir: RunsDir = DEFAULT_RUNS,
    json: Json = False,
) -> None:
    """Stop the launches of a group, on whichever host they are: what Ctrl-C does there.

    They are asked by a file in the group's folder, which they look for every second; on a network
    file system it may take a minute until they see it. Finished runs are kept, and launching again
    trains what is missing.

    For example:

    ```text
    sweep stop
    sweep stop quickstart --wait
    sweep stop quickstart --now
    ```

    Args:
        group: The group of the sweep (default: the only one that is being trained).
        now: End everything at once, as Ctrl-C twice does (default: runs end at their next step).
        wait: Return only once these launches have ended.
    """
    from sweeper.records.lookup import find_group
    from sweeper.records.stop_requests import request_stop

    reap()
    folder = _only_one_at_work(runs_dir) if group is None else find_group(runs_dir, group)
    asked = _at_work(folder)
    if not asked:
        raise RecordError(f"no launch works on group `{folder.group}`: there is nothing to stop")
    for launch in asked:
        request_stop(folder, launch.launch, now=now)
    if not json:
        say(_asked_text(folder.group, asked, now=now))
    if wait:
        _wait(folder, {launch.launch for launch in asked})
    if json:
        answer = {"group": folder.group, "now": now, "asked": [it.plain() for it in asked]}
        print_json({**answer, "ended": wait})
    elif wait:
        say("ended\n")


def _at_work(folder: GroupFolder) -> tuple[Occupant, ...]:
    from sweeper.host.identity import this_host
    from sweeper.records import snapshot
    from sweeper.records.occupants import occupants

    seen = snapshot(folder)
    return occupants(folder, seen.state.launches, seen.alive, this_host())


def _only_one_at_work(runs_dir: Path) -> GroupFolder:
    """The group that is being trained. Raises `RecordError` for none and for several."""
    from sweeper.host.identity import this_host
    from sweeper.records import GroupFolder, groups
    from sweeper.records.occupants import occupants

    here = this_host()
    folders = [GroupFolder(runs_dir, name) for name in groups(runs_dir)]
    busy = [folder for folder in folders if occupants(folder, (), {}, here)]
    if not busy:
        raise RecordError(f"no launch works in {runs_dir.absolute()}: there is nothing to stop")
    if len(busy) > 1:
        names = listed(folder.group for folder in busy)
        raise RecordError(f"{len(busy)} groups are being trained: {names}; name the one to stop")
    return busy[0]


def _asked_text(group: str, asked: Sequence[Occupant], *, now: bool) -> str:
    how = "at once" if now else "at the next step of its runs"
    how = how if len(asked) == 1 else how.replace("its", "their")
    lines = [f"{group}: asked {counted(len(asked), 'launch', 'launches')} to stop {how}"]
    for launch in asked:
        job = f", job {launch.job}" if launch.job else ""
        shard = f", shard {launch.shard}" if launch.shard else ""
        doubt = "" if launch.lives else " (this host can't tell whether it still lives)"
        place = f"host {launch.host}, process {launch.pid}{job}{shard}"
        lines.append(f"  {launch.launch}  {place}{doubt}")
    lines.append(f"next:\n  sweep watch {group}")
    return "\n".join(lines) + "\n"


def _wait(folder: GroupFolder, launches: set[str]) -> None:
    """Wait until none of these launches may live any more."""
    while True:
        began = time.monotonic()
        if not launches & {it.launch for it in _at_work(folder)}:
            return
        # Reading a large journal takes long; waiting may cost at most a twentieth of the time.
        time.sleep(max(_POLL_S, 20 * (time.monotonic() - began)))
