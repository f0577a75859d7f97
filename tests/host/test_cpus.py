"""CPUs come from affinity and cgroup; slots never overlap."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.errors import HostError
from sweeper.host.cpus import CpuOffer, claims_on_cpus, cpu_offer, cut_slots, parse_cpu_list


def no_claims() -> Counter[int]:
    return Counter()


@given(
    st.sets(st.integers(0, 200), min_size=1, max_size=64),
    st.integers(1, 8),
    st.data(),
)
def test_slots_are_disjoint_and_within_the_offer(
    cpus: set[int], cpus_per_run: int, data: st.DataObject
) -> None:
    offer = CpuOffer(tuple(sorted(cpus)), None)
    wanted = data.draw(st.integers(1, len(cpus)))
    if wanted < cpus_per_run:
        with pytest.raises(HostError, match="cpus_per_run"):
            cut_slots(offer, cpus=wanted, cpus_per_run=cpus_per_run, claims=no_claims)
        return
    slots = cut_slots(offer, cpus=wanted, cpus_per_run=cpus_per_run, claims=no_claims)
    used = [cpu for slot in slots for cpu in slot.cpus]
    assert len(slots) == wanted // cpus_per_run
    assert len(used) == len(set(used))
    assert set(used) <= cpus
    assert [slot.index for slot in slots] == list(range(len(slots)))


def test_a_quota_bounds_what_is_used() -> None:
    offer = CpuOffer(tuple(range(192)), 6.5)
    assert len(cut_slots(offer, cpus=None, cpus_per_run=1, claims=no_claims)) == 6
    with pytest.raises(HostError, match="at most 6"):
        cut_slots(offer, cpus=7, cpus_per_run=1, claims=no_claims)


def test_more_cpus_than_offered_is_an_error() -> None:
    with pytest.raises(HostError, match=r"--cpus 3: this process may use 2 CPUs by affinity\."):
        cut_slots(CpuOffer((0, 1), None), cpus=3, cpus_per_run=1)


def test_cpus_that_others_claim_are_taken_last() -> None:
    offer = CpuOffer((0, 1, 2, 3), None)
    slots = cut_slots(offer, cpus=2, cpus_per_run=1, claims=lambda: Counter({0: 2, 1: 1, 3: 0}))
    assert [slot.cpus for slot in slots] == [(2,), (3,)]


def test_claims_count_pinned_processes_but_no_kernel_threads(tmp_path: Path) -> None:
    for pid, text in {
        "7": "Name:\tworker\nVmSize:\t 9 kB\nCpus_allowed_list:\t2-3\n",
        "8": "Name:\tkthread\nCpus_allowed_list:\t2\n",
        "9": "Name:\teditor\nVmSize:\t 9 kB\nCpus_allowed_list:\t0-191\n",
        "self": "VmSize:\t 9 kB\nCpus_allowed_list:\t3\n",
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "status").write_text(text)
    assert claims_on_cpus(tmp_path) == Counter({2: 1, 3: 1})


@pytest.mark.parametrize(
    ("text", "cpus"), [("", []), ("3", [3]), ("0-2,8", [0, 1, 2, 8]), ("1,3-4\n", [1, 3, 4])]
)
def test_cpu_lists(text: str, cpus: list[int]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("file", "text", "quota"),
    [
        ("cpu.max", "150000 100000\n", 1.5),
        ("cpu.max", "max 100000\n", None),
        ("cpu/cpu.cfs_quota_us", "400000\n", 4.0),
        ("cpu/cpu.cfs_quota_us", "-1\n", None),
        ("job/cpu.max", "250000 100000\n", 2.5),
        ("cpu/job/cpu.cfs_quota_us", "50000\n", 0.5),
    ],
)
def test_quota_of_either_cgroup_version(
    tmp_path: Path, file: str, text: str, quota: float | None
) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroups"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("3:cpu,cpuacct:/job\n0::/job\n")
    place = (cgroups / file).parent
    place.mkdir(parents=True)
    (place / "cpu.cfs_period_us").write_text("100000\n")
    (cgroups / file).write_text(text)
    assert cpu_offer(proc, cgroups).quota == quota
