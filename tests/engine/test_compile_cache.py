"""The folder of compiled programs: whose it is, and what happens to entries that are spoilt."""

from __future__ import annotations

import os
import stat
import tempfile
import zlib
from pathlib import Path

import pytest

from sweeper.engine import compile_cache
from sweeper.engine.compile_cache import compile_cache_folder, remove_spoilt
from sweeper.engine.environment import run_environment
from sweeper.errors import HostError
from sweeper.host import ownership
from sweeper.host.ownership import write_refusal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def test_the_cache_is_below_the_home_folder(home: Path) -> None:
    folder = compile_cache_folder({"HOME": str(home)})
    assert folder.parent == home / ".cache" / "sweeper" / "xla"
    assert run_environment({"HOME": str(home)}, cpus_per_run=1)["JAX_COMPILATION_CACHE_DIR"] == str(
        folder
    )


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_usual_folder_that_others_can_write_is_passed_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setattr(ownership, "_is_private_group", lambda gid: False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temp"))
    usual = compile_cache_folder({"HOME": str(home)})
    usual.mkdir(parents=True)
    usual.chmod(mode)
    private = compile_cache_folder({"HOME": str(home)})
    assert private.is_relative_to(tmp_path / "temp" / f"sweeper-{os.getuid()}")
    usual.chmod(0o700)
    assert compile_cache_folder({"HOME": str(home)}) == usual


def test_a_spare_folder_that_somebody_else_made_first_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    spare = tmp_path / f"sweeper-{os.getuid()}"
    spare.mkdir()
    spare.chmod(0o777)
    with pytest.raises(HostError, match=rf"others can write {spare}.*SWEEPER_CACHE"):
        compile_cache_folder({})
    spare.chmod(0o700)
    assert compile_cache_folder({}).is_relative_to(spare)


def test_a_folder_on_the_way_counts_unless_it_is_sticky(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    folder = tmp_path / "open" / "cache"
    (tmp_path / "open").chmod(0o777)
    assert write_refusal(folder) == f"others can write {tmp_path / 'open'}"
    (tmp_path / "open").chmod(0o777 | stat.S_ISVTX)
    assert write_refusal(folder) is None


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "_trusted", lambda is_the_folder: {54321})
    assert write_refusal(tmp_path) is not None
    assert "belongs to" in str(write_refusal(tmp_path))


@pytest.mark.parametrize("name", ["SWEEPER_CACHE", "JAX_COMPILATION_CACHE_DIR"])
def test_one_that_was_asked_for_and_that_others_can_write_is_refused(home: Path, name: str) -> None:
    home.chmod(0o777)
    with pytest.raises(HostError, match=rf"{name}=.*others can write {home}.*chmod go-w"):
        compile_cache_folder({name: str(home), "HOME": "/"})
    home.chmod(0o700)
    assert compile_cache_folder({name: str(home)}).is_relative_to(home)


def test_paths_of_caches_are_expanded_or_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    assert compile_cache_folder({"SWEEPER_CACHE": "~/c"}).is_relative_to(home / "c")
    assert compile_cache_folder({"XDG_CACHE_HOME": "~/x"}).is_relative_to(home / "x")
    by_default = compile_cache_folder({"HOME": str(home)})
    assert compile_cache_folder({"XDG_CACHE_HOME": "relative", "HOME": str(home)}) == by_default
    for text in ("", "$HOME/c"):
        with pytest.raises(HostError, match="SWEEPER_CACHE"):
            compile_cache_folder({"SWEEPER_CACHE": text})


WHOLE = zlib.compress(b"program" * 100)


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (WHOLE, True),
        (b"", False),
        (WHOLE[:-3], False),
        (b"\0" * 100, False),
        (WHOLE[:20] + b"\xff" + WHOLE[21:], False),
        (zlib.compress(b""), False),
        (b"\x28\xb5\x2f\xfd unreadable without zstd", True),
    ],
)
def test_entries_that_cannot_be_unpacked_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, stays: bool
) -> None:
    monkeypatch.setattr(compile_cache, "_zstd", lambda: None)
    (tmp_path / "jit_f-0-cache").write_bytes(data)
    (tmp_path / "other").write_bytes(b"")
    assert remove_spoilt(tmp_path) == (0 if stays else 1)
    assert (tmp_path / "jit_f-0-cache").exists() is stays
    assert (tmp_path / "other").exists()


def test_zstd_entries_are_unpacked_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(data: bytes) -> bytes:
        if data.endswith(b"torn"):
            raise ValueError("no frame")
        return b"program"

    monkeypatch.setattr(compile_cache, "_zstd", lambda: unpack)
    (tmp_path / "good-cache").write_bytes(b"\x28\xb5\x2f\xfd whole")
    (tmp_path / "bad-cache").write_bytes(b"\x28\xb5\x2f\xfd torn")
    assert remove_spoilt(tmp_path) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["good-cache"]
