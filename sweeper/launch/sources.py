"""The trainer's own source files: with which code a launch trains, and whether that changes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from sweeper.records import GroupFolder, make_folder, write_atomically
from sweeper.records.events import SourcesChanged
from sweeper.records.permissions import folder_mode
from sweeper.trainer import Trainer
from sweeper.untrusted import plain_file

__all__ = ["SourceFile", "SourceWatch", "Sources", "record_sources", "sources_of"]

MOST_FILES = 2000
_NAMED = 20  # changed files that the journal names
_DIGITS = 16
_LOOK_S = 2.0
# A training that rewrites a source file of its own must not fill the journal.
_MOST_CHANGES = 20
# Folders below a package that hold none of its source.
_FOREIGN = {"__pycache__", "node_modules", "site-packages", "dist-packages"}

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class SourceFile:
    """A file that was read: its hash, and what shows without reading that it is still the same."""

    path: Path
    sha: str
    stamp: _Stamp


@dataclass(frozen=True)
class Sources:
    """Source files by name, relative to the folder that the trainer is imported from."""

    contents: Mapping[str, SourceFile] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, str]:
        """The hash of each file."""
        return {name: file.sha for name, file in sorted(self.contents.items())}

    @functools.cached_property
    def digest(self) -> str | None:
        """One hash over all names and files; None where there is none."""
        if not self.contents:
            return None
        return _sha("".join(f"{name} {sha}\n" for name, sha in self.files.items()).encode())


def sources_of(trainer: Trainer) -> Sources:
    """The source files of a trainer that has been imported; imports nothing itself.

    Of a trainer in a package, all files below the top-level package, imported or not: a worker may
    import them later. Of one in a single file, that file and what has been imported from its
    folder. At most `MOST_FILES`; a file that can't be read is left out.
    """
    module_name = trainer.name.partition(":")[0]
    module, top = sys.modules.get(module_name), sys.modules.get(module_name.partition(".")[0])
    if module is None or top is None:
        return Sources()
    folders = [Path(folder) for folder in vars(top).get("__path__", ())]
    found = _below(folders) if folders else _beside(module)
    contents: dict[str, SourceFile] = {}
    for name, path in found:
        if len(contents) >= MOST_FILES:
            break
        file = _read(path)
        if file is not None:
            contents[name] = file
    return Sources(contents)


def _below(folders: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """The Python files of a package, in the order of their names."""
    for top in folders:
        for place, inner, names in os.walk(top):
            inner[:] = sorted(name for name in inner if _is_own(Path(place, name)))
            for name in sorted(names):
                path = Path(place, name)
                if name.endswith(".py"):
                    yield str(path.relative_to(top.parent)), path


def _is_own(folder: Path) -> bool:
    return (
        not folder.name.startswith(".")
        and folder.name not in _FOREIGN
        and not (folder / "pyvenv.cfg").exists()
    )


def _beside(module: ModuleType) -> Iterator[tuple[str, Path]]:
    """The file of a module, then what else has been imported from its folder."""
    own = _file_of(module)
    if own is None:
        return
    yield own.name, own
    start, folder = f"{own.parent}{os.sep}", own.parent
    installed = tuple(f"{path}{os.sep}" for path in sysconfig.get_paths().values())
    for name, other in sorted(sys.modules.items()):
        path = _file_of(other)
        if path is None or path == own or not str(path).startswith(start):
            continue
        relative = path.relative_to(folder)
        between = [folder.joinpath(*relative.parts[:end]) for end in range(1, len(relative.parts))]
        is_ours = name.partition(".")[0] == "sweeper"
        if not is_ours and not str(path).startswith(installed) and all(map(_is_own, between)):
            yield str(relative), path


def _file_of(module: object) -> Path | None:
    """Where a module comes from; never by `getattr`, which may import."""
    try:
        file = vars(module).get("__file__")
    except TypeError:  # programs put anything into `sys.modules`
        return None
    return Path(file).absolute() if isinstance(file, str) and file.endswith(".py") else None


def _read(path: Path) -> SourceFile | None:
    try:
        with open(path, "rb", opener=plain_file) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            return SourceFile(path, _sha(file.read()), stamp)
    except OSError:
        return None


def _stamp(info: os.stat_result) -> _Stamp:
    return info.st_mtime_ns, info.st_size, info.st_ino


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


class SourceWatch:
    """Compares the files now and then with those that a launch began with.

    `clock` counts seconds from any moment, `now` gives unix time.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.sources = sources
        self._clock = clock
        self._now = now
        self._next = clock()
        self._unchanged_until: float | None = None
        self._changes = 0

    def look(self) -> SourcesChanged | None:
        """What has changed since the last look, if this one is due and anything has.

        A file that isn't there changes nothing: it is being replaced, or else the next worker that
        needs it says so itself.
        """
        if self._clock() < self._next or self._changes >= _MOST_CHANGES:
            return None
        began = self._clock()
        change = self._compare(self._now())
        # A slow share must not take more than a twentieth of the launch's time.
        self._next = self._clock() + max(_LOOK_S, 20 * (self._clock() - began))
        return change

    def _compare(self, now: float) -> SourcesChanged | None:
        known = self.sources.contents
        touched = [name for name, file in known.items() if not _is_same(file)]
        read = {name: _read(known[name].path) for name in touched}
        fresh = {name: file for name, file in read.items() if file is not None}
        changed = tuple(name for name, file in fresh.items() if file.sha != known[name].sha)
        if fresh:
            self.sources = replace(self.sources, contents={**known, **fresh})
        until = self._unchanged_until
        if changed or len(fresh) == len(touched):
            self._unchanged_until = now
        if not changed:
            return None
        self._changes += 1
        return SourcesChanged(
            sources=self.sources.digest or "", files=changed[:_NAMED], unchanged_until=until
        )


def _is_same(file: SourceFile) -> bool:
    try:
        return _stamp(file.path.stat()) == file.stamp
    except OSError:
        return False


def record_sources(folder: GroupFolder, sources: Sources) -> None:
    """List the files under their digest in the group's folder, if they aren't yet."""
    file = folder.source_list(sources.digest) if sources.digest else None
    if file is None or file.exists():
        return
    with suppress(OSError):  # the journal has the digest
        make_folder(file.parent, folder_mode(folder.path))
        write_atomically(file, json.dumps({"files": sources.files}, indent=1) + "\n")
