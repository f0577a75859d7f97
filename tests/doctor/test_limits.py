"""The verdicts of `sweep doctor` on hosts that nobody has at hand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.doctor import limits
from sweeper.doctor.limits import Check
from sweeper.host.facts import Room
from sweeper.units import size

GIB = 1024**3
MIB = 1024**2
WORSE = {"ok": 0, "warning": 1, "problem": 2}


def nproc(limit: int, used: int = 300) -> Room:
    return Room("ulimit -u", limit, used, "raise it (`ulimit -u 30000`)")


def asked_cpus(line: Check) -> list[int]:
    """The N of every `--cpus N` that a fix recommends."""
    return [int(number) for number in re.findall(r"--cpus (\d+)", line.fix or "")]


def test_big_workstation_with_common_process_limit() -> None:
    line = limits.processes(rooms=[nproc(4096)], workers=192)
    assert line.verdict == "problem"
    assert line.data["expected_threads"] == 2 * 170 + 192 * 45
    # 4096 - 300 in use - 340 of two waves = 3456 = 76 workers of 45 threads.
    assert line.fix == (
        "ulimit -u leaves 3796: raise it (`ulimit -u 30000`), or `sweep launch --cpus 76`"
    )


def test_big_workstation_with_raised_process_limit() -> None:
    assert limits.processes(rooms=[nproc(20000)], workers=192).verdict == "ok"


def test_process_limit_that_is_just_enough() -> None:
    line = limits.processes(rooms=[nproc(9500)], workers=192)
    assert line.verdict == "warning"
    assert "just enough" in (line.fix or "")


def test_process_limit_too_small_for_anything() -> None:
    line = limits.processes(rooms=[nproc(512)], workers=2)
    assert line.verdict == "problem"
    assert "too few for one worker" in (line.fix or "")
    assert not asked_cpus(line)


def test_every_limit_that_is_too_low_is_told() -> None:
    container = Room("pids.max", 1000, 10, "raise it (docker: --pids-limit)")
    line = limits.processes(rooms=[nproc(4096), container, nproc(10**6)], workers=192)
    assert "ulimit -u leaves" in (line.fix or "")
    assert "pids.max leaves" in (line.fix or "")
    assert asked_cpus(line) == [76, 14]


def test_no_limit_on_processes() -> None:
    line = limits.processes(rooms=[], workers=192)
    assert line.verdict == "ok"
    assert "no limit" in line.found


ROOMS = st.lists(
    st.builds(
        Room,
        name=st.sampled_from(["ulimit -u", "pids.max"]),
        limit=st.integers(0, 50_000),
        used=st.integers(0, 60_000),
        fix=st.just("raise it"),
    ),
    max_size=3,
)


@given(rooms=ROOMS, workers=st.integers(1, 1024))
def test_recommended_cpus_fit_the_process_limits(rooms: list[Room], workers: int) -> None:
    line = limits.processes(rooms=rooms, workers=workers)
    asked = asked_cpus(line)
    if asked and "too few" not in (line.fix or ""):
        assert limits.processes(rooms=rooms, workers=min(asked)).verdict != "problem"
        assert limits.processes(rooms=rooms, workers=min(asked) + 1).verdict == "problem"


@given(limit=st.integers(0, 50_000), more=st.integers(0, 50_000), workers=st.integers(1, 1024))
def test_more_room_never_makes_it_worse(limit: int, more: int, workers: int) -> None:
    less = limits.processes(rooms=[nproc(limit)], workers=workers)
    better = limits.processes(rooms=[nproc(limit + more)], workers=workers)
    assert WORSE[better.verdict] <= WORSE[less.verdict]


@given(available=st.integers(0, 10**12), workers=st.integers(1, 1024))
def test_recommended_cpus_fit_the_memory(available: int, workers: int) -> None:
    def judged(count: int) -> Check:
        return limits.memory(total=10**12, available=available, cgroup_room=None, workers=count)

    asked = asked_cpus(judged(workers))
    if asked:
        assert judged(asked[0]).verdict == "ok"
        assert judged(asked[0] + 1).verdict == "warning"


@given(soft=st.integers(0, 10_000), more=st.integers(0, 100_000), workers=st.integers(1, 20_000))
def test_recommended_cpus_fit_the_open_files(soft: int, more: int, workers: int) -> None:
    def judged(count: int) -> Check:
        return limits.open_files(soft=soft, hard=soft + more, workers=count)

    asked = asked_cpus(judged(workers))
    if asked:
        assert judged(asked[0]).verdict != "problem"
        assert judged(asked[0] + 1).verdict == "problem"


def test_container_memory_counts_not_the_hosts() -> None:
    line = limits.memory(total=512 * GIB, available=400 * GIB, cgroup_room=4 * GIB, workers=192)
    assert line.verdict == "warning"
    # (4096 - 700) / 500 MiB
    assert asked_cpus(line) == [6]
    assert "the cgroup leaves 4 GiB" in line.found


def test_host_without_memory_for_one_worker() -> None:
    line = limits.memory(total=2 * GIB, available=GIB, cgroup_room=None, workers=2)
    assert line.verdict == "problem"
    assert "1.2 GiB" in (line.fix or "")


def test_cgroup_that_is_over_its_limit() -> None:
    line = limits.memory(total=8 * GIB, available=8 * GIB, cgroup_room=-5, workers=1)
    assert line.verdict == "problem"
    assert "leaves 0 B" in line.found


def test_address_space_limit_of_a_login_node() -> None:
    line = limits.address_space(limit=4 * GIB)
    assert line.verdict == "warning"
    assert "ulimit -v unlimited" in (line.fix or "")
    assert limits.address_space(limit=None).verdict == "ok"


def test_open_files_of_a_small_and_a_big_host() -> None:
    assert limits.open_files(soft=1024, hard=4096, workers=2).verdict == "ok"
    assert limits.open_files(soft=1024, hard=1024, workers=192).verdict == "problem"
    raised = limits.open_files(soft=1024, hard=1 << 20, workers=192)
    assert raised.verdict == "ok"
    assert "Ray raises to 65536" in raised.found


def test_temp_folder_with_little_room() -> None:
    def judged(free: int, inodes: int | None = 10**6, kind: str = "ext4") -> Check:
        return limits.temp_folder(path=Path("/tmp/s"), free=free, inodes=inodes, kind=kind)

    assert judged(50 * GIB).verdict == "ok"
    assert judged(50 * GIB, inodes=None, kind="btrfs").verdict == "ok"
    assert judged(GIB).verdict == "warning"
    assert judged(100 * MIB).verdict == "problem"
    assert judged(50 * GIB, inodes=12).verdict == "problem"
    assert judged(50 * GIB, inodes=5000).verdict == "warning"
    assert "SWEEPER_SCRATCH" in (judged(50 * GIB, kind="nfs4").fix or "")
    assert "in memory" in judged(50 * GIB, kind="tmpfs").found


def test_docker_default_shared_memory() -> None:
    line = limits.shared_memory(total=64 * MIB, free=64 * MIB)
    assert line.verdict == "warning"
    assert "--shm-size" in (line.fix or "")


def test_shared_memory_filled_by_others() -> None:
    line = limits.shared_memory(total=32 * GIB, free=0)
    assert line.verdict == "warning"
    assert "delete" in (line.fix or "")


def test_shared_memory_missing() -> None:
    assert limits.shared_memory(total=None, free=0).verdict == "problem"
    assert limits.shared_memory(total=32 * GIB, free=32 * GIB).verdict == "ok"


def runs_folder(**changes: Any) -> Check:
    known = {
        "path": Path("/data/runs"),
        "refusal": None,
        "free": 900 * GIB,
        "inodes": None,
        "kind": "xfs",
        "locks": True,
    }
    return limits.runs_folder(**{**known, **changes})


def test_runs_folder() -> None:
    assert runs_folder().verdict == "ok"
    refused = runs_folder(refusal="Read-only file system")
    assert refused.verdict == "problem"
    assert "Read-only file system" in refused.found
    assert "--runs-dir" in (refused.fix or "")
    assert runs_folder(free=GIB).verdict == "warning"
    assert runs_folder(free=MIB).verdict == "problem"


def test_runs_folder_on_a_network_file_system() -> None:
    for locks in (True, False):  # claims need none
        line = runs_folder(kind="nfs4", locks=locks)
        assert line.verdict == "ok"
        assert "--shard i/n" in line.found
    assert "--shard" not in runs_folder().found


def test_cpus() -> None:
    def judged(**changes: Any) -> Check:
        known = {"affinity": 192, "quota": None, "online": 192, "load": 2.0}
        return limits.cpus(**{**known, **changes})

    assert judged().verdict == "ok"
    assert judged(quota=4.5).data["usable"] == 4
    assert judged(quota=4.5).verdict == "ok"
    assert judged(quota=0.5).verdict == "warning"
    forgotten = judged(affinity=1)
    assert forgotten.verdict == "warning"
    assert "--cpus-per-task" in (forgotten.fix or "")
    shared = judged(load=150.2)
    assert shared.verdict == "warning"
    assert asked_cpus(shared) == [42]
    assert judged(affinity=64, load=150.2).verdict == "ok"
    assert judged(affinity=1, online=1, load=0.1).verdict == "ok"


def test_leftovers() -> None:
    assert limits.leftovers(folders=0, processes=0).verdict == "ok"
    line = limits.leftovers(folders=1, processes=12)
    assert line.verdict == "warning"
    assert line.found == (
        "removed 1 scratch folder and ended 12 processes of launches that had died"
    )


def test_somebody_elses_ray() -> None:
    def judged(owner: str | None, counted: int, complete: bool = True) -> Check:
        return limits.foreign_ray(
            path=Path("/tmp/ray"), owner=owner, counted=counted, complete=complete
        )

    assert judged(None, 0).found == "none"
    small = judged("ada", 3 * MIB)
    assert (small.verdict, small.fix) == ("ok", None)
    large = judged("ada", 800 * GIB, complete=False)
    assert large.verdict == "warning"
    assert large.found.startswith("at least 800 GiB, of ada")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (64 * MIB, "64 MiB"),
        (1536 * MIB, "1.5 GiB"),
        (23 * GIB + 5, "23 GiB"),
        (3 * 1024 * GIB, "3 TiB"),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_data_of_every_line_is_json() -> None:
    lines = [
        limits.cpus(affinity=2, quota=None, online=2, load=0.0),
        limits.memory(total=GIB, available=GIB, cgroup_room=None, workers=2),
        limits.address_space(limit=None),
        limits.processes(rooms=[nproc(4096)], workers=2),
        limits.open_files(soft=1, hard=2, workers=3),
        limits.temp_folder(path=Path("/tmp"), free=0, inodes=None, kind="ext4"),
        limits.shared_memory(total=None, free=0),
        runs_folder(),
        limits.leftovers(folders=0, processes=0),
        limits.foreign_ray(path=Path("/tmp/ray"), owner=None, counted=0, complete=True),
    ]
    for line in lines:
        assert json.loads(json.dumps(vars(line)))["data"] == line.data
