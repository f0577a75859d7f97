"""Signals that ask a launch to stop."""

from __future__ import annotations

import os
import signal

import pytest

from sweeper.engine.signals import SignalWatch


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_each_is_one_request_to_stop(name: str) -> None:
    """Slurm's `--signal=USR1` warns of the end of a job: it must not kill the supervisor."""
    number = signal.Signals[name]
    before, requests = signal.getsignal(number), []
    with SignalWatch(lambda: requests.append(name)):
        os.kill(os.getpid(), number)
    assert requests == [name]
    assert signal.getsignal(number) is before
