"""Where compiled programs are kept between processes: a folder that nobody else can write.

What lies there is loaded as machine code, so a folder of somebody else's is as good as a program of
theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from sweeper.errors import HostError
from sweeper.host.ownership import write_refusal
from sweeper.host.paths import expanded, xdg_folder

__all__ = ["compile_cache_folder", "remove_spoilt"]

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
        refusal = write_refusal(asked)
        if refusal:
            raise HostError(
                f"{name}={text}: {refusal}, and what lies there is executed; take the right to "
                f"write from others (chmod go-w), or choose a folder of your own"
            )
        return asked
    base = xdg_folder(inherited, "XDG_CACHE_HOME", ".cache")
    usual = base / "sweeper" / _part() if base else None
    if usual and write_refusal(usual) is None:
        return usual
    spare = Path(tempfile.gettempdir()).absolute() / f"sweeper-{os.getuid()}" / "cache" / _part()
    refusal = write_refusal(spare)
    if refusal:
        raise HostError(
            f"no folder for compiled programs: {refusal}; set SWEEPER_CACHE to one of your own"
        )
    return spare


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
