"""Signals as requests to stop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["SignalWatch"]

_ONE_REQUEST_S = 1.0
_REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class SignalWatch:
    """Turns signals into requests to stop while it is entered.

    SIGUSR1 and SIGUSR2 are what a batch system sends ahead of the end of a job's time, where it is
    asked to (Slurm: ``--signal=USR1@120``).
    """

    def __init__(self, request: Callable[[], None]) -> None:
        self._request = request
        self._previous: dict[int, Any] = {}
        self._last = -math.inf

    def __enter__(self) -> None:
        for number in _REQUESTS:
            self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # A closing terminal and a cancelling batch system send two signals: that is one request.
        now = time.monotonic()
        if number == signal.SIGINT or now - self._last > _ONE_REQUEST_S:
            self._request()
        self._last = now

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
