"""Real sweeps, launched as users launch them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sweeper.records import GroupFolder, GroupState, fold, read_events
from sweeper.records.event_codec import decode
from sweeper.records.events import Ended, Event, Recorded, Started

TRAINERS = Path(__file__).parent / "trainers"
SWEEP = Path(sys.executable).with_name("sweep")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Bench:
    """A place for sweeps of one test: its runs folder, scratch and environment."""

    path: Path
    scratch: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(TRAINERS),
            "SWEEPER_SCRATCH": str(self.scratch),
            "SWEEPER_RUNS": str(self.path / "runs"),
            "XDG_STATE_HOME": str(self.path / "state"),
            "BENCH": str(self.path),  # where trainers look for what a test lays there
        }

    def group(self, name: str) -> GroupFolder:
        return GroupFolder(self.path / "runs", name)

    def events(self, name: str) -> list[Recorded]:
        return read_events(self.group(name).journal_dir)

    def state(self, name: str) -> GroupState:
        return fold(self.events(name))

    def write(self, name: str, text: str) -> Path:
        file = self.path / f"{name}.yaml"
        file.write_text(text)
        return file

    def sweep(self, *arguments: object, timeout: float = 200.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SWEEP, *map(str, arguments)],
            env=self.env,
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SWEEP, *map(str, arguments)],
            env=self.env,
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def marked_processes(self) -> list[str]:
        """Command lines of the processes that carry the mark of a launch of this bench."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                environ = (folder / "environ").read_bytes() if folder.name.isdigit() else b""
                if f"SWEEPER_SCRATCH={self.scratch}\0".encode() in environ and (
                    b"SWEEPER_MARK=" in environ
                ):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return [line for line in found if line]  # a zombie has no command line

    def launches_left(self) -> list[Path]:
        return list(self.scratch.glob("*/owner"))

    def assert_nothing_is_left(self) -> None:
        assert self.marked_processes() == []
        assert self.launches_left() == []

    def assert_every_attempt_ended_once(self, group: str) -> None:
        """Each start has one end, and is of an attempt of its own."""
        events = self.events(group)
        started = Counter((e.run, e.attempt) for e in of_kind(Started, events))
        assert set(started.values()) <= {1}
        assert started == Counter((e.run, e.attempt) for e in ended(events))

    def plant(self, group: str, *events: Mapping[str, Any]) -> GroupFolder:
        """Records of a group, as a launch leaves them or a stranger hands them over."""
        folder = self.group(group).make()
        lines = [
            json.dumps({"v": 1, "writer": "w", "seq": seq, "time": 1000.0 + seq, **event})
            for seq, event in enumerate(events)
        ]
        (folder.journal_dir / "w.jsonl").write_text("\n".join(lines) + "\n")
        return folder

    def in_namespace(
        self, namespace: Sequence[str], script: str, *, timeout: float = 200.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script that may mount file systems, and in which `sweep` is ours."""
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        return subprocess.run(
            [*namespace, "sh", "-ec", script],
            env={**self.env, "PATH": f"{SWEEP.parent}:{os.environ['PATH']}"},
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )


def wait_until(
    condition: Callable[[], object],
    *,
    timeout_s: float = 60.0,
    state: Callable[[], object] = lambda: "",
) -> None:
    """Wait for a condition; on time-out fail with the last state."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s; last state: {state()}"
        time.sleep(0.05)


def recorded(lines: Iterable[Mapping[str, Any]]) -> list[Recorded]:
    """Lines of a journal, written by hand, as the decoder reads them."""
    return [event for line in lines if (event := decode(line)) is not None]


def folded(lines: Iterable[Mapping[str, Any]]) -> GroupState:
    """The state after lines of a journal that were written by hand."""
    return fold(recorded(lines))


_Kind = TypeVar("_Kind", bound=Event)


def of_kind(kind: type[_Kind], events: Iterable[Recorded]) -> list[_Kind]:
    return [recorded.event for recorded in events if isinstance(recorded.event, kind)]


def ended(events: Iterable[Recorded]) -> list[Ended]:
    return of_kind(Ended, events)


def orderly(output: str) -> str:
    assert "Traceback" not in output
    return output


def mount_namespace(place: str) -> list[str]:
    """The command that gives a mount namespace of its own, or nothing where none can mount here."""
    users = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *users, "--mount", "--propagation", "private"]
    try:
        tried = subprocess.run(
            [*command, "mount", "-t", "tmpfs", "none", place], capture_output=True, check=False
        )
    except OSError:
        return []
    return command if tried.returncode == 0 else []
