"""What is read from the kernel, on hosts laid out as files and on this one."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from sweeper.host import cgroups, facts

GIB = 1024**3
FIRST_NAMESPACE = "         0          0 4294967295\n"
INNER_NAMESPACE = "         0     100000      65536\n"


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return lay_out(
        tmp_path / "proc",
        {
            "self/cgroup": "0::/user.slice/job\n",
            "self/uid_map": INNER_NAMESPACE,
            "self/status": "Name:\tx\nCapEff:\t0000000000000000\n",
            "loadavg": "0.10 0.20 0.30 3/1234 4711\n",
            "meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    600 kB\n",
            "sys/kernel/pid_max": "32768\n",
            "sys/kernel/threads-max": "192730\n",
            "1/status": "Name:\tinit\nUid:\t4242\t4242\t4242\t4242\nThreads:\t50\n",
            "2/status": f"Name:\tx\nUid:\t{os.getuid()}\t0\t0\t0\nThreads:\t7\n",
            "3/status": f"Name:\ty\nUid:\t{os.getuid()}\t0\t0\t0\nThreads:\t5\n",
            "sys/status": "no process\n",
        },
    )


def rooms(proc: Path, root: Path, nproc: tuple[int, int] = (4096, 4096)) -> dict[str, facts.Room]:
    return {room.name: room for room in facts.thread_rooms(proc, root, nproc=nproc)}


def test_memory_of_the_host(proc: Path) -> None:
    assert facts.memory_now(proc) == (1000 * 1024, 600 * 1024)


def test_tightest_cgroup_on_the_way_up_decides(proc: Path, tmp_path: Path) -> None:
    root = lay_out(
        tmp_path / "cgroup",
        {
            "user.slice/job/memory.max": "max\n",
            "user.slice/memory.max": f"{8 * GIB}\n",
            "user.slice/memory.current": f"{5 * GIB}\n",
            "user.slice/memory.stat": f"anon 1\ninactive_file {GIB}\nactive_file 2\n",
            "memory.max": f"{100 * GIB}\n",
            "memory.current": f"{GIB}\n",
            "user.slice/job/pids.max": "700\n",
            "user.slice/job/pids.current": "33\n",
        },
    )
    # 5 GiB are used, but one of them is cached files.
    assert cgroups.memory_room(proc, root) == 4 * GIB
    pids = rooms(proc, root)["pids.max"]
    assert (pids.limit, pids.used, pids.free) == (700, 33, 667)


def test_cgroup_version_1(proc: Path, tmp_path: Path) -> None:
    lay_out(proc, {"self/cgroup": "9:name=systemd:/\n4:memory,x:/box\n0::/\n"})
    root = lay_out(
        tmp_path / "cgroup",
        {
            "memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
            "memory/box/memory.usage_in_bytes": f"{GIB}\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cgroups.memory_room(proc, root) == GIB


def test_cgroup_of_a_container_is_the_mounted_root(proc: Path, tmp_path: Path) -> None:
    """Without a cgroup namespace the path in /proc/self/cgroup is the host's."""
    lay_out(proc, {"self/cgroup": "4:memory:/docker/0123\n"})
    root = lay_out(
        tmp_path / "cgroup",
        {
            "memory/memory.limit_in_bytes": f"{3 * GIB}\n",
            "memory/memory.usage_in_bytes": f"{GIB}\n",
        },
    )
    assert cgroups.memory_room(proc, root) == 2 * GIB


def test_no_cgroups_at_all(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").unlink()
    assert cgroups.memory_room(proc, tmp_path / "none") is None
    assert "pids.max" not in rooms(proc, tmp_path / "none")


def test_threads_count_by_user_and_by_host(proc: Path, tmp_path: Path) -> None:
    found = rooms(proc, tmp_path)
    assert (found["ulimit -u"].limit, found["ulimit -u"].used) == (4096, 12)
    assert (found["kernel.pid_max"].limit, found["kernel.pid_max"].used) == (32768, 1234)
    assert found["kernel.threads-max"].limit == 192730


def test_mend_of_the_process_limit(proc: Path, tmp_path: Path) -> None:
    assert "`ulimit -u 8192`" in rooms(proc, tmp_path, (4096, 8192))["ulimit -u"].fix
    assert "`ulimit -u unlimited`" in rooms(proc, tmp_path, (4096, -1))["ulimit -u"].fix
    assert "limits.d" in rooms(proc, tmp_path, (4096, 4096))["ulimit -u"].fix


def test_process_limit_does_not_bind_the_mighty(proc: Path, tmp_path: Path) -> None:
    lay_out(
        proc,
        {"self/uid_map": FIRST_NAMESPACE, "self/status": "CapEff:\t000001ffffffffff\n"},
    )
    assert "ulimit -u" not in rooms(proc, tmp_path)
    lay_out(proc, {"self/uid_map": INNER_NAMESPACE})
    assert "ulimit -u" in rooms(proc, tmp_path)
    assert "ulimit -u" not in rooms(proc, tmp_path, (-1, -1))


MOUNTS = r"""21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:20 / /home rw - nfs4 server:/home rw,vers=4.2
23 21 0:21 / /mnt/big\040disk rw,relatime shared:1 - xfs /dev/sdb rw
24 21 0:22 / /tmp rw - xfs /dev/sdc rw
25 24 0:23 / /tmp rw - tmpfs tmpfs rw,size=1g
26 22 0:24 / /home/ada/scratch rw - lustre mds@tcp:/scratch rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/homework", "ext4"),
        ("/home/ada", "nfs4"),
        ("/home/ada/scratch/runs", "lustre"),
        ("/mnt/big disk/runs", "xfs"),
        ("/tmp/x", "tmpfs"),
    ],
)
def test_file_system_is_the_innermost_mount(path: str, kind: str) -> None:
    assert facts.file_system(Path(path), MOUNTS) == kind


def test_file_system_is_unknown_without_mounts() -> None:
    assert facts.file_system(Path("/tmp"), "") == "unknown"


def test_this_host_has_memory_and_disk(tmp_path: Path) -> None:
    total, available = facts.memory_now()
    assert 0 < available <= total
    room = facts.disk(tmp_path)
    assert 0 < room.free <= room.total
    assert room.kind != "unknown"


def test_threads_of_this_host_include_new_ones() -> None:
    """Both counts see 200 more threads of ours while they live."""
    release = threading.Event()

    def count() -> tuple[int, int]:
        found = {r.name: r.used for r in facts.thread_rooms(nproc=(10**6, 10**6))}
        return facts._threads_of_user(cgroups.PROC), found["kernel.pid_max"]

    before = count()
    threads = [threading.Thread(target=release.wait) for _ in range(200)]
    for thread in threads:
        thread.start()
    during = count()
    release.set()
    for thread in threads:
        thread.join()
    # Other processes of this host come and go meanwhile, but seldom a hundred threads of them.
    assert all(b - a > 100 for a, b in zip(before, during, strict=True))


def test_writable_folder_with_locks_and_what_is_none(tmp_path: Path) -> None:
    assert facts.write_refusal(tmp_path) == (None, True)
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.touch()
    assert facts.write_refusal(file) == (f"{file} is no folder", False)
    refusal, _ = facts.write_refusal(Path("/proc"))
    assert refusal


def test_nearest_existing_path(tmp_path: Path) -> None:
    assert facts.nearest_existing(tmp_path / "a" / "b") == tmp_path
    (tmp_path / "a").touch()
    assert facts.nearest_existing(tmp_path / "a" / "b") == tmp_path / "a"


def test_shared_memory_of_a_folder_and_of_none(tmp_path: Path) -> None:
    total, free = facts.shared_memory(tmp_path)
    assert total is not None
    assert 0 < free <= total
    assert facts.shared_memory(tmp_path / "none") == (None, 0)


def test_folder_size_stops_at_its_bound(tmp_path: Path) -> None:
    for index in range(20):
        folder = tmp_path / f"session_{index % 4}"
        folder.mkdir(exist_ok=True)
        (folder / f"log{index}").write_bytes(b"x" * 8192)
    (tmp_path / "latest").symlink_to("/")
    total, complete = facts.folder_size(tmp_path, most=1000)
    assert complete
    assert 20 * 8192 <= total < 20 * 8192 + 100_000
    part, complete = facts.folder_size(tmp_path, most=10)
    assert not complete
    assert part < total


def test_folder_size_counts_allocated_space(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before, _ = facts.folder_size(tmp_path)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 100_000)
    after, complete = facts.folder_size(tmp_path)
    assert complete
    assert 100_000 <= after - before < 150_000
    assert facts.folder_size(tmp_path / "missing") == (0, False)


def test_owner_of_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    assert facts.owner_of(tmp_path)
    assert facts.owner_of(tmp_path / "none") is None
