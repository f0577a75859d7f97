"""Where compiled programs are kept between processes: a folder that nobody else can write.

What lies there is loaded as machine code, so a folder of somebody else's is as good as a program of
theirs.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import importlib.metadata
import os
import pwd
import stat
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from sweeper.errors import HostError
from sweeper.host.paths import expanded

__all__ = ["cache_refusal", "compile_cache_folder", "remove_spoilt"]

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_JAX = "JAX_COMPILATION_CACHE_DIR"


def compile_cache_folder(inherited: Mapping[str, str]) -> Path:
    """The folder for compiled programs, apart per CPU model and jaxlib; it need not exist yet.

    A program compiled for another CPU's instructions may be rejected or, worse, accepted. Where the
    usual folder could be written by others, one in the temp folder is used. Raises `HostError`
    where others can write that as well, or one that was asked for.
    """
    for name, part in ((_JAX, Path()), ("SWEEPER_CACHE", _part())):
        text = inherited.get(name)
        if text is None or (name == _JAX and (not text or "://" in text)):
            continue  # JAX takes an empty one for none, and a URL for a bucket
        asked = expanded(text, name).absolute() / part
        refusal = cache_refusal(asked)
        if refusal:
            raise HostError(
                f"{name}={text}: {refusal}, and what lies there is executed; take the right to "
                f"write from others (chmod go-w), or choose a folder of your own"
            )
        return asked
    base = _usual_base(inherited)
    usual = base / "sweeper" / _part() if base else None
    if usual and cache_refusal(usual) is None:
        return usual
    spare = Path(tempfile.gettempdir()).absolute() / f"sweeper-{os.getuid()}" / "cache" / _part()
    refusal = cache_refusal(spare)
    if refusal:
        raise HostError(
            f"no folder for compiled programs: {refusal}; set SWEEPER_CACHE to one of your own"
        )
    return spare


def _usual_base(inherited: Mapping[str, str]) -> Path | None:
    """Where programs keep their caches, by the XDG specification: it ignores relative paths."""
    asked = inherited.get("XDG_CACHE_HOME")
    if asked and (path := expanded(asked, "XDG_CACHE_HOME")).is_absolute():
        return path
    home = inherited.get("HOME")
    return Path(home).absolute() / ".cache" if home else None


def _part() -> Path:
    try:
        jaxlib = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        jaxlib = "none"
    return Path("xla") / f"{jaxlib}-{_cpu_fingerprint()}"


def _cpu_fingerprint() -> str:
    """Short hash of the CPU's model and instruction sets."""
    lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    telling = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return hashlib.sha256("\n".join(telling).encode()).hexdigest()[:8]


def cache_refusal(folder: Path) -> str | None:
    """Why others could put something into an absolute folder, now or once it is made; or None.

    Every folder on the way counts: who may write one may replace what is in it, unless it is sticky
    as /tmp is.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        try:
            info = place.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{place} can't be looked at ({error.strerror})"
        if info.st_uid not in _trusted(place == folder):
            return f"{place} belongs to {_user(info.st_uid)}"
        sticky = place != folder and info.st_mode & stat.S_ISVTX
        if not sticky and _others_may_write(info):
            return f"others can write {place}"
    return None


def _trusted(is_the_folder: bool) -> set[int]:
    """The users whose folders may hold the cache, or be the cache.

    In a user namespace the host's root, who owns the folders above, is shown as nobody.
    """
    ours = {0, os.getuid()}
    with contextlib.suppress(OSError, ValueError):
        mapped = int(Path("/proc/self/uid_map").read_text().split()[2])
        if not is_the_folder and mapped < 2**32 - 1:
            ours.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return ours


def _others_may_write(info: os.stat_result) -> bool:
    if info.st_mode & stat.S_IWOTH:
        return True
    return bool(info.st_mode & stat.S_IWGRP) and not _is_private_group(info.st_gid)


def _is_private_group(gid: int) -> bool:
    """Whether only this user is in the group, as in the group of each user's own on Debian."""
    if gid == 0:
        return True
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def remove_spoilt(folder: Path) -> int:
    """Delete the entries of a compile cache that can't be unpacked; returns how many.

    A disk that was full or a host that lost power leaves such; JAX compiles anew each time but
    never replaces them. One that is being written right now may go as well: it costs one compiling.
    """
    removed = 0
    for file in folder.glob("*-cache"):
        with contextlib.suppress(OSError):
            if _is_spoilt(file.read_bytes()):
                file.unlink()
                removed += 1
    return removed


def _is_spoilt(data: bytes) -> bool:
    """Whether an entry, which JAX packs by zstd or else by zlib, can't be unpacked."""
    unpack: Callable[[bytes], bytes] | None = zlib.decompress
    if data.startswith(_ZSTD_MAGIC):
        unpack = _zstd()
        if unpack is None:
            return False  # nothing here could read it, JAX can't either
    assert unpack is not None
    try:
        return not unpack(data)
    except Exception:  # each library raises its own
        return True


def _zstd() -> Callable[[bytes], bytes] | None:
    """What JAX unpacks with: a package, or from Python 3.14 on the standard library."""
    unpack: Callable[[bytes], bytes] | None = None
    with contextlib.suppress(ImportError):
        from compression import zstd

        unpack = zstd.decompress
    with contextlib.suppress(ImportError):
        import zstandard

        unpack = zstandard.decompress
    return unpack
