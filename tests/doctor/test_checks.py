"""`sweep doctor` on this very host: its lines, in order, with a real Ray and a real JAX."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from sweeper.doctor import checks
from sweeper.doctor.limits import Check
from sweeper.host.facts import folder_size
from sweeper.host.processes import ProcessMark, marked_processes

NAMES = [
    "CPUs",
    "memory",
    "address space",
    "file size",
    "loopback",
    "processes",
    "open files",
    "temp folder",
    "/dev/shm",
    "runs folder",
    "leftovers",
    "/tmp/ray",
    "Ray",
    "worker",
    "after a wave",
    "compile cache",
]


def of_this_process(mark: ProcessMark) -> bool:
    mine = ProcessMark.of_this_process("any")
    return (mark.pid, mark.ticks) == (mine.pid, mine.ticks)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base for scratch of our own; short, because of Ray's sockets."""
    with pytest.MonkeyPatch.context() as patch:
        base = Path("/tmp") / f"sd{os.getpid()}"
        patch.setenv("SWEEPER_SCRATCH", str(base))
        # Another doctor at work would be seen in the user's own cache.
        patch.setenv("SWEEPER_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        yield base
        base.rmdir()  # fails if anything is left in it


@pytest.fixture(scope="module")
def lines(scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    other_ray = folder_size(Path("/tmp/ray"))
    runs_dir = tmp_path_factory.mktemp("runs") / "not" / "yet"
    found = {line.name: line for line in checks.checks(runs_dir)}
    assert not runs_dir.exists()
    assert folder_size(Path("/tmp/ray")) == other_ray
    return found


def test_every_line_in_its_place(lines: dict[str, Check]) -> None:
    assert list(lines) == NAMES
    assert all(line.found for line in lines.values())
    assert all(bool(line.fix) == (line.verdict != "ok") for line in lines.values())
    assert json.loads(json.dumps([vars(line) for line in lines.values()]))


def test_ray_starts_and_stops(lines: dict[str, Check]) -> None:
    line = lines["Ray"]
    assert line.verdict == "ok", line
    assert 0 < line.data["startup_s"] < 20
    assert 0 < line.data["shutdown_s"] < 20
    assert 0 < line.data["scratch_peak_bytes"] < 100 * 1024**2


def test_worker_is_as_narrow_as_its_slot(lines: dict[str, Check]) -> None:
    line = lines["worker"]
    assert line.verdict == "ok", line
    assert line.data["cpus"] == 1
    assert line.data["xla_threads"] == 1
    assert line.data["stray_threads"] == 0
    assert 5 < line.data["threads"] < 45


def test_nothing_is_left(lines: dict[str, Check], scratch: Path) -> None:
    assert lines["after a wave"].verdict == "ok", lines["after a wave"]
    assert list(scratch.iterdir()) == []
    assert list(marked_processes(of_this_process)) == []


def test_second_process_hits_the_compile_cache(lines: dict[str, Check]) -> None:
    line = lines["compile cache"]
    if "rejects" in line.found:
        pytest.skip(f"this jaxlib on this CPU: {line.found}")
    assert line.verdict == "ok", line
    first, second = line.data["processes"]
    assert first["hits"] == 0
    assert second["hits"] >= 1
    assert second["misses"] == 0
    assert list(Path(line.data["folder"]).glob("self-test-*")) == []


def test_what_the_kernel_tells_agrees_with_python(lines: dict[str, Check]) -> None:
    assert lines["CPUs"].data["affinity"] == len(os.sched_getaffinity(0))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert lines["memory"].data["total_bytes"] == pages
    assert lines["runs folder"].data["writable"]


def test_cheap_lines_come_before_anything_is_started(scratch: Path, tmp_path: Path) -> None:
    """Lines are made one by one: none of the launch's processes exists at the last cheap one."""
    lines = checks.checks(tmp_path)
    assert isinstance(lines, Generator)
    seen = [next(lines).name for _ in NAMES[: NAMES.index("Ray")]]
    assert seen == NAMES[: NAMES.index("Ray")]
    assert list(marked_processes(of_this_process)) == []
    lines.close()


def check(name: str, runs_dir: Path = Path("runs")) -> Check:
    """One of the checks that come before anything is started."""
    assert name in NAMES[: NAMES.index("Ray")]
    found = checks.checks(runs_dir)
    line = next(line for line in found if line.name == name)
    found.close()
    return line


def test_runs_folder_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.touch()
    for path in (file, file / "deeper"):
        line = check("runs folder", path)
        assert line.verdict == "problem"
        assert f"{file} is no folder" in line.found


def test_leftovers_of_a_killed_launch_are_removed(scratch: Path) -> None:
    """A launch is killed with its scratch made and a child running."""
    code = """if True:
        import os, signal, subprocess
        from sweeper.engine.scratch import Scratch
        scratch = Scratch.create("killed00")
        child = subprocess.Popen(
            ["sleep", "300"],
            env={**os.environ, "SWEEPER_MARK": str(scratch.mark)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    assert (scratch / "killed00").exists()
    line = check("leftovers")
    assert line.verdict == "warning"
    assert line.data["folders_removed"] >= 1
    assert not (scratch / "killed00").exists()
    assert list(marked_processes(lambda mark: mark.launch == "killed00")) == []
    assert not Path(f"/proc/{pid}/exe").exists()
    assert check("leftovers").data["folders_removed"] == 0


def test_other_rays_folder_is_measured_and_left_alone(tmp_path: Path) -> None:
    session = tmp_path / "session_1" / "logs"
    session.mkdir(parents=True)
    (session / "raylet.out").write_bytes(b"x" * 50_000)
    line = checks._other_ray(tmp_path)
    assert line.data["bytes"] >= 50_000
    assert line.data["complete"]
    assert (session / "raylet.out").stat().st_size == 50_000
    assert checks._other_ray(tmp_path / "none").found == "none"


def test_what_cannot_be_looked_at_is_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SWEEPER_SCRATCH", "relative")
    line = check("temp folder")
    assert line.verdict == "problem"
    assert "must be an absolute path" in line.found
