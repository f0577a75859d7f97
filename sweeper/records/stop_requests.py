"""Requests to stop a launch, from any shell and any host that sees the group's folder.

A request is a file named after the launch, ``requests/<launch>.json``, so that it can't reach a
later one. The launch looks for it while it works and deletes it when it ends.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from sweeper.errors import RecordError
from sweeper.records.layout import GroupFolder, make_folder, read_json, write_atomically
from sweeper.records.permissions import folder_mode, readable_as

__all__ = ["StopRequests", "request_stop", "requested"]

_LOOK_S = 1.0


def request_stop(folder: GroupFolder, launch: str, *, now: bool = False) -> None:
    """Ask a launch to stop: its runs at their next step, or with `now` at once.

    An earlier request for `now` stands. Raises `RecordError` where the folder can't be written.
    """
    file = folder.stop_request(launch)
    data = {"launch": launch, "now": now or requested(folder, launch) > 1}
    try:
        with readable_as(folder.path):  # another user of a shared group may have launched
            make_folder(file.parent, folder_mode(folder.path))
            write_atomically(file, json.dumps(data) + "\n")
    except OSError as error:
        raise RecordError(
            f"launch {launch} can't be asked to stop: {file}: {error.strerror}"
        ) from error


def requested(folder: GroupFolder, launch: str) -> int:
    """How a launch is asked to stop: 0 not at all, 1 at the next step of its runs, 2 at once."""
    file = folder.stop_request(launch)
    try:
        # By listing: a share remembers for long that a name which it was asked for isn't there.
        names = {path.name for path in file.parent.iterdir()}
    except OSError:
        return 0
    if file.name not in names:
        return 0
    data = read_json(file)
    if data is None or data.get("launch") != launch:
        return 0
    return 2 if data.get("now") is True else 1


class StopRequests:
    """Looks for requests to stop one launch, about once a second. `clock` counts seconds."""

    def __init__(
        self, folder: GroupFolder, launch: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._launch = launch
        self._clock = clock
        self._next = clock()
        self._found = 0

    def look(self) -> int:
        """As `requested`, found out now and then; it never falls."""
        began = self._clock()
        if self._found < 2 and began >= self._next:
            self._found = max(self._found, requested(self._folder, self._launch))
            # A slow share must not take more than a twentieth of the launch's time.
            ended = self._clock()
            self._next = ended + max(_LOOK_S, 20 * (ended - began))
        return self._found

    def forget(self) -> None:
        """Delete what was asked of this launch, once it has ended."""
        with contextlib.suppress(OSError):
            self._file().unlink()

    def _file(self) -> Path:
        return self._folder.stop_request(self._launch)
