"""Launches of several parts of one sweep, side by side, and what stands in a launch's way."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from support import of_kind, wait_until

from sweeper.records import Shard, read_claims
from sweeper.records.events import Ended, Launched, Started

SLOW = "trainer: sabotage\ngroup: parts\nsteps: 20\nstep_s: 0.05\nseeds: 8\n"


def plan_of(bench: Any, file: Any, *options: object) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(bench.sweep("plan", file, "--json", *options).stdout)
    return plan


def test_two_shards_on_one_host_train_everything_once(bench: Any) -> None:
    file = bench.write("parts", SLOW)
    parts = [plan_of(bench, file, "--shard", f"{index}/2") for index in (1, 2)]
    assert [part["shard"] for part in parts] == ["1/2", "2/2"]
    assert sum(part["to_train"] for part in parts) == plan_of(bench, file)["to_train"] == 8
    assert "shard  1/2" in bench.sweep("plan", file, "--shard", "1/2").stdout

    first = bench.start("launch", file, "--cpus", 1, "--shard", "1/2")
    wait_until(lambda: of_kind(Started, bench.events("parts")), state=first.poll)
    second = bench.start("launch", file, "--cpus", 1, "--shard", "2/2")
    wait_until(lambda: len(of_kind(Launched, bench.events("parts"))) == 2, state=second.poll)
    status = bench.sweep("status", "parts")
    assert "launches:" in status.stdout
    assert "shard 1/2" in status.stdout
    assert "shard 2/2" in status.stdout
    same = bench.sweep("launch", file, "--shard", "1/2")
    assert (same.returncode, "shard 1/2" in same.stderr) == (2, True)
    wait_until(lambda: of_kind(Ended, bench.events("parts")), state=first.poll)
    names = ("--datasets", "set1", "--trainer", "sabotage")
    for command in (["launch", file], ["evaluate", "parts", *names]):
        refused = bench.sweep(*command)
        assert (refused.returncode, "run by another launch" in refused.stderr) == (2, True)

    outputs = [launch.communicate(timeout=120)[0] for launch in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    started = of_kind(Started, bench.events("parts"))
    assert set(Counter(event.run for event in started).values()) == {1}
    assert bench.state("parts").counts()["finished"] == 8
    writers = {
        run.id: run.attempts[0].writer for run in bench.state("parts").runs.values() if run.attempts
    }
    by_shard = {it.shard: it.writer for it in bench.state("parts").launches}
    assert all(
        writers[run] == by_shard[Shard(1 if Shard(1, 2).holds(run) else 2, 2)] for run in writers
    )
    assert read_claims(bench.group("parts")).owners == ()


def test_a_shard_that_is_none_is_refused(bench: Any) -> None:
    refused = bench.sweep("launch", bench.write("parts", SLOW), "--shard", "3/2")
    assert refused.returncode == 2
    assert "expected a shard `i/n` with 1 <= i <= n, `1/4` say, but got '3/2'" in refused.stderr
