"""The supervisor's decisions, on a scripted backend with a simulated clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeper.engine.budgets import DiskBudget
from sweeper.engine.job_queue import Job, WaveJobs
from sweeper.engine.policy import Policy
from sweeper.engine.protocol import Grant, Limit, Task
from sweeper.engine.results import Result, write_result
from sweeper.engine.scripted_backend import Fate, ScriptedBackend, WaveFate
from sweeper.engine.supervisor import End, Limits, Supervisor
from sweeper.errors import HostError
from sweeper.host.cpus import Slot
from sweeper.records import GroupFolder, RunFolder
from sweeper.records.events import (
    Ended,
    Evaluated,
    EvaluationStarted,
    Event,
    Started,
    WaveEnded,
    WaveStarted,
)
from sweeper.records.metrics import append_rows
from sweeper.records.outcomes import Cause, CauseKind, Outcome
from sweeper.trainer import load_trainer

ENOUGH = 1 << 50
CRASH = Cause(CauseKind.EXCEPTION, "no luck", "ValueError", "train.py:7")
E = TypeVar("E")
STARVED = Cause(CauseKind.OUT_OF_MEMORY, "killed by the kernel", "SIGKILL")


def crash(seconds: float = 1.0) -> Fate:
    return Fate(seconds, Outcome.CRASHED, CRASH)


def wave_of(*runs: str, program: str = "p") -> WaveJobs:
    """A wave with a pack for each run."""
    return [(program, (Job(run, 1, {}),)) for run in runs]


def names(count: int) -> list[str]:
    return [f"r{index:02}" for index in range(count)]


@dataclass
class Stage:
    """A supervisor on a scripted backend, and the events that it has written."""

    folder: Path
    fates: Callable[[Task, int, int], Fate] = lambda task, wave, slot: Fate()
    wave_fate: Callable[[int], WaveFate] = lambda number: WaveFate()
    slots: int = 2
    policy: Policy = field(default_factory=Policy)
    memory: int = ENOUGH
    free_disk: Callable[[Path], int] = lambda path: ENOUGH
    scratch_budget: int = ENOUGH
    datasets: tuple[str, ...] | None = None
    proven: Sequence[Mapping[str, Any]] = ()
    signals: Mapping[float, str] = field(default_factory=dict)
    requests: Mapping[float, int] = field(default_factory=dict)
    """How often it is asked to stop by then, from other shells."""
    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backend = ScriptedBackend(self.fates, self.wave_fate)
        self.supervisor = Supervisor(
            group=GroupFolder(self.folder, "scripted"),
            trainer=load_trainer("benchmarks.noop"),
            slots=[Slot(index, (index,)) for index in range(self.slots)],
            policy=self.policy,
            limits=Limits(
                DiskBudget(self.folder, self.folder, self.scratch_budget, self.free_disk),
                self.memory,
            ),
            journal=self,
            backend=self.backend,
            observe=lambda event: None,
            stop_requests=self.requested,
            datasets=self.datasets,
            clock=self.backend.now,
            proven=self.proven,
        )

    def requested(self) -> int:
        due = (n for moment, n in self.requests.items() if moment <= self.backend.now())
        return max(due, default=0)

    def append(self, *events: Event) -> None:
        """The journal: events with their simulated times."""
        self.events += events
        self.times += [self.backend.now()] * len(events)

    def run(self, *waves: WaveJobs) -> End:
        for moment in self.signals:
            self.backend.after(moment, self.supervisor.request_stop)
        end = self.supervisor.run(waves)
        assert self.backend.closed
        assert all(wave.removed for wave in self.backend.waves)
        return end

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def ends(self) -> dict[str, list[Ended]]:
        found: dict[str, list[Ended]] = defaultdict(list)
        for event in self.events:
            if isinstance(event, Ended):
                found[event.run].append(event)
        return found

    def outcomes(self) -> dict[str, list[Outcome]]:
        return {run: [end.outcome for end in ends] for run, ends in self.ends().items()}

    def time_of(self, kind: type[Event], number: int) -> float:
        """When the event of wave `number` was written."""
        return next(
            moment
            for event, moment in zip(self.events, self.times, strict=True)
            if isinstance(event, kind) and getattr(event, "wave", None) == number
        )


def test_each_run_once_on_a_free_slot(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert stage.run(wave_of(*names(5))) == End("done")
    assert stage.outcomes() == {run: [Outcome.FINISHED] for run in names(5)}
    assert stage.backend.waves[0].most_at_once == 2
    assert [type(event) for event in stage.events] == [
        WaveStarted,
        *(Started, Started, Ended, Started, Ended, Started, Ended, Started, Ended, Ended),
        WaveEnded,
    ]


def test_the_journal_says_what_a_wave_took(tmp_path: Path) -> None:
    stage = Stage(tmp_path, wave_fate=lambda _: WaveFate(startup_s=3.0, shutdown_s=2.0))
    stage.run(wave_of(*names(4)))
    assert stage.of(WaveStarted) == [WaveStarted(wave=1, runs=4, slots=2)]
    assert stage.of(WaveEnded) == [
        WaveEnded(
            wave=1,
            reason="done",
            processes_reaped=0,
            startup_s=3.0,
            training_s=2.0,
            shutdown_s=2.0,
            scratch_peak_bytes=0,
        )
    ]
    assert stage.backend.now() == 7.0


def test_runs_of_one_program_keep_their_slot(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run([*wave_of("a1", "a2", program="a"), *wave_of("b1", "b2", program="b")])
    slots = {event.run: event.slot for event in stage.events if isinstance(event, Started)}
    assert slots == {"a1": 0, "a2": 0, "b1": 1, "b2": 1}


def test_the_next_wave_starts_while_the_last_one_drains(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: Fate(10.0))
    stage.run(wave_of(*names(4)), wave_of("next"))
    assert stage.time_of(WaveStarted, 2) < stage.time_of(WaveEnded, 1)
    # Its Ray was ready when the first slot became free: at 6 s + 2 rounds of 10 s.
    started = [
        moment
        for event, moment in zip(stage.events, stage.times, strict=True)
        if isinstance(event, Started) and event.run == "next"
    ]
    assert started == [26.0]


def test_without_overlap_a_wave_starts_when_the_last_one_is_gone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(overlap=False))
    stage.run(wave_of(*names(4)), wave_of("next"))
    assert stage.time_of(WaveStarted, 2) >= stage.time_of(WaveEnded, 1)


def test_never_more_than_two_waves_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, wave_fate=lambda _: WaveFate(shutdown_s=50.0))
    stage.run(*(wave_of(run) for run in names(4)))
    active = most = 0
    for event in stage.events:
        active += isinstance(event, WaveStarted) - isinstance(event, WaveEnded)
        most = max(most, active)
    assert most == 2


def test_a_crash_is_tried_again_as_often_as_asked_and_last(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: crash() if task.run == "r00" else Fate(),
        policy=Policy(retries=2),
        slots=1,
    )
    assert stage.run(wave_of(*names(3))) == End("done")
    assert stage.outcomes()["r00"] == [Outcome.CRASHED] * 3
    started = [event.run for event in stage.events if isinstance(event, Started)]
    assert started == ["r00", "r01", "r02", "r00", "r00"]
    assert [end.attempt for end in stage.ends()["r00"]] == [1, 2, 3]


def test_a_worker_that_vanishes_ends_only_its_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: Fate(dies=task.run == "r01"))
    stage.run(wave_of(*names(3)))
    end = stage.ends()["r01"][0]
    assert end.outcome is Outcome.CRASHED
    assert end.cause == Cause(CauseKind.SIGNAL, "killed by SIGKILL (it vanished)", "SIGKILL")
    assert stage.outcomes()["r00"] == stage.outcomes()["r02"] == [Outcome.FINISHED]


def test_a_run_that_logged_a_bad_loss_has_diverged_however_its_process_ended(
    tmp_path: Path,
) -> None:
    def dies(task: Task, wave: int, slot: int) -> Fate:
        folder = RunFolder(Path(task.folder))
        folder.path.mkdir(parents=True)
        losses = [1.0, float("nan"), 2.0] if task.run == "r01" else [1.0]
        rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses)]
        append_rows(folder.metrics_file, rows)
        return Fate(dies=True)

    stage = Stage(tmp_path, fates=dies)
    stage.run(wave_of("r00", "r01"))
    assert stage.outcomes() == {"r00": [Outcome.CRASHED], "r01": [Outcome.DIVERGED]}
    [end] = stage.ends()["r01"]
    said = "loss is nan at step 1; then: killed by SIGKILL (it vanished)"
    assert (end.cause, end.last_step) == (Cause(CauseKind.NOT_FINITE, said), 1)


def test_a_result_that_the_training_itself_has_written_is_not_believed(tmp_path: Path) -> None:
    def forges(task: Task, wave: int, slot: int) -> Fate:
        folder = RunFolder(Path(task.folder))
        folder.path.mkdir(parents=True)
        write_result(folder, Result(task.run, task.attempt, Outcome.FINISHED))
        return Fate(dies=True)

    stage = Stage(tmp_path, fates=forges)
    stage.run(wave_of("r00"))
    assert stage.outcomes() == {"r00": [Outcome.CRASHED]}


def test_the_pack_of_a_worker_that_vanishes_shares_its_fate(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: Fate(dies=task.run == "a"))
    stage.run([("p", (Job("a", 1, {}), Job("b", 1, {})))])
    assert stage.outcomes() == {"a": [Outcome.CRASHED], "b": [Outcome.CRASHED]}


def test_slots_beside_a_pack_are_not_granted_again_and_again(tmp_path: Path) -> None:
    """The runs of a pack share a slot, so free slots can't be counted by runs."""
    stage = Stage(tmp_path, slots=3, fates=lambda task, wave, slot: Fate(100.0))
    stage.run([("p", (Job("a", 1, {}), Job("b", 1, {}))), *wave_of("c")])
    commands = stage.backend.waves[0].commands
    assert [command.slot for command in commands if isinstance(command, Grant)] == [0, 1, 2]


def test_runs_of_a_dead_wave_are_lost_and_tried_again(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(
            6.0 if task.run == "r02" else 5.0, kills_wave=wave == 1 and task.run == "r03"
        ),
    )
    assert stage.run(wave_of(*names(6))) == End("done")
    assert stage.of(WaveEnded)[0].reason == "the wave ended with status 0"
    for run, outcomes in stage.outcomes().items():
        expected = [Outcome.LOST, Outcome.FINISHED] if run in {"r02", "r03"} else [Outcome.FINISHED]
        assert outcomes == expected, run


def test_a_run_that_takes_its_wave_along_twice_is_tried_alone_then_given_up(tmp_path: Path) -> None:
    """Others that share its waves are lost at most twice, and finish in the end."""
    stage = Stage(tmp_path, fates=lambda task, wave, slot: Fate(kills_wave=task.run == "r00"))
    assert stage.run(wave_of(*names(4))).reason == "done"
    found = stage.outcomes()
    assert found["r00"] == [Outcome.LOST] * 3
    assert all(found[run][-1] is Outcome.FINISHED for run in names(4)[1:])
    alone = stage.backend.waves[-1]
    assert (len(alone.spec.packs), alone.most_at_once) == (1, 1)


def test_a_run_lost_as_often_as_it_is_tried_pauses_while_none_finishes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: Fate(kills_wave=True))
    assert stage.run(wave_of("r00")) == End(
        "paused",
        "run r00 was lost 3 times while none finished: its wave died: the wave ended with status 0",
    )
    assert stage.outcomes() == {"r00": [Outcome.LOST] * 3}


def test_three_barren_waves_end_the_launch(tmp_path: Path) -> None:
    stage = Stage(tmp_path, wave_fate=lambda _: WaveFate(fails="Ray didn't start: OSError: no"))
    with pytest.raises(HostError, match="the last: Ray didn't start: OSError: no"):
        stage.run(wave_of(*names(3)))
    assert len(stage.backend.waves) == 3
    assert stage.backend.closed
    assert stage.of(Ended) == []


def test_a_finished_run_between_dead_waves_starts_the_count_again(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        wave_fate=lambda number: WaveFate(fails="no" if number in {1, 2, 4} else None),
        fates=lambda task, wave, slot: Fate(1.0, kills_wave=wave == 3 and task.run == "r01"),
        slots=1,
    )
    assert stage.run(wave_of(*names(2))) == End("done")
    assert stage.outcomes() == {
        "r00": [Outcome.FINISHED],
        "r01": [Outcome.LOST, Outcome.FINISHED],
    }


def test_the_brake_pauses_when_the_first_runs_all_fail_alike(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: crash())
    end = stage.run(wave_of(*names(30)))
    assert end == End(
        "paused",
        "the last 8 runs all ended as crashed and none has finished: ValueError: no luck at "
        "train.py:7",
    )
    counts = Counter(outcome for outcomes in stage.outcomes().values() for outcome in outcomes)
    assert counts == {Outcome.CRASHED: 10}  # two had begun by then


def test_the_brake_lets_go_when_what_still_runs_finishes(tmp_path: Path) -> None:
    """The drained runs end by themselves; one that finishes shows that not everything fails."""
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(0.9) if task.run in {"r08", "r09"} else crash(),
    )
    assert stage.run(wave_of(*names(30))) == End("done")
    assert len(stage.ends()) == 30
    assert len(stage.of(WaveStarted)) == 2


def test_no_brake_beside_a_run_that_goes_on_for_longer_than_the_failures(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path, fates=lambda task, wave, slot: Fate(100.0) if task.run == "r00" else crash()
    )
    assert stage.run(wave_of(*names(20))) == End("done")
    assert stage.outcomes()["r00"] == [Outcome.FINISHED]
    assert len(stage.of(WaveStarted)) == 1


@pytest.mark.parametrize(
    ("policy", "finishing"), [(Policy(brake_after=0), "none"), (Policy(), "r03")]
)
def test_no_brake_where_it_is_off_or_a_run_has_finished(
    tmp_path: Path, policy: Policy, finishing: str
) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate() if task.run == finishing else crash(),
        policy=policy,
    )
    assert stage.run(wave_of(*names(20))) == End("done")
    assert len(stage.ends()) == 20


def test_a_run_over_its_time_limit_is_killed_with_its_pack(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(hangs=task.run == "a"),
        policy=Policy(timeout_s=5.0),
    )
    stage.run([("p", (Job("a", 1, {}), Job("b", 1, {}))), *wave_of("c")])
    assert stage.outcomes() == {
        "a": [Outcome.TIMED_OUT],
        "b": [Outcome.TIMED_OUT],
        "c": [Outcome.FINISHED],
    }
    end = stage.ends()["a"][0]
    assert end.cause == Cause(CauseKind.TIME_LIMIT, "ran longer than its timeout of 5 s")
    assert end.wall_s is not None
    assert 5.0 < end.wall_s <= 6.5


def test_time_before_a_worker_has_begun_does_not_count(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(4.0, began_after_s=100.0),
        policy=Policy(timeout_s=5.0),
    )
    stage.run(wave_of("r00"))
    assert stage.outcomes() == {"r00": [Outcome.FINISHED]}


def test_a_stop_ends_running_runs_at_their_next_step_and_starts_no_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: Fate(60.0), signals={10.0: "INT"})
    assert stage.run(wave_of(*names(5)), wave_of("later")) == End("stopped")
    assert stage.outcomes() == {"r00": [Outcome.STOPPED], "r01": [Outcome.STOPPED]}
    assert stage.backend.now() < 13.0


def test_a_second_stop_kills_what_does_not_obey(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(1000.0, obeys=task.run == "r00"),
        signals={10.0: "INT", 40.0: "INT"},
    )
    assert stage.run(wave_of(*names(2))) == End("stopped")
    causes = {run: ends[0].cause for run, ends in stage.ends().items()}
    assert causes == {
        "r00": Cause(CauseKind.ASKED_TO_STOP, "stopped at a step"),
        "r01": Cause(CauseKind.ASKED_TO_STOP, "stopped at once, as asked"),
    }
    assert {end.outcome for ends in stage.ends().values() for end in ends} == {Outcome.STOPPED}
    assert 40.0 <= stage.backend.now() < 42.0


def test_a_stop_does_not_wait_for_workers_that_never_begin(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(began_after_s=100.0, obeys=False),
        signals={30.0: "INT"},
    )
    assert stage.run(wave_of(*names(2))) == End("stopped")
    assert stage.backend.now() < 32.0


def test_a_stop_does_not_wait_for_a_ray_that_starts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, wave_fate=lambda _: WaveFate(startup_s=60.0), signals={2.0: "USR1"})
    assert stage.run(wave_of(*names(2))) == End("stopped")
    assert [end.reason for end in stage.of(WaveEnded)] == ["stopped before it had started"]
    assert stage.backend.now() < 3.0


def test_a_ray_that_does_not_start_is_given_up(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path, wave_fate=lambda number: WaveFate(hangs_at_start=number == 1, says="disk")
    )
    assert stage.run(wave_of(*names(2))) == End("done")
    assert stage.of(WaveEnded)[0].reason == "Ray hadn't started after 122 s: disk"
    assert stage.outcomes() == {run: [Outcome.FINISHED] for run in names(2)}
    assert 122.0 < stage.backend.now() < 142.0


def test_a_worker_that_does_not_start_is_given_up(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(began_after_s=1e4 * (wave == 1)),
        slots=100,
    )
    assert stage.run(wave_of("r00")) == End("done")
    assert stage.of(WaveEnded)[0].reason == "the worker of run r00 hadn't started after 220 s"
    assert stage.outcomes() == {"r00": [Outcome.LOST, Outcome.FINISHED]}


def test_a_ray_that_does_not_shut_down_is_given_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, wave_fate=lambda _: WaveFate(hangs_at_end=True))
    assert stage.run(wave_of(*names(2))) == End("done")
    assert stage.of(WaveEnded)[0].reason == "Ray hadn't shut down 60 s after the last run"
    assert 60.0 < stage.backend.now() < 72.0


def test_a_wave_with_too_much_scratch_is_drained_and_its_runs_go_on_in_the_next(
    tmp_path: Path,
) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(4.0),
        wave_fate=lambda number: WaveFate(scratch_bytes=lambda age_s: int(age_s) * (number == 1)),
        scratch_budget=20,
    )
    assert stage.run(wave_of(*names(12))) == End("done")
    assert stage.outcomes() == {run: [Outcome.FINISHED] for run in names(12)}
    assert [event.reason for event in stage.of(WaveEnded)] == ["done", "done"]
    peak = stage.of(WaveEnded)[0].scratch_peak_bytes
    assert peak is not None
    assert peak > 20 * 0.45


def test_a_full_disk_pauses(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(4.0),
        free_disk=lambda path: 0 if stage.backend.now() > 12.0 else ENOUGH,
    )
    end = stage.run(wave_of(*names(20)))
    assert end.reason == "paused"
    assert f"the disk of {tmp_path} is nearly full" in end.message
    assert len(stage.of(Started)) == len(stage.of(Ended)) < 20


def test_what_runs_take_limits_how_many_run_at_once(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(rss_peak_bytes=10**9),
        slots=4,
        memory=4 * 10**9,
    )
    stage.run(wave_of(*names(12)))
    wave = stage.backend.waves[0]
    assert wave.most_at_once == 4  # before the first one had ended
    assert [command for command in wave.commands if isinstance(command, Limit)] == [
        Limit(4),
        Limit(3),
    ]
    assert stage.outcomes() == {run: [Outcome.FINISHED] for run in names(12)}


def test_runs_that_starve_are_tried_at_half_as_many_then_alone(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: (
            Fate(1.0, Outcome.CRASHED, STARVED) if wave < 3 and task.run < "r04" else Fate()
        ),
        slots=4,
    )
    assert stage.run(wave_of(*names(6))) == End("done")
    assert [wave.most_at_once for wave in stage.backend.waves] == [4, 2, 1]
    assert all(outcomes[-1] is Outcome.FINISHED for outcomes in stage.outcomes().values())


def test_an_evaluation_is_journalled_as_one_and_keeps_its_limits(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        fates=lambda task, wave, slot: Fate(hangs=task.run == "r01", metrics={"far/mean": 2.0}),
        policy=Policy(timeout_s=30.0),
        datasets=("far",),
    )
    assert stage.run(wave_of(*names(2))) == End("done")
    assert stage.of(Started) == []
    assert stage.of(Ended) == []
    assert len(stage.of(EvaluationStarted)) == 2
    found = {event.run: event for event in stage.events if isinstance(event, Evaluated)}
    assert (found["r00"].outcome, found["r00"].metrics) == (Outcome.FINISHED, {"far/mean": 2.0})
    assert found["r01"].outcome is Outcome.TIMED_OUT
    assert stage.backend.waves[0].spec.packs[0][1][0].datasets == ("far",)


def test_strays_are_killed_once_no_wave_is_active(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.backend.strays = 3
    stage.run(wave_of("r00"))
    assert stage.backend.strays == 0
    assert stage.of(WaveEnded)[0].processes_reaped == 3


def terminated(seconds: float = 1.0) -> Fate:
    cause = Cause(CauseKind.SIGNAL, "ended from outside", "SIGTERM")
    return Fate(seconds, Outcome.CRASHED, cause, obeys=False)


def test_a_run_that_gets_sigterm_alone_has_crashed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, fates=lambda task, wave, slot: terminated())
    assert stage.run(wave_of("r00")) == End("done")
    assert stage.outcomes() == {"r00": [Outcome.CRASHED]}


def test_runs_that_get_sigterm_with_their_launch_are_stopped(tmp_path: Path) -> None:
    """The signal reaches the runs first, at 7 s, and the launch half a second later."""
    stage = Stage(tmp_path, fates=lambda task, wave, slot: terminated(), signals={7.5: "TERM"})
    assert stage.run(wave_of(*names(4))) == End("stopped")
    assert set(map(tuple, stage.outcomes().values())) == {(Outcome.STOPPED,)}
    assert stage.of(Ended)[0].cause == Cause(
        CauseKind.ASKED_TO_STOP, "ended by SIGTERM, as the launch was"
    )


FATES = st.one_of(
    st.builds(Fate, st.floats(0.1, 30.0)),
    st.builds(crash, st.floats(0.1, 30.0)),
    st.builds(Fate, st.floats(0.1, 30.0), dies=st.just(True)),
    st.builds(Fate, st.floats(0.1, 30.0), kills_wave=st.just(True)),
    st.builds(Fate, hangs=st.just(True)),
    st.builds(Fate, st.floats(0.1, 30.0), began_after_s=st.floats(0.0, 40.0)),
)


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[WaveJobs], dict[str, Sequence[Fate]]]:
    """Some waves of packs, and what becomes of each attempt of each run."""
    waves: list[WaveJobs] = []
    fates: dict[str, Sequence[Fate]] = {}
    for wave in range(draw(st.integers(1, 3))):
        packs = []
        for pack in range(draw(st.integers(1, 4))):
            runs = [f"w{wave}p{pack}r{run}" for run in range(draw(st.integers(1, 2)))]
            packs.append((draw(st.sampled_from("abc")), tuple(Job(run, 1, {}) for run in runs)))
            fates |= {run: draw(st.lists(FATES, min_size=4, max_size=4)) for run in runs}
        waves.append(packs)
    return waves, fates


# Stopped while the next wave's Ray starts, which says that it is ready after its end.
STOPPED_AT_THE_START = (
    [[("a", (Job("one", 1, {}),))], [("a", (Job("two", 1, {}),))]],
    {"one": [Fate(1.0)] * 4, "two": [Fate(1.0)] * 4},
)


@settings(max_examples=150, deadline=None)
@given(sweeps(), st.integers(1, 4), st.integers(0, 1), st.lists(st.floats(1.0, 200.0), max_size=2))
@example(STOPPED_AT_THE_START, 1, 0, [6.0])
def test_whatever_happens_every_attempt_ends_once_and_no_slot_is_used_twice(
    tmp_path_factory: pytest.TempPathFactory,
    sweep: tuple[list[WaveJobs], dict[str, Sequence[Fate]]],
    slots: int,
    retries: int,
    stops: list[float],
) -> None:
    waves, fates = sweep
    stage = Stage(
        tmp_path_factory.getbasetemp() / "whatever",
        fates=lambda task, wave, slot: fates[task.run][min(task.attempt, 4) - 1],
        slots=slots,
        policy=Policy(timeout_s=50.0, retries=retries),
        signals=dict.fromkeys(stops, "INT"),
    )
    try:
        end = stage.run(*waves)
    except HostError:
        end = End("paused", "the host gave up")
    started = Counter((e.run, e.attempt) for e in stage.events if isinstance(e, Started))
    ended = Counter((e.run, e.attempt) for e in stage.events if isinstance(e, Ended))
    assert set(started.values()) <= {1}
    assert started == ended
    if end == End("done"):
        assert {run for run, _ in ended} == fates.keys()
    busy: dict[int, set[str]] = defaultdict(set)
    packs = {job.run: id(jobs) for wave in waves for _, jobs in wave for job in jobs}
    places: dict[str, int] = {}
    for event in stage.events:
        if isinstance(event, Started):
            assert event.slot is not None
            assert all(packs[other] == packs[event.run] for other in busy[event.slot])
            busy[event.slot].add(event.run)
            places[event.run] = event.slot
        elif isinstance(event, Ended):
            busy[places.pop(event.run)].discard(event.run)
    assert len(stage.of(WaveStarted)) == len(stage.of(WaveEnded))


def test_a_request_from_elsewhere_stops_at_the_next_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lambda task, wave, slot: Fate(100.0), requests={20.0: 1})
    assert stage.run(wave_of(*names(3))) == End("stopped")
    assert stage.outcomes() == {run: [Outcome.STOPPED] for run in names(2)}


def test_a_request_from_elsewhere_to_stop_at_once_waits_for_no_step(tmp_path: Path) -> None:
    deaf = Fate(1000.0, obeys=False)
    stage = Stage(tmp_path, lambda task, wave, slot: deaf, requests={20.0: 2})
    assert stage.run(wave_of(*names(2))) == End("stopped")
    assert stage.backend.now() < 30.0


def test_a_signal_and_a_polite_request_are_no_request_to_stop_at_once(tmp_path: Path) -> None:
    slow = Fate(40.0, obeys=False)
    stage = Stage(
        tmp_path, lambda task, wave, slot: slow, signals={20.0: "SIGINT"}, requests={21.0: 1}
    )
    assert stage.run(wave_of(*names(2))) == End("stopped")
    assert stage.outcomes() == {run: [Outcome.FINISHED] for run in names(2)}
