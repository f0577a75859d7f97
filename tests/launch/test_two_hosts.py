"""Two hosts, one group: nothing doubled, nothing lost, nothing closed that lives."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pretended_hosts import Machine, OpenLaunch, open_launch, sweep_of

from sweeper.engine.budgets import DiskBudget
from sweeper.engine.job_queue import Job
from sweeper.engine.policy import Policy
from sweeper.engine.scripted_backend import Fate, ScriptedBackend
from sweeper.engine.supervisor import Limits, Supervisor
from sweeper.errors import BusyError, ClaimLostError
from sweeper.launch.work import SweepFile
from sweeper.records import WHOLE, GroupState, Shard, fold, read_events, snapshot, write_atomically
from sweeper.records.events import Ended, LaunchEnded, Started
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.records.state import RUNNING

ENOUGH = 1 << 50
CRASH = Cause(CauseKind.EXCEPTION, "no luck", "ValueError", "train.py:7")


class Scene:
    """A sweep of some runs, two hosts with different clocks, and the time."""

    def __init__(self, folder: Path, runs: int = 4) -> None:
        self.folder, self.runs = folder, runs
        self.a, self.b = Machine("a"), Machine("b", skew_s=-1000.0)
        self.time = itertools.count(1_000_000)
        self.ids = (f"{number:08x}" for number in itertools.count(1))

    def work(self, shard: Shard = WHOLE) -> SweepFile:
        return sweep_of(self.folder, self.runs, shard)

    def launch(
        self, machine: Machine, shard: Shard = WHOLE, *, take_over: bool = False
    ) -> OpenLaunch:
        work, launch_id = self.work(shard), next(self.ids)
        return open_launch(
            machine, work, launch_id, take_over=take_over, now=lambda: float(next(self.time))
        )

    def state(self) -> GroupState:
        return fold(read_events(self.work().folder.journal_dir))


def start(launch: OpenLaunch, run: str) -> int:
    attempts = launch.state.runs[run].attempts if run in launch.state.runs else ()
    number = max((attempt.number for attempt in attempts), default=0) + 1
    launch.log.append(Started(run=run, attempt=number, slot=0))
    return number


def finish(launch: OpenLaunch, run: str, number: int, outcome: Outcome = Outcome.FINISHED) -> None:
    cause = None if outcome is Outcome.FINISHED else CRASH
    launch.log.append(Ended(run=run, attempt=number, outcome=outcome, cause=cause, wall_s=1.0))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_shards_train_side_by_side_and_neither_closes_what_the_other_runs(scene: Scene) -> None:
    one = scene.launch(scene.a, Shard(1, 2))
    (first, *_) = one.planned()
    number = start(one, first)
    two = scene.launch(scene.b, Shard(2, 2))
    assert not set(one.planned()) & set(two.planned())
    assert {*one.planned(), *two.planned()} == set(scene.state().runs)
    assert scene.state().runs[first].standing == RUNNING
    for run in two.planned():
        finish(two, run, start(two, run))
    finish(one, first, number)
    assert scene.state().runs[first].outcome is Outcome.FINISHED


def test_a_dead_launch_of_another_shard_is_left_to_its_own_shard(scene: Scene) -> None:
    one = scene.launch(scene.a, Shard(1, 2))
    (first, *_) = one.planned()
    start(one, first)
    scene.a.alive.clear()
    scene.launch(scene.a, Shard(2, 2))
    assert [a.outcome for a in scene.state().runs[first].attempts] == [None]
    again = scene.launch(scene.a, Shard(1, 2))
    assert [a.outcome for a in scene.state().runs[first].attempts] == [Outcome.LOST]
    assert first in again.planned()


@pytest.mark.parametrize("take_over", [False, True])
def test_what_an_early_version_runs_elsewhere_stays_open(scene: Scene, take_over: bool) -> None:
    # Its launch made no claim; only its journal is there.
    held = scene.launch(scene.b)
    run, *others = held.planned()
    start(held, run)
    for file in held.claim._folder.claims_dir.iterdir():
        file.unlink()
    (journal,) = held.prepared.work.folder.journal_dir.iterdir()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({**it, "claim": None}) + "\n" for it in lines))
    ours = scene.launch(scene.a, take_over=take_over)
    (attempt,) = scene.state().runs[run].attempts
    assert attempt.outcome is (Outcome.LOST if take_over else None)
    assert sorted(ours.planned()) == sorted([run, *others] if take_over else others)


def test_status_on_another_host_is_in_doubt_until_the_launch_is_taken_over(scene: Scene) -> None:
    ours = scene.launch(scene.a)
    run = ours.planned()[0]
    start(ours, run)
    folder = scene.work().folder
    assert snapshot(folder, scene.a.host()).in_doubt == ()
    assert [it.id for it in snapshot(folder, scene.b.host()).in_doubt] == [ours.id]
    scene.launch(scene.b, take_over=True)
    seen = snapshot(folder, scene.a.host())
    assert (seen.in_doubt, seen.alive[ours.writer]) == ((), False)
    assert seen.state.runs[run].attempts[0].outcome is Outcome.LOST


def test_a_result_that_a_dead_host_had_written_is_kept(scene: Scene) -> None:
    theirs = scene.launch(scene.b)
    run = theirs.planned()[0]
    start(theirs, run)
    folder = scene.work().folder
    written = {"id": run, "attempt": 1, "outcome": "finished", "metrics": {"loss": 0.5}}
    write_atomically(folder.run(run).make().result_file, json.dumps(written))
    ours = scene.launch(scene.a, take_over=True)
    assert scene.state().runs[run].outcome is Outcome.FINISHED
    assert run not in ours.planned()


def test_a_ghost_ends_its_runs_and_writes_nothing_more(scene: Scene, tmp_path: Path) -> None:
    ghost = scene.launch(scene.b)
    runs = ghost.planned()
    backend = ScriptedBackend(lambda task, wave, slot: Fate(5.0))
    supervisor = Supervisor(
        group=scene.work().folder,
        trainer=scene.work().trainer,
        slots=ghost.prepared.slots,
        policy=Policy(),
        limits=Limits(DiskBudget(tmp_path, tmp_path, ENOUGH, lambda path: ENOUGH), ENOUGH),
        journal=ghost.log,
        backend=backend,
        observe=lambda event: None,
        tick=ghost.claim.check,
        clock=backend.now,
    )
    others: list[OpenLaunch] = []
    backend.after(13.0, lambda: others.append(scene.launch(scene.a, take_over=True)))
    with pytest.raises(ClaimLostError, match="was taken over by another launch"):
        supervisor.run([[("p", (Job(run, 1, {}),)) for run in runs]])
    assert backend.now() < 13.5
    assert all(wave.removed for wave in backend.waves)
    assert backend.closed
    (other,) = others
    before = read_events(scene.work().folder.journal_dir)
    with pytest.raises(ClaimLostError):
        ghost.log.append(LaunchEnded(launch=ghost.id, reason="error"))
    assert read_events(scene.work().folder.journal_dir) == before
    outcomes = [[a.outcome for a in scene.state().runs[run].attempts] for run in runs]
    assert outcomes == [[Outcome.FINISHED], [Outcome.LOST], [], []]
    assert set(other.planned()) == set(runs[1:])


def test_of_two_writers_that_meet_the_finished_one_stays(scene: Scene) -> None:
    # The ghost's last line was on its way when the other host took over.
    ghost = scene.launch(scene.b)
    run = ghost.planned()[0]
    number = start(ghost, run)
    ours = scene.launch(scene.a, take_over=True)
    again = start(ours, run)
    ghost.log._journal.append(Ended(run=run, attempt=number, outcome=Outcome.FINISHED))
    finish(ours, run, again, Outcome.CRASHED)
    state = scene.state().runs[run]
    assert [(a.writer, a.outcome) for a in state.attempts] == [
        (ghost.writer, Outcome.FINISHED),
        (ours.writer, Outcome.CRASHED),
    ]
    assert state.outcome is Outcome.FINISHED


HOSTS = st.sampled_from(["a", "b"])
SHARDS = st.sampled_from([WHOLE, Shard(1, 2), Shard(2, 2), Shard(2, 3)])
ENDS = st.sampled_from([Outcome.FINISHED, Outcome.FINISHED, Outcome.CRASHED, Outcome.DIVERGED])


class TwoHosts(RuleBasedStateMachine):
    """Launches of all kinds on two hosts that begin, train, end, die, and come back from the dead.

    What a launch does between its start and its end is written by hand here, as its supervisor
    would write it; claims, recovery, plans, journal and fold are the real ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.scene = Scene(Path(self.place.name), runs=6)
        self.living: list[OpenLaunch] = []
        self.fallen: list[OpenLaunch] = []  # taken over, but not dead: ghosts
        self.dead: list[OpenLaunch] = []  # not known to be, except on their host
        self.running: dict[str, dict[str, int]] = defaultdict(dict)  # by launch: run → attempt
        self.ended: dict[str, set[str]] = defaultdict(set)

    def teardown(self) -> None:
        self.complete()
        for launch in [*self.living, *self.fallen, *self.dead]:
            launch.log._journal.close()
            if launch.claim._lock is not None:
                launch.claim.release()
        self.place.cleanup()

    @initialize()
    def some_launch(self) -> None:
        self.living.append(self.scene.launch(self.scene.a, Shard(1, 2)))

    def standing(self) -> list[OpenLaunch]:
        return [*self.living, *self.dead]

    @rule(host=HOSTS, shard=SHARDS, take_over=st.booleans())
    def begin(self, host: str, shard: Shard, take_over: bool) -> None:
        machine = self.scene.a if host == "a" else self.scene.b
        before = self.scene.state()
        rivals = [it for it in self.standing() if it.claim.owner.shard.overlaps(shard)]
        lives_here = [it for it in rivals if it in self.living and it.machine is machine]
        elsewhere = [it for it in rivals if it.machine is not machine]
        try:
            launch = self.scene.launch(machine, shard, take_over=take_over)
        except BusyError:
            assert lives_here or (elsewhere and not take_over)
            assert self.scene.state() == before
            return
        assert not lives_here
        assert take_over or not elsewhere
        for rival in rivals:
            if rival in self.living:
                self.living.remove(rival)
                self.fallen.append(rival)
            else:
                self.dead.remove(rival)
        finished = {k for k, run in before.runs.items() if run.outcome is Outcome.FINISHED}
        assert not finished & set(launch.planned())
        assert all(shard.holds(run) for run in launch.planned())
        self.living.append(launch)

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def start_a_run(self, data: st.DataObject) -> None:
        launch = data.draw(st.sampled_from(self.living))
        busy, over = self.running[launch.id], self.ended[launch.id]
        left = [run for run in launch.planned() if run not in busy and run not in over]
        if left:
            run = left[0]
            state = self.scene.state().runs[run]
            assert state.outcome is not Outcome.FINISHED
            assert not any(run in self.running[other.id] for other in self.living)
            busy[run] = start(launch, run)

    @precondition(lambda self: any(self.running[it.id] for it in self.living))
    @rule(data=st.data(), outcome=ENDS)
    def end_a_run(self, data: st.DataObject, outcome: Outcome) -> None:
        launch = data.draw(st.sampled_from([it for it in self.living if self.running[it.id]]))
        run = data.draw(st.sampled_from(sorted(self.running[launch.id])))
        finish(launch, run, self.running[launch.id].pop(run), outcome)
        self.ended[launch.id].add(run)

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def end_a_launch(self, data: st.DataObject) -> None:
        launch = data.draw(st.sampled_from(self.living))
        for run, number in self.running.pop(launch.id, {}).items():
            finish(launch, run, number, Outcome.STOPPED)
        launch.log.append(LaunchEnded(launch=launch.id, reason="stopped"))
        launch.log._journal.close()
        launch.claim.release()
        self.living.remove(launch)
        del launch.machine.alive[launch.here.pid]

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        launch = data.draw(st.sampled_from(self.living))
        self.living.remove(launch)
        self.dead.append(launch)
        del launch.machine.alive[launch.here.pid]

    @rule(host=HOSTS)
    def reboot(self, host: str) -> None:
        machine = self.scene.a if host == "a" else self.scene.b
        machine.reboot()
        self.dead += [it for it in self.living if it.machine is machine]
        self.living = [it for it in self.living if it.machine is not machine]

    @precondition(lambda self: self.fallen)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        ghost = data.draw(st.sampled_from(self.fallen))
        before = self.scene.state()
        with pytest.raises(ClaimLostError):
            ghost.claim.check()
        for run, number in self.running[ghost.id].items():
            with pytest.raises(ClaimLostError):
                finish(ghost, run, number)
        ghost.claim.release()
        assert self.scene.state() == before

    @invariant()
    def what_lives_stays_open(self) -> None:
        folder = self.scene.work().folder
        for machine in (self.scene.a, self.scene.b):
            seen = snapshot(folder, machine.host())
            for launch in self.living:
                lives = True if launch.machine is machine else None
                assert seen.alive[launch.writer] is lives
                for run, number in self.running[launch.id].items():
                    (attempt,) = [
                        it
                        for it in seen.state.runs[run].attempts
                        if (it.writer, it.number) == (launch.writer, number)
                    ]
                    assert attempt.running
                    assert attempt.outcome is None
            for launch in self.dead:
                known = False if launch.machine is machine else None
                assert seen.alive[launch.writer] is known
            for ghost in self.fallen:
                assert seen.alive[ghost.writer] is False

    @invariant()
    def nothing_is_doubled(self) -> None:
        for run in self.scene.state().runs.values():
            assert sum(a.outcome is Outcome.FINISHED for a in run.attempts) <= 1
            holders = [it for it in self.living if run.id in self.running[it.id]]
            assert len(holders) <= 1

    def complete(self) -> None:
        """Nothing is lost: whatever has happened, one more launch completes the sweep."""
        self.scene.b.reboot()
        self.scene.a.reboot()
        last = self.scene.launch(self.scene.a, take_over=True)
        for run in last.planned():
            finish(last, run, start(last, run))
        last.log._journal.close()
        last.claim.release()
        state = self.scene.state()
        assert len(state.runs) == 6
        for run_state in state.runs.values():
            good = [a for a in run_state.attempts if a.outcome is Outcome.FINISHED]
            assert len(good) == (0 if run_state.outcome is Outcome.DIVERGED else 1)
            assert all(attempt.outcome is not None for attempt in run_state.attempts)


TestTwoHosts = TwoHosts.TestCase
TestTwoHosts.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
