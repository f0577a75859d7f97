"""Hosts with a small `/dev/shm`, a home that can't be written, few processes, odd folder names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import SWEEP, Bench, mount_namespace, orderly

pytestmark = pytest.mark.faults

NAMESPACE = mount_namespace("/dev/shm")


@pytest.mark.skipif(
    not NAMESPACE, reason="this machine gives no mount namespaces (unshare --mount)"
)
def test_a_small_shared_memory_and_a_home_that_cannot_be_written_do_no_harm(bench: Bench) -> None:
    bench.write("poor", "trainer: mischief\ngroup: poor\ndeed: [finish, tell its place]\n")
    result = bench.in_namespace(
        NAMESPACE,
        "mount -t tmpfs -o size=64m none /dev/shm\n"
        "mkdir home\nmount -t tmpfs -o ro none home\nexport HOME=$PWD/home\n"
        "unset XDG_CACHE_HOME SWEEPER_CACHE MPLCONFIGDIR\n"
        "sweep launch poor.yaml --cpus 2\n"
        "ls -A home",
    )
    assert result.returncode == 0, orderly(result.stdout + result.stderr)
    assert bench.state("poor").counts()["finished"] == 2
    bench.assert_nothing_is_left()


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become another user, whose limit counts"
)
def test_too_few_processes_are_reported_before_anything_starts(bench: Bench) -> None:
    bench.write("some", "trainer: sabotage\ngroup: some\nseeds: 2\n")
    bench.path.chmod(0o777)
    bench.path.parent.chmod(0o755)
    user = "54321"
    result = subprocess.run(
        # The capability lets it read an environment that may lie in root's home.
        ["setpriv", "--reuid", user, "--regid", user, "--clear-groups",
         "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
         "prlimit", "--nproc=160", SWEEP, "launch", "some.yaml", "--cpus", "2"],
        env={**bench.env, "HOME": str(bench.path)},
        cwd=bench.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert result.returncode == 2, result.stdout + result.stderr
    assert "ulimit -u" in orderly(result.stderr)
    bench.assert_nothing_is_left()


def test_names_of_folders_may_hold_anything(tmp_path: Path) -> None:
    scratch = Path(f"/tmp/sw '\"\n{os.getpid()}")
    place = tmp_path / "a place; 'with' \"quotes\" $HOME `x`\nand two lines"
    place.mkdir()
    bench = Bench(place, scratch)
    try:
        file = bench.write(
            'it\'s; a "sweep"\n*', "trainer: mischief\ngroup: odd (place)\ndeed: tell its place\n"
        )
        result = bench.sweep("launch", file, "--cpus", 1)
        assert result.returncode == 0, result.stdout + result.stderr
        (run,) = bench.state("odd (place)").runs.values()
        folder = bench.group("odd (place)").run(run.id)
        found = json.loads(folder.log_file.read_text().splitlines()[-1])
        assert found["cwd"] == str(place)
        assert found["temp"].startswith(f"{scratch}/")
        assert (folder.path / "note.txt").read_text() == "kept"
        for command in (("status",), ("show", run.id), ("table", "odd (place)")):
            assert bench.sweep(*command).returncode == 0
        bench.assert_nothing_is_left()
    finally:
        subprocess.run(["rm", "-rf", scratch], check=True)
