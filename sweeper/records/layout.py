"""File layout of the records: the only module that knows the names of files and folders.

    <runs dir>/<group>/
        sweep.yaml          the sweep file as it was launched last
        default.yaml        the defaults that it was launched with, if they were a file
        plan.json           what the last launch planned
        summary.json        what the journal comes to, kept for `sweep list`
        claims/             who may train which part of it, see `sweeper.records.claims`
        sources/            the trainer's files that a launch began with, by their digest
        requests/           what launches are asked to do, see `sweeper.records.stop_requests`
        journal/*.jsonl     the events, one file per writer: they decide
        results/            tables and figures
        runs/<id>/          what a person opens: config, metrics, result, log
            attempts/<n>/   what earlier attempts have left, see `sweeper.engine.earlier_attempts`
            .checkpoint/    from where an open run goes on, see `sweeper.engine.checkpoints`

Folders are made with mode 0700 and files with 0600, see `modes`: a workstation is shared.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.errors import RecordError
from sweeper.records.jsonl import naming, sync
from sweeper.records.outcomes import Outcome
from sweeper.records.permissions import (
    PRIVATE_FOLDER,
    SHARED_FOLDER,
    file_mode,
    folder_mode,
    open_to_group,
)

__all__ = [
    "GroupFolder",
    "RunFolder",
    "folder_name",
    "group_name",
    "groups",
    "is_run_id",
    "make_folder",
    "read_json",
    "sync_folder",
    "write_atomically",
]

# File names end at 255 bytes on the usual file systems; some room is left for suffixes.
LONGEST_FOLDER_NAME = 240
LARGEST_JSON = 16 * 1024**2

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def is_run_id(text: str) -> bool:
    """Whether this can be a run's id; a journal from elsewhere may hold anything, paths too."""
    return _RUN_ID.fullmatch(text) is not None


def folder_name(group: str) -> str:
    """The folder name of a group: itself if harmless, else with other bytes as ``%XX``.

    Letters and digits of any script and ``. _ - + = , @`` stay as they are, a leading dot does not,
    so that no group is hidden or climbs out of the runs directory. Raises `RecordError` for a group
    without a name or with one that no file system takes.
    """
    kept = "".join(
        char
        if (char.isalnum() or char in "_-+=,@" or (char == "." and index > 0))
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))
        for index, char in enumerate(group)
    )
    if not kept:
        raise RecordError("the group has no name: give `group: some-name` in the sweep file")
    if len(kept.encode()) > LONGEST_FOLDER_NAME:
        raise RecordError(
            f"the group's name {group[:40]!r}… is too long for a folder: "
            f"{len(kept.encode())} bytes, at most {LONGEST_FOLDER_NAME}"
        )
    return kept


def group_name(folder: str) -> str:
    """The group that `folder_name` made this folder name for."""
    raw = _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), folder)
    # Each escaped byte is a lone surrogate until all of them are decoded together.
    data = b"".join(
        bytes([ord(char) - 0xDC00]) if 0xDC00 <= ord(char) <= 0xDCFF else char.encode()
        for char in raw
    )
    return data.decode("utf-8", "surrogateescape")


def make_folder(path: Path, mode: int = PRIVATE_FOLDER) -> Path:
    """`path` as a folder; folders that are missing on the way are made with this mode.

    Raises `RecordError` when that isn't possible.
    """
    try:
        # `parents=True` would give the folders on the way the default mode.
        for folder in (*reversed(path.parents), path):
            if not folder.is_dir():
                folder.mkdir(mode=mode, exist_ok=True)
                if mode != PRIVATE_FOLDER:
                    folder.chmod(mode | stat.S_IMODE(folder.stat().st_mode))
    except OSError as error:
        raise RecordError(
            f"the folder {path} can't be made: {error.strerror}; choose another place with "
            f"--runs-dir or SWEEPER_RUNS"
        ) from error
    return path


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; it need not exist yet."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def group(self) -> GroupFolder:
        folder = self.path.parent.parent
        return GroupFolder(folder.parent, group_name(folder.name))

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def progress_file(self) -> Path:
        return self.path / "progress.json"

    @property
    def stack_file(self) -> Path:
        return self.path / "stack.txt"

    @property
    def own_names(self) -> frozenset[str]:
        """The names in the folder that records have, so that no training may write there."""
        own = (
            self.config_file,
            self.metrics_file,
            self.result_file,
            self.log_file,
            self.progress_file,
            self.stack_file,
            self.evaluation.path,
            self.attempts,
            self.checkpoints,
        )
        return frozenset(path.name for path in own)

    @property
    def evaluation(self) -> RunFolder:
        """Where the last `sweep evaluate` of this run wrote: its own log and result."""
        return RunFolder(self.path / "evaluation")

    @property
    def attempts(self) -> Path:
        """Where files of earlier attempts are kept, each in a folder with its number."""
        return self.path / "attempts"

    @property
    def checkpoints(self) -> Path:
        """From where the next attempt goes on, while the run is open.

        Hidden, because trainings have folders called `checkpoint` of their own.
        """
        return self.path / ".checkpoint"

    def kept_attempts(self) -> list[RunFolder]:
        """The folders of the earlier attempts that are kept, the last one first."""
        try:
            names = [entry.name for entry in os.scandir(self.attempts) if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        numbers = sorted((int(name) for name in names if name.isdecimal()), reverse=True)
        return [RunFolder(self.attempts / str(number)) for number in numbers]

    @property
    def begun_attempt(self) -> int | None:
        """The number of the attempt whose files these are, as it or its result says."""
        for file in (self.progress_file, self.result_file):
            number = (read_json(file) or {}).get("attempt")
            if isinstance(number, int) and number >= 0:
                return number
        return None

    @property
    def has_finished(self) -> bool:
        """Whether the attempt whose files these are finished, as its result says."""
        return (read_json(self.result_file) or {}).get("outcome") == Outcome.FINISHED

    def of_attempt(self, number: int) -> RunFolder:
        """Where the files of this attempt are: among the kept ones, else here."""
        kept = RunFolder(self.attempts / str(number))
        return kept if kept.path.is_dir() and self.begun_attempt != number else self

    def trained(self) -> RunFolder:
        """Where the files of the attempt that finished are: here, unless only a kept one did."""
        candidates = (self, *self.kept_attempts())
        return next((folder for folder in candidates if folder.has_finished), self)

    def make(self) -> RunFolder:
        """Make the folder if it is missing."""
        make_folder(self.path, folder_mode(self.path.parent))
        return self


@dataclass(frozen=True)
class GroupFolder:
    """The folder of one group below the runs directory; it need not exist yet."""

    runs_dir: Path
    group: str

    @property
    def path(self) -> Path:
        return self.runs_dir / folder_name(self.group)

    @property
    def sweep_file(self) -> Path:
        return self.path / "sweep.yaml"

    @property
    def defaults_file(self) -> Path:
        return self.path / "default.yaml"

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def summary_file(self) -> Path:
        return self.path / "summary.json"

    @property
    def journal_dir(self) -> Path:
        return self.path / "journal"

    @property
    def claims_dir(self) -> Path:
        return self.path / "claims"

    @property
    def sources_dir(self) -> Path:
        """The folder of the lists of the trainer's source files."""
        return self.path / "sources"

    def source_list(self, digest: str) -> Path:
        """What lists the trainer's source files; a journal may hold anything as their digest."""
        return self.sources_dir / f"{digest if is_run_id(digest) else 'unknown'}.json"

    @property
    def requests_dir(self) -> Path:
        """The folder of requests to launches."""
        return self.path / "requests"

    def stop_request(self, launch: str) -> Path:
        """The file that asks a launch to stop; a journal may hold anything as the launch's id."""
        return self.requests_dir / f"{launch if is_run_id(launch) else 'unknown'}.json"

    @property
    def results_dir(self) -> Path:
        return self.path / "results"

    @property
    def runs_folder(self) -> Path:
        """The folder that holds the folders of the runs."""
        return self.path / "runs"

    def run(self, run_id: str) -> RunFolder:
        """The folder of a run. Raises `RecordError` for what can't be an id."""
        if not is_run_id(run_id):
            raise RecordError(f"{run_id!r} is no run id: ids are letters and digits")
        return RunFolder(self.runs_folder / run_id)

    def run_ids(self) -> list[str]:
        """The ids of the runs that have a folder, sorted."""
        try:
            names = [path.name for path in self.runs_folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if _RUN_ID.fullmatch(name))

    def foreign_names(self) -> list[str]:
        """The names right in the folder that records don't have, sorted: somebody else's."""
        own = {
            path.name
            for path in (
                self.sweep_file,
                self.defaults_file,
                self.plan_file,
                self.summary_file,
                self.sources_dir,
                self.requests_dir,
                self.journal_dir,
                self.claims_dir,
                self.results_dir,
                self.runs_folder,
            )
        }
        try:
            return sorted(path.name for path in self.path.iterdir() if path.name not in own)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def make(self, *, shared: bool = False) -> GroupFolder:
        """Make the folder with its journal and runs folders if they are missing.

        With `shared` all of it is open to its Unix group, now and later; so is a runs directory
        that has to be made. Raises `RecordError` when that isn't possible.
        """
        make_folder(self.runs_dir, SHARED_FOLDER if shared else PRIVATE_FOLDER)
        make_folder(self.path)
        if shared:
            try:
                open_to_group(self.path)
            except OSError as error:
                raise RecordError(f"{self.path} can't be shared: {error}") from error
        for path in (self.journal_dir, self.runs_folder):
            make_folder(path, folder_mode(self.path))
        return self


def groups(runs_dir: Path) -> list[str]:
    """The groups of a runs directory, sorted: the folders that hold a journal."""
    try:
        entries = sorted(runs_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        group_name(entry.name)
        for entry in entries
        if not entry.name.startswith(".") and (entry / "journal").is_dir()
    )


def write_atomically(path: Path, data: str | bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all, readable as its folder is, so that it outlives a power cut.

    A reader sees the old text or the new one. Raises OSError; the old file is then untouched.
    Without `durable` it outlives the death of any process, but after a power cut it may be empty:
    for what the journal holds as well.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode(path))
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            if durable:
                sync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make a folder's new entries durable, where its file system knows how to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with naming(path):
            sync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a small file, or None when there is none that can be read."""
    try:
        # A pipe of that name must not block the reader, nor a huge file fill its memory.
        if not stat.S_ISREG(path.stat().st_mode) or path.stat().st_size > LARGEST_JSON:
            return None
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
