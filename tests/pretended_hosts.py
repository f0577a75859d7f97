"""Two hosts in one process: each with a name, a kernel, a clock and processes of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sweeper.config import read_sweep
from sweeper.host.cpus import Slot
from sweeper.host.identity import Host
from sweeper.launch.launch import ClaimedLog, announce, recovered
from sweeper.launch.work import Options, Prepared, SweepFile
from sweeper.records import GroupFolder, GroupReader, GroupState, JournalWriter, Shard, claim
from sweeper.records.claims import Claim

__all__ = ["Machine", "OpenLaunch", "open_launch", "sweep_of"]


@dataclass
class Machine:
    """A host that can be started again. `skew_s` is how far its clock is ahead."""

    name: str
    skew_s: float = 0.0
    boots: int = 1
    alive: dict[int, str] = field(default_factory=dict)
    pids: int = 0

    def host(self, pid: int = 0) -> Host:
        """As the process `pid` of it sees it."""
        return Host(
            self.name,
            f"boot-{self.name}-{self.boots}",
            "pid:[4026531836]",
            f"machine-{self.name}",
            pid,
            start_of=self.alive.get,
        )

    def new_process(self) -> Host:
        self.pids += 1
        self.alive[self.pids] = f"{self.boots}-{self.pids}"
        return self.host(self.pids)

    def reboot(self) -> None:
        self.boots += 1
        self.alive.clear()
        self.pids = 0  # pids are used again


@dataclass
class OpenLaunch:
    """A launch up to its first wave, as `launch` brings it there."""

    machine: Machine
    here: Host
    claim: Claim
    log: ClaimedLog
    prepared: Prepared

    @property
    def id(self) -> str:
        return self.claim.owner.launch

    @property
    def writer(self) -> str:
        return self.claim.owner.writer

    @property
    def state(self) -> GroupState:
        return self.prepared.state

    def planned(self) -> list[str]:
        return [run.spec.id for pack in self.prepared.plan.packs for run in pack.runs]


def open_launch(
    machine: Machine,
    work: SweepFile,
    launch_id: str,
    *,
    take_over: bool = False,
    now: Callable[[], float],
) -> OpenLaunch:
    """Begin a launch on a pretended host. Raises `BusyError`."""
    here = machine.new_process()
    try:
        held = claim(work.folder, launch_id, here=here, shard=work.shard, take_over=take_over)
    except BaseException:
        del machine.alive[here.pid]
        raise
    records = GroupReader(work.folder.journal_dir)
    state = records.state()
    prepared = Prepared(work, records, state, work.plan(state), (Slot(0, (0,)),))
    journal = JournalWriter(
        work.folder.journal_dir, held.owner.writer, clock=lambda: now() + machine.skew_s
    )
    log = ClaimedLog(journal, held)
    prepared = recovered(prepared, log, here, Options(take_over=take_over))
    announce(prepared, log)
    return OpenLaunch(machine, here, held, log, prepared)


def sweep_of(folder: Path, runs: int, shard: Shard) -> SweepFile:
    """A part of a sweep of so many runs, and where its records are."""
    file = folder / "s.yaml"
    file.write_text(f"trainer: benchmarks.noop\ngroup: g\nseeds: {runs}\n")
    group = GroupFolder(folder / "runs", "g").make()
    return SweepFile(read_sweep(file), group, shard)
