"""Who may train which part of a group: claims that hold between hosts, on any shared file system.

Locks may reach one host only (BeeGFS, NFS, Lustre), so a claim is a file made with O_EXCL. The
files below ``claims/`` are numbered, and each holds all claims that stand from then on:

    000001.json   [{launch 5c1d…, host node7, shard 1/2, …}]
    000002.json   [{launch 5c1d…, …}, {launch 09af…, host node8, shard 2/2, …}]
    000003.json   [{launch 09af…, …}]                   the first launch is over

Whoever changes the claims makes the next number, from what the highest one says. If another has
made it meanwhile, it reads that and tries again. So any two launches that find the same dead owner
agree on who takes over, and one that comes back from the dead finds itself missing. Files are never
changed or deleted: a host that reads an old listing can't make a number twice.

A claim falls when its launch ends, when its process is provably dead, or when the user says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from sweeper.errors import BusyError, ClaimLostError
from sweeper.host.facts import is_on_network
from sweeper.host.identity import Host, ProcessIdentity
from sweeper.records import json_fields as read
from sweeper.records.jsonl import naming, sync
from sweeper.records.layout import GroupFolder, make_folder, read_json
from sweeper.records.permissions import file_mode, folder_mode, readable_as
from sweeper.records.shards import WHOLE, Shard

__all__ = ["Claim", "Claims", "Owner", "check_free", "claim", "owner_lives", "read_claims"]

# What another host has made may stay invisible here for a minute: NFS caches absence.
_INVISIBLE_S = 90.0
# Between making a file and having written it are milliseconds, unless its maker dies.
_UNWRITTEN_S = 3.0
_PAUSE_S = 0.05
_NUMBERED = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True)
class Owner:
    """Who holds a claim. `since` is for people; `lock` is the device and inode of its lock file."""

    launch: str
    process: ProcessIdentity
    shard: Shard = WHOLE
    job: str | None = None
    lock: str | None = None
    since: float = 0.0

    @property
    def writer(self) -> str:
        """The name under which it writes the journal."""
        return f"{self.process.host}-{self.launch}"

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return {**asdict(self), "shard": str(self.shard)}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Owner | None:
        """Back from `plain`; None for what names no launch."""
        launch, process = read.text(data, "launch"), data.get("process")
        if launch is None or not isinstance(process, Mapping):
            return None
        texts = {
            item.name: read.text(process, item.name)
            for item in fields(ProcessIdentity)
            if item.name != "pid"
        }
        return cls(
            launch,
            ProcessIdentity(pid=read.integer(process, "pid"), **texts),
            Shard.read(read.text(data, "shard")),
            read.text(data, "job"),
            read.text(data, "lock"),
            read.real(data, "since") or 0.0,
        )


@dataclass(frozen=True)
class Claims:
    """The claims that stand since file `number`; 0 before the first.

    `torn` is a later file that holds nothing readable: its maker died, or hasn't written it yet.
    """

    number: int = 0
    owners: tuple[Owner, ...] = ()
    torn: Path | None = None

    def owner(self, launch: str) -> Owner | None:
        """The claim of a launch, if it stands."""
        return next((owner for owner in self.owners if owner.launch == launch), None)

    @property
    def last_number(self) -> int:
        """The highest number that exists."""
        return self.number if self.torn is None else int(self.torn.stem)


def read_claims(folder: GroupFolder) -> Claims:
    """The claims on a group as far as this host can see."""
    try:
        names = [path.name for path in folder.claims_dir.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return Claims()
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    last = max(numbers, default=0)
    while os.path.lexists(_file(folder, last + 1)):  # newer than the listing
        last += 1
    for number in range(last, 0, -1):
        owners = _owners_in(_file(folder, number))
        if owners is not None:
            return Claims(number, owners, None if number == last else _file(folder, last))
    return Claims(0, (), _file(folder, last) if last else None)


def _file(folder: GroupFolder, number: int) -> Path:
    return folder.claims_dir / f"{number:06}.json"


def _owners_in(file: Path) -> tuple[Owner, ...] | None:
    """What a file holds; None where it can't be read whole."""
    listed = (read_json(file) or {}).get("claims")
    if not isinstance(listed, list):
        return None
    owners = [Owner.from_plain(item) if isinstance(item, Mapping) else None for item in listed]
    return None if None in owners else tuple(owner for owner in owners if owner is not None)


def owner_lives(owner: Owner, folder: GroupFolder, here: Host) -> bool | None:
    """Whether the launch that made a claim lives; None where that can't be known from here.

    Its process is looked for, then its lock, which the kernel drops when it dies, then its job.
    """
    known = here.lives(owner.process)
    if known is None and owner.lock and owner.process.boot == here.boot:
        known = _is_locked(_lock_file(folder, owner.launch), owner.lock)
    if known is None and owner.job:
        known = here.job_lives(owner.job)
    return known


def _lock_file(folder: GroupFolder, launch: str) -> Path:
    return folder.claims_dir / f"{launch}.lock"


def _is_locked(file: Path, identity: str) -> bool | None:
    """Whether somebody on this kernel locks this very file; None where another file is there."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if _identity_of(descriptor) != identity:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _identity_of(descriptor: int) -> str:
    info = os.fstat(descriptor)
    return f"{info.st_dev}:{info.st_ino}"


class Claim:
    """The right to train a part of a group, until `release` or until another takes it over."""

    def __init__(self, folder: GroupFolder, owner: Owner, number: int, lock: int | None) -> None:
        self.owner = owner
        self.number = number
        self._folder = folder
        self._seen = number
        self._lock = lock

    def check(self) -> None:
        """Raise `ClaimLostError` once another launch has taken over; costs one look at a folder."""
        if not os.path.lexists(_file(self._folder, self._seen + 1)):
            return
        now = read_claims(self._folder)
        if now.number > self._seen:
            if now.owner(self.owner.launch) is None:
                raise ClaimLostError(_lost(self.owner, now, self._folder.group))
            self._seen = now.number

    def follow(self, folder: GroupFolder) -> None:
        """The group's folder has got another name under this claim."""
        self._folder = folder

    def release(self) -> None:
        """Give the claim back, if it stands. A disk that is full keeps it: then death ends it."""
        with contextlib.suppress(OSError, BusyError):
            _change(self._folder, lambda now: _without(now, self.owner.launch))
        if self._lock is not None:
            with contextlib.suppress(OSError):
                _lock_file(self._folder, self.owner.launch).unlink()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def claim(
    folder: GroupFolder,
    launch: str,
    *,
    here: Host,
    shard: Shard = WHOLE,
    job: str | None = None,
    take_over: bool = False,
) -> Claim:
    """Claim a part of a group for a launch of this process.

    Claims that overlap are taken over from owners that are provably dead, and with `take_over` from
    those of which nothing can be known. Raises `BusyError`, which names the owner, for any other.
    """
    make_folder(folder.claims_dir, folder_mode(folder.path))
    lock, identity = _take_lock(_lock_file(folder, launch))
    owner = Owner(launch, here.identity(), shard, job, identity, time.time())
    fallen: list[Owner] = []

    def with_mine(now: Claims) -> tuple[Owner, ...]:
        fallen[:] = [other for other in now.owners if other.shard.overlaps(shard)]
        _check_fallen(fallen, folder, here, take_over=take_over)
        return (*(other for other in now.owners if other not in fallen), owner)

    try:
        number = _change(folder, with_mine, over_torn=take_over)
    except BaseException:
        if lock is not None:
            _lock_file(folder, launch).unlink(missing_ok=True)
            os.close(lock)
        raise
    for other in fallen:
        with contextlib.suppress(OSError):
            _lock_file(folder, other.launch).unlink()
    assert number is not None  # there is always something to add
    return Claim(folder, owner, number, lock)


def check_free(folder: GroupFolder, *, here: Host, shard: Shard, take_over: bool = False) -> None:
    """Raise `BusyError` where `claim` would: for now, as nothing is claimed."""
    owners = [owner for owner in read_claims(folder).owners if owner.shard.overlaps(shard)]
    _check_fallen(owners, folder, here, take_over=take_over)


def _check_fallen(
    owners: Iterable[Owner], folder: GroupFolder, here: Host, *, take_over: bool
) -> None:
    """Raise `BusyError` for the first owner that isn't known to be dead."""
    for owner in owners:
        lives = owner_lives(owner, folder, here)
        if lives or (lives is None and not take_over):
            raise BusyError(_busy(folder.group, owner, lives))


def _without(now: Claims, launch: str) -> tuple[Owner, ...] | None:
    if now.owner(launch) is None:
        return None
    return tuple(owner for owner in now.owners if owner.launch != launch)


def _change(
    folder: GroupFolder,
    decide: Callable[[Claims], tuple[Owner, ...] | None],
    *,
    over_torn: bool = False,
) -> int | None:
    """Replace the claims by what `decide` makes of them, and return the new number.

    None where it wants no change. Raises what it raises, OSError, and `BusyError` where the newest
    file can't be read; with `over_torn` that file counts for nothing.
    """
    began = time.monotonic()
    while True:
        now = read_claims(folder)
        wanted = decide(now)
        if wanted is None:
            return None
        number = now.last_number + 1
        if (now.torn is None or over_torn) and _make(_file(folder, number), wanted):
            return number
        waited = time.monotonic() - began
        if waited > (_INVISIBLE_S if now.torn is None else _UNWRITTEN_S):
            raise BusyError(
                f"the group `{folder.group}` may be run by another launch: the newest file in "
                f"{folder.claims_dir} can't be read; if no launch works there, add --take-over"
            )
        time.sleep(_PAUSE_S)


def _make(file: Path, owners: tuple[Owner, ...]) -> bool:
    """Make a file of claims; False if another was first. Raises OSError with nothing made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with readable_as(file.parent):
            descriptor = os.open(file, flags, file_mode(file))
    except FileExistsError:
        return False
    try:
        with naming(file), os.fdopen(descriptor, "wb") as out:
            text = json.dumps({"claims": [owner.plain() for owner in owners]}, indent=1)
            out.write(text.encode() + b"\n")
            out.flush()
            sync(out.fileno())
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return True


def _take_lock(file: Path) -> tuple[int | None, str | None]:
    """Lock a new file for as long as this process lives, where a lock proves that it does.

    Containers on one kernel may have separate pids; on a local file system they share locks.
    """
    if is_on_network(file.parent):
        return None, None
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with readable_as(file.parent):
        descriptor = os.open(file, flags, file_mode(file))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no locks here
        file.unlink(missing_ok=True)
        os.close(descriptor)
        return None, None
    return descriptor, _identity_of(descriptor)


def _who(owner: Owner) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.since))
    job = f", job {owner.job}" if owner.job else ""
    shard = "" if owner.shard.is_whole else f", shard {owner.shard}"
    return f"host {owner.process.host}, process {owner.process.pid}{job}{shard}, since {since}"


def _busy(group: str, owner: Owner, lives: bool | None) -> str:
    if lives:
        return (
            f"the group `{group}` is being run by another launch: {_who(owner)}; watch it with "
            f"`sweep watch {group}`, or end it with `sweep stop {group}`"
        )
    return (
        f"the group `{group}` is claimed by another launch: {_who(owner)}; this host can't tell "
        f"whether it still lives. If you know that it is dead, add --take-over"
    )


def _lost(owner: Owner, now: Claims, group: str) -> str:
    others = [_who(other) for other in now.owners if other.shard.overlaps(owner.shard)]
    by = f" by another launch ({'; '.join(others)})" if others else ""
    return (
        f"the group `{group}` was taken over{by}: this launch has ended its runs and writes "
        f"nothing more"
    )
