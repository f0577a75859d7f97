"""The launch's private files under the temp folder: Ray's sessions, TMPDIR, status table, token.

Layout: ``<base>/<launch>/{owner, token, w1/{r, tmp, status, stacks, wave.log, stop}, w2/…}``. The
base is ``sweeper-<uid>`` in the temp folder, mode 0700; ``/tmp/ray`` is never touched. What a
dead launch leaves behind is deleted by a later command, if its supervisor is provably dead.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sweeper.errors import HostError
from sweeper.host.facts import is_on_network
from sweeper.host.paths import expanded
from sweeper.host.processes import (
    ProcessMark,
    boot_id,
    holders_of_files,
    kill_all,
    marked_processes,
)

__all__ = [
    "Leftovers",
    "Scratch",
    "WaveScratch",
    "reap_dead_launches",
    "scratch_folders",
]

BASE_VARIABLE = "SWEEPER_SCRATCH"
# Ray puts Unix sockets below its folder; their paths may have 107 characters.
_RAY_PATH_LIMIT = 43


@dataclass(frozen=True)
class WaveScratch:
    """The part of the scratch that one wave owns."""

    path: Path

    @property
    def ray(self) -> Path:
        return self.path / "r"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"

    @property
    def spec(self) -> Path:
        """What the wave child reads when it starts."""
        return self.path / "spec.json"

    @property
    def fork_server(self) -> Path:
        """The socket at which new workers are had."""
        return self.path / "workers"

    @property
    def log(self) -> Path:
        return self.path / "wave.log"

    @property
    def stop_flag(self) -> Path:
        """Exists once the running trainings are asked to stop."""
        return self.path / "stop"

    @property
    def drain_flag(self) -> Path:
        """Exists once nothing more may be started in this wave."""
        return self.path / "drain"

    @property
    def withheld(self) -> Path:
        """The runs that must not be started in this wave, one a line; replaced, never changed."""
        return self.path / "withheld"

    @property
    def status_table(self) -> Path:
        """What the runs note, see `sweeper.engine.status_table`."""
        return self.path / "status"

    def flag(self, file: Path) -> None:
        """Make a flag, also where a cleaner has deleted the folder. Raises OSError."""
        for folder in (*reversed(file.parents), file):
            if folder != file and not folder.exists():
                folder.mkdir(mode=0o700)
        file.touch()

    def stack(self, pid: int) -> Path:
        """What a worker wrote of its stack when it died, or when it was asked to."""
        return self.path / "stacks" / f"{pid}.txt"


@dataclass(frozen=True)
class Scratch:
    """The scratch folder of one launch."""

    path: Path
    mark: ProcessMark
    token: str = field(repr=False)

    @classmethod
    def create(cls, launch: str) -> Scratch:
        """Make the folder, its owner file and the token of this launch's Ray sessions.

        Raises `HostError` when no temp folder is short enough, writable and ours alone.
        """
        mark = ProcessMark.of_this_process(launch)
        scratch = cls(_base() / launch, mark, secrets.token_hex(32))
        try:
            scratch.path.mkdir(mode=0o700)
            scratch.restore()
        except OSError as error:
            raise HostError(
                f"can't write scratch files below {scratch.path}: {error.strerror}"
            ) from error
        return scratch

    def restore(self) -> None:
        """Make what is missing of the launch's folder and files, and touch the others.

        Cleaners of the temp folder delete what nobody has touched for some days. Raises OSError,
        and `HostError` where somebody else has taken the place of the base folder meanwhile.
        """
        _make_own(self.path.parent)
        self.path.mkdir(mode=0o700, exist_ok=True)
        for file, text in ((self.path / "owner", f"{self.mark}\n"), (self.token_file, self.token)):
            try:
                descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                os.utime(file)
                continue
            with os.fdopen(descriptor, "w") as out:
                out.write(text)

    @property
    def token_file(self) -> Path:
        return self.path / "token"

    def wave(self, number: int) -> WaveScratch:
        """Make the scratch of wave `number`. Raises `HostError` where that isn't possible."""
        wave = WaveScratch(self.path / f"w{number}")
        try:
            self.restore()
            for folder in (wave.path, wave.tmp, wave.path / "stacks"):
                folder.mkdir(mode=0o700)
        except OSError as error:
            raise HostError(
                f"can't write scratch files below {self.path}: {error.strerror}"
            ) from error
        return wave

    def remove(self) -> None:
        """Delete everything of this launch."""
        shutil.rmtree(self.path, ignore_errors=True)


def _base_candidates() -> list[Path]:
    """Candidates for the base folder, best first."""
    asked = os.environ.get(BASE_VARIABLE)
    name = f"sweeper-{os.getuid()}"
    if asked is not None:
        return [expanded(asked, BASE_VARIABLE)]
    return [Path(tempfile.gettempdir()) / name, Path("/tmp") / name]


def _base() -> Path:
    """The user's own base folder, made if need be; raises `HostError`."""
    candidates = _base_candidates()
    room = _RAY_PATH_LIMIT - len("/12345678/w1000/r")
    short = [path for path in candidates if len(str(path)) <= room]
    if not short:
        raise HostError(
            f"the temp folder's path {str(candidates[0])!r} is too long for Ray's sockets; "
            f"set {BASE_VARIABLE} to an absolute path of at most {room} characters"
        )
    base = short[0]
    if not base.is_absolute():
        raise HostError(f"{BASE_VARIABLE} must be an absolute path, but got {str(base)!r}")
    _make_own(base)
    return base


def _make_own(base: Path) -> None:
    """Make the base folder if need be; raises `HostError` unless it is ours."""
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        info = base.lstat()
    except OSError as error:
        raise HostError(
            f"can't make the scratch folder {base}: {error.strerror}; set {BASE_VARIABLE}"
        ) from error
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise HostError(f"{base} isn't a folder of yours; set {BASE_VARIABLE} to another place")


def scratch_folders(launch: str) -> list[Path]:
    """What is left of the scratch of a launch; nothing once it has been removed."""
    return [folder for base in _base_candidates() if (folder := base / launch).exists()]


@dataclass(frozen=True)
class Leftovers:
    """What dead launches had left: processes killed, folders deleted."""

    processes: int
    folders: int


def reap_dead_launches() -> Leftovers:
    """Kill the processes and delete the scratch of launches whose supervisor is provably dead.

    Ray's agents write over their environment and with it our mark; they are known by the files
    that they hold open in the dead launch's scratch.
    """
    dead = [folder for base in set(_base_candidates()) for folder in _dead_launches(base)]

    def leftovers() -> list[psutil.Process]:
        found = {process.pid: process for process in marked_processes(ProcessMark.is_provably_dead)}
        found |= {process.pid: process for process in holders_of_files(dead)}
        return list(found.values())

    killed, _ = kill_all(leftovers)
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return Leftovers(killed, len(dead))


def _dead_launches(base: Path) -> list[Path]:
    """Our folders below `base` whose owner is provably dead.

    On a network file system another machine of this name may have made a folder: names of
    containers are chosen freely. So another boot id proves nothing there.
    """
    found = []
    shared = is_on_network(base)
    for owner in base.glob("*/owner"):
        try:
            mark = ProcessMark.parse(owner.read_text())
            ours = owner.lstat().st_uid == os.getuid()
        except OSError:
            continue
        if mark is None or (shared and mark.boot != boot_id()):
            continue
        if ours and mark.is_provably_dead():
            found.append(owner.parent)
    return found
