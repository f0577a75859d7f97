"""A host with too little memory: fewer runs at once, and those that starved are tried again.

The launches get a mount namespace of their own in which the kernel's figures are ours.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable

import pytest
from support import Bench, mount_namespace

from sweeper.records.events import Ended, Launched, Recorded, Started

NAMESPACE = mount_namespace("/sys/fs/cgroup")
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(
        not NAMESPACE, reason="this machine gives no mount namespaces (unshare --mount)"
    ),
]
MEMORY = "/sys/fs/cgroup/memory"
OUR_CGROUP = f"mount -t tmpfs none /sys/fs/cgroup\nmkdir {MEMORY}\n"
LITTLE = f"""\
{OUR_CGROUP}
echo 900000000 > {MEMORY}/memory.limit_in_bytes
echo 0 > {MEMORY}/memory.usage_in_bytes
printf 'total_inactive_file 0\\ntotal_active_file 0\\n' > {MEMORY}/memory.stat
"""


def launch(bench: Bench, host: str) -> subprocess.CompletedProcess[str]:
    return bench.in_namespace(NAMESPACE, f"{host}\nsweep launch it.yaml --cpus 2")


def at_most_at_once(events: Iterable[Recorded], wave: int) -> int:
    running, most = 0, 0
    for recorded in events:
        event = recorded.event
        if isinstance(event, Started | Ended) and event.wave == wave:
            running += 1 if isinstance(event, Started) else -1
            most = max(most, running)
    return most


def test_what_the_kernel_killed_for_memory_is_tried_again_with_fewer_beside_it(
    bench: Bench,
) -> None:
    bench.write(
        "it",
        "trainer: reckless\ngroup: it\nzip: [deed, seconds, seed]\n"
        "deed: [finish, starve, starve]\nseconds: [0, 1.5, 1.5]\nseed: [0, 1, 2]\n",
    )
    done = launch(bench, f"{OUR_CGROUP}echo 'oom_kill 0' > {MEMORY}/memory.oom_control")
    assert done.returncode == 3, done.stdout + done.stderr
    state, events = bench.state("it"), bench.events("it")
    for run in state.runs.values():
        found = [(a.outcome, a.cause and a.cause.kind.value) for a in run.attempts]
        wanted = [("crashed", "out of memory")] * 3
        assert found == ([("finished", None)] if run.axis_values["seed"] == 0 else wanted)
    # Half of two slots is one, as is alone.
    assert [at_most_at_once(events, wave) for wave in (1, 2, 3)] == [2, 1, 1]


@pytest.fixture(scope="module")
def hungry(new_bench: Callable[[], Bench]) -> Bench:
    """Two launches on a host whose memory carries one of their runs."""
    bench = new_bench()
    for runs in (7, 10):
        bench.write("it", f"trainer: reckless\ngroup: it\ndeed: eat\nseconds: 0.5\nseeds: {runs}\n")
        done = launch(bench, LITTLE)
        assert done.returncode == 0, done.stdout + done.stderr
    return bench


def starts_beside_others(events: list[Recorded]) -> list[bool]:
    """For each start of one writer, whether another run was going on."""
    running: set[str] = set()
    beside = []
    for recorded in events:
        match recorded.event:
            case Started(run=run):
                beside.append(bool(running))
                running.add(run)
            case Ended(run=run):
                running.discard(run)
    return beside


def of_launch(bench: Bench, number: int) -> list[Recorded]:
    events = bench.events("it")
    launches = [recorded for recorded in events if isinstance(recorded.event, Launched)]
    writer = sorted(launches, key=lambda recorded: recorded.time)[number].writer
    return sorted((e for e in events if e.writer == writer), key=lambda e: e.seq)


def test_as_many_runs_at_once_as_finished_ones_were_seen_to_need(hungry: Bench) -> None:
    # Two begin before anything is known, and their slots go on before the first end is heard of.
    assert starts_beside_others(of_launch(hungry, 0))[4:] == [False] * 3


def test_a_later_launch_knows_what_runs_need(hungry: Bench) -> None:
    assert starts_beside_others(of_launch(hungry, 1)) == [False] * 3
