"""JSON lines on disk: appended whole, read back whatever has happened to the file.

JSON can't write numbers that are not finite, so they are written as the strings ``"nan"``,
``"inf"`` and ``"-inf"``; `number` reads them back.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sweeper.untrusted import plain_file

__all__ = ["append_bytes", "encode", "finite", "number", "parse", "read_lines", "sync"]

_WITHOUT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _simple(value: Any) -> Any:
    """What JSON can't carry: a scalar of NumPy or JAX as its Python number, the rest as text."""
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        return value.item()
    return str(value)


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_simple)


def finite(value: Any) -> Any:
    """`value` with every non-finite number in it replaced by such a string."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    return finite(_simple(value))


def encode(value: Mapping[str, Any]) -> str:
    """One line of JSON, without its line end; non-finite numbers become strings."""
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(finite(value))


def number(value: Any) -> int | float | None:
    """The number that a JSON value stands for (``"nan"`` is one), or None."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
        return value
    if isinstance(value, float):
        return value
    return _NOT_FINITE.get(value) if isinstance(value, str) else None


def parse(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects among the lines of `data`, and how many lines are none.

    A writer that was killed leaves half a line, a disk that filled up leaves garbage: neither may
    hide the lines around it. Empty lines are not counted.
    """
    objects: list[dict[str, Any]] = []
    skipped = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            skipped += 1
            continue
        if isinstance(value, dict):
            objects.append(value)
        else:
            skipped += 1
    return objects, skipped


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """As `parse`, of a file; one that isn't there, or a folder of its name, is empty."""
    try:
        with open(path, "rb", opener=plain_file) as file:
            return parse(file.read())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return [], 0


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError name this file: what a write or fsync raises doesn't say which disk is full.

    An error that names a file of its own keeps it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def sync(descriptor: int) -> None:
    """As fsync(2), but where the file system has none (CIFS, vboxsf, some FUSE) go on without.

    Raises OSError for a real failure, such as a broken disk.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _WITHOUT_SYNC:
            raise


def append_bytes(descriptor: int, lines: Iterable[str], *, durable: bool) -> None:
    """Append `lines` to a file opened with O_APPEND and O_RDWR in one write.

    The file must have no other writer. A torn last line is closed first, so that it spoils nothing
    but itself; when the write fails half-way, the file is cut back to where it was. `durable` asks
    for an fsync. Raises OSError.
    """
    data = "".join(f"{line}\n" for line in lines).encode()
    if not data:
        return
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if durable:
            sync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
