"""Claims between launches: real second processes that are really killed, and pretended hosts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper.errors import BusyError, ClaimLostError
from sweeper.host.identity import Host, ProcessIdentity, this_host
from sweeper.records import GroupFolder, Shard, claim, read_claims
from sweeper.records import claims as claims_module
from sweeper.records.claims import owner_lives

HOLD = (
    "import sys; from pathlib import Path; from sweeper.host.identity import this_host\n"
    "from sweeper.records import GroupFolder, claim\n"
    "folder = GroupFolder(Path(sys.argv[1]), 'my group').make()\n"
    "held = claim(folder, 'first', here=this_host()); print('held', flush=True); sys.stdin.read()"
)
OUTSIDE = "pid:[4026531836]"


def pretended(name: str, boot: str, alive: dict[int, str], pid: int = 1, **more: str) -> Host:
    """A host whose living processes are `alive`, by pid with their starts."""
    return Host(
        name,
        boot,
        more.get("namespace", OUTSIDE),
        more.get("machine", f"machine-of-{name}"),
        pid,
        start_of=alive.get,
    )


@pytest.fixture
def folder(tmp_path: Path) -> GroupFolder:
    return GroupFolder(tmp_path, "my group").make()


@pytest.fixture
def holder(folder: GroupFolder) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.runs_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def launches(folder: GroupFolder) -> list[str]:
    return [owner.launch for owner in read_claims(folder).owners]


def test_a_second_launch_is_told_who_holds_the_group(
    folder: GroupFolder, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(BusyError) as error:
        claim(folder, "second", here=this_host(), take_over=True)  # what lives isn't taken over
    message = str(error.value)
    assert f"process {holder.pid}" in message
    assert os.uname().nodename in message
    assert "`my group`" in message
    assert ", since 2" in message
    assert launches(folder) == ["first"]


def test_a_claim_names_host_boot_process_job_and_shard(folder: GroupFolder) -> None:
    here = this_host()
    with claim(folder, "mine", here=here, shard=Shard(2, 3), job="77_4"):
        (owner,) = read_claims(folder).owners
    assert owner.process == here.identity()
    assert owner.process.boot
    assert owner.process.pid == os.getpid()
    assert (owner.shard, owner.job) == (Shard(2, 3), "77_4")
    assert launches(folder) == []


def test_the_claim_of_a_killed_process_is_taken_over_by_itself(
    folder: GroupFolder, holder: subprocess.Popen[str]
) -> None:
    kill(holder)
    with claim(folder, "second", here=this_host()):
        assert launches(folder) == ["second"]
    assert list(folder.claims_dir.glob("*.lock")) == []


def test_in_another_container_on_the_same_kernel_the_lock_decides(
    folder: GroupFolder, holder: subprocess.Popen[str]
) -> None:
    container = dataclasses.replace(this_host(), name="other", namespace="pid:[1]")
    with pytest.raises(BusyError, match="is being run by another launch"):
        claim(folder, "second", here=container, take_over=True)
    kill(holder)
    with claim(folder, "second", here=container):
        assert launches(folder) == ["second"]


def test_another_file_of_the_lock_proves_nothing(
    folder: GroupFolder, holder: subprocess.Popen[str]
) -> None:
    container = dataclasses.replace(this_host(), namespace="pid:[1]")
    (lock,) = folder.claims_dir.glob("*.lock")
    lock.rename(lock.with_suffix(".away"))
    lock.write_text("")
    (owner,) = read_claims(folder).owners
    assert owner_lives(owner, folder, container) is None


def test_a_network_file_system_makes_no_lock(
    folder: GroupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "is_on_network", lambda path: True)
    with claim(folder, "mine", here=this_host()):
        assert read_claims(folder).owners[0].lock is None
        assert list(folder.claims_dir.glob("*.lock")) == []


def test_a_process_on_another_host_is_taken_over_only_when_told_so(folder: GroupFolder) -> None:
    a = pretended("a", "boot-a", {1: "s"})
    b = pretended("b", "boot-b", {})
    first = claim(folder, "first", here=a)
    with pytest.raises(BusyError, match=r"host a, process 1.*can't tell.*--take-over"):
        claim(folder, "second", here=b)
    first.check()
    second = claim(folder, "second", here=b, take_over=True)
    with pytest.raises(ClaimLostError, match=r"taken over.*host b"):
        first.check()
    first.release()  # changes nothing any more
    second.check()
    assert launches(folder) == ["second"]


def test_a_batch_system_may_know_that_a_job_is_gone(folder: GroupFolder) -> None:
    claim(folder, "first", here=pretended("a", "boot-a", {1: "s"}), job="12")
    there = pretended("b", "boot-b", {})
    with pytest.raises(BusyError):
        claim(folder, "second", here=dataclasses.replace(there, job_lives={"12": True}.get))
    claim(folder, "second", here=dataclasses.replace(there, job_lives={"12": False}.get))
    assert launches(folder) == ["second"]


@pytest.mark.parametrize(
    ("now", "lives"),
    [
        (pretended("a", "boot-1", {7: "s"}), True),
        (pretended("a", "boot-1", {}), False),
        (pretended("a", "boot-1", {7: "later"}), False),
        (pretended("other name", "boot-1", {7: "s"}), True),
        (pretended("other name", "boot-1", {}), False),
        (pretended("a", "boot-1", {}, namespace="pid:[5]"), None),
        (pretended("a", "boot-2", {}), False),
        (pretended("a", "boot-2", {}, namespace="pid:[5]"), None),
        (pretended("a", "boot-2", {}, machine="another"), None),
        (pretended("b", "boot-2", {}, machine="machine-of-a"), None),
        (pretended("b", "boot-2", {7: "s"}), None),
    ],
)
def test_only_what_can_be_seen_is_known(now: Host, lives: bool | None) -> None:
    process = ProcessIdentity("a", "boot-1", OUTSIDE, "machine-of-a", 7, "s")
    assert now.lives(process) is lives


def test_shards_are_claimed_side_by_side_and_the_whole_excludes_all(folder: GroupFolder) -> None:
    a, b = pretended("a", "boot-a", {1: "s"}), pretended("b", "boot-b", {1: "s"})
    one = claim(folder, "one", here=a, shard=Shard(1, 2))
    two = claim(folder, "two", here=b, shard=Shard(2, 2))
    with pytest.raises(BusyError, match="shard 1/2"):
        claim(folder, "all", here=a)
    with pytest.raises(BusyError, match="shard 1/2"):
        claim(folder, "again", here=b, shard=Shard(1, 2))
    one.release()
    two.check()
    two.release()
    with claim(folder, "all", here=b), pytest.raises(BusyError):
        claim(folder, "one", here=b, shard=Shard(1, 2))


def test_taking_over_one_shard_leaves_the_others(folder: GroupFolder) -> None:
    a, b = pretended("a", "boot-a", {1: "s"}), pretended("b", "boot-b", {1: "s"})
    one = claim(folder, "one", here=a, shard=Shard(1, 2))
    two = claim(folder, "two", here=a, shard=Shard(2, 2))
    claim(folder, "three", here=b, shard=Shard(1, 2), take_over=True)
    two.check()
    with pytest.raises(ClaimLostError):
        one.check()


def test_of_two_that_find_the_same_dead_claim_one_gets_it(
    folder: GroupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = {1: "s"}
    a = pretended("a", "boot-a", alive)
    claim(folder, "dead", here=a)
    alive[1] = "later"  # the pid is used again
    make = claims_module._make
    rivals: list[str] = []

    def make_second(file: Path, owners: object) -> bool:
        if not rivals:  # between the look and the claim of this launch, another one claims
            rivals.append("rival")
            claim(folder, "rival", here=a)
        return make(file, owners)  # type: ignore[arg-type]

    monkeypatch.setattr(claims_module, "_make", make_second)
    with pytest.raises(BusyError, match="is being run"):
        claim(folder, "loser", here=a)
    assert launches(folder) == ["rival"]
    assert {path.name for path in folder.claims_dir.glob("*.lock")} == {"rival.lock"}


def test_a_file_that_was_never_written_stops_all_but_a_take_over(
    folder: GroupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "_UNWRITTEN_S", 0.0)
    claim(folder, "one", here=this_host(), shard=Shard(1, 2))
    (folder.claims_dir / "000002.json").write_text("")
    with pytest.raises(BusyError, match=r"can't be read.*--take-over"):
        claim(folder, "two", here=this_host(), shard=Shard(2, 2))
    claim(folder, "two", here=this_host(), shard=Shard(2, 2), take_over=True)
    assert launches(folder) == ["one", "two"]
    assert read_claims(folder).number == 3


def test_a_listing_that_is_behind_is_made_good(
    folder: GroupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = claim(folder, "one", here=this_host(), shard=Shard(1, 2))
    stale = list(folder.claims_dir.iterdir())
    claim(folder, "two", here=this_host(), shard=Shard(2, 2))
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(stale))
    assert launches(folder) == ["one", "two"]
    first.release()
    assert launches(folder) == ["two"]


def test_a_full_disk_leaves_no_claim(folder: GroupFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(claims_module, "sync", full)
        with pytest.raises(OSError, match="No space"):
            claim(folder, "mine", here=this_host())
    assert list(folder.claims_dir.iterdir()) == []
    with claim(folder, "mine", here=this_host()):
        assert launches(folder) == ["mine"]


def test_children_do_not_inherit_the_lock(folder: GroupFolder) -> None:
    container = dataclasses.replace(this_host(), namespace="pid:[1]")
    held = claim(folder, "mine", here=this_host())
    (owner,) = read_claims(folder).owners
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert owner_lives(owner, folder, container) is True
        assert held._lock is not None
        os.close(held._lock)
        held._lock = None
        assert owner_lives(owner, folder, container) is False
        child.communicate(b"\n")
