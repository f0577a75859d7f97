"""`sweep launch FILE --again`: finished runs are trained again, chosen by ids and conditions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pretended_hosts import Machine, OpenLaunch, open_launch, sweep_of

from sweeper.cli.text import plan_text
from sweeper.errors import RecordError
from sweeper.launch.chosen import chosen_runs
from sweeper.launch.launch import announce
from sweeper.launch.notes import notes_on
from sweeper.launch.sources import SourceFile, Sources
from sweeper.launch.work import Options, SweepFile
from sweeper.records import WHOLE, GroupState, Outcome, Shard, fold, read_events
from sweeper.records.events import Ended, LaunchEnded, Started


class Scene:
    """A sweep of six runs, each for one seed, that a host launches again and again."""

    def __init__(self, folder: Path) -> None:
        self.file = sweep_of(folder, 6, WHOLE)
        self.machine = Machine("a")
        self.time = itertools.count(1_000_000)
        self.names = (f"{number:08x}" for number in itertools.count(1))
        self.ids = [spec.id for spec in self.file.sweep]

    def launch(
        self,
        runs: Sequence[str] = (),
        where: Sequence[str] = (),
        *,
        again: bool = False,
        shard: Shard = WHOLE,
    ) -> OpenLaunch:
        chosen = chosen_runs(self.file.sweep, self.file.folder, runs, where, shard)
        work: SweepFile = replace(self.file, chosen=chosen, again=again, shard=shard)
        return open_launch(self.machine, work, next(self.names), now=lambda: float(next(self.time)))

    def train(self, launch: OpenLaunch, outcome: Outcome = Outcome.FINISHED) -> None:
        """All that it has planned, and then it ends."""
        for run in launch.planned():
            number = len(launch.state.runs[run].attempts) + 1 if launch.state.runs else 1
            launch.log.append(Started(run=run, attempt=number))
            launch.log.append(Ended(run=run, attempt=number, outcome=outcome, wall_s=1.0))
            self.file.folder.run(run).make()
        self.end(launch)

    def end(self, launch: OpenLaunch) -> None:
        launch.log.append(LaunchEnded(launch=launch.id, reason="done"))
        launch.claim.release()

    def state(self) -> GroupState:
        return fold(read_events(self.file.folder.journal_dir))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.train(scene.launch())
    return scene


def test_without_it_nothing_is_trained_again(scene: Scene) -> None:
    launch = scene.launch(scene.ids[:2])
    assert launch.planned() == []
    assert launch.prepared.plan.done == {"finished": 2}
    assert "nothing to train" in notes_on(launch.prepared).lines[0]


def test_again_trains_all_of_them_or_those_that_are_chosen(scene: Scene) -> None:
    launch = scene.launch(again=True)
    assert sorted(launch.planned()) == sorted(scene.ids)
    scene.end(launch)
    launch = scene.launch(where=["seed=[1,2]"], again=True)
    assert launch.planned() == scene.ids[1:3]
    scene.end(launch)
    launch = scene.launch([scene.ids[1], f"g/{scene.ids[4]}"], ["seed=4"], again=True)
    assert launch.planned() == [scene.ids[4]]
    assert launch.prepared.plan.again == 1


def test_the_new_attempts_decide_and_the_total_stays_that_of_the_sweep(scene: Scene) -> None:
    scene.train(scene.launch(scene.ids[:2], again=True), Outcome.CRASHED)
    state = scene.state()
    assert [run.outcome for run in state.runs.values()] == 2 * [Outcome.CRASHED] + 4 * [
        Outcome.FINISHED
    ]
    assert state.as_planned().total == 6
    # A usual launch then trains them as any that crashed.
    launch = scene.launch()
    assert sorted(launch.planned()) == sorted(scene.ids[:2])
    scene.train(launch)
    assert scene.state().counts()["finished"] == 6


def test_a_launch_that_dies_meanwhile_leaves_runs_that_are_trained_again(scene: Scene) -> None:
    launch = scene.launch(scene.ids[:2], again=True)
    launch.log.append(Started(run=scene.ids[0], attempt=2))
    scene.machine.alive.clear()
    assert scene.state().runs[scene.ids[0]].outcome is Outcome.FINISHED
    following = scene.launch()
    assert scene.state().runs[scene.ids[0]].outcome is Outcome.LOST
    assert following.planned() == [scene.ids[0]]


def test_there_is_a_brake_although_runs_have_finished_before(scene: Scene) -> None:
    launch = scene.launch(again=True)
    work = launch.prepared.work
    assert work.policy(launch.state, Options()).brake_after > 0
    assert scene.file.policy(launch.state, Options()).brake_after == 0


def test_the_plan_says_what_is_chosen_and_what_is_trained_again(scene: Scene) -> None:
    plan = scene.launch(where=["seed=[0,1,2]"], again=True).prepared
    text = plan_text({**plan.work.describe(plan.plan), "slots": 1})
    assert "3: 3 to train (0 new, 3 again)" in text
    assert "3 of the sweep's 6 runs" in text


def test_a_run_that_the_sweep_lacks_is_named_with_the_nearest(scene: Scene) -> None:
    def error(*runs: str, where: Sequence[str] = (), shard: Shard = WHOLE) -> str:
        with pytest.raises(RecordError) as caught:
            scene.launch(runs, where, again=True, shard=shard)
        return str(caught.value)

    near = scene.ids[3]
    assert error(near[:-1] + "1") == (
        f"this sweep has no run `{near[:-1]}1`; did you mean `{near}`?"
    )
    scene.file.folder.run("0earlier0").make()
    assert error("0ear") == "this sweep has no run `0ear`; it is of an earlier file of this group"
    assert error("other/abc") == "run `other/abc` is of another group than `g`"
    assert "type more of it" in error("")
    assert error(near, where=["seed=0"]) == "none of these runs fulfils `seed=0`"
    shard = next(it for it in (Shard(1, 2), Shard(2, 2)) if not it.holds(near))
    assert error(near, shard=shard) == f"none of these runs is in shard {shard}"


def test_runs_of_other_code_are_counted_and_those_without_a_folder_named(scene: Scene) -> None:
    file = scene.file.sweep.path
    old, new = (
        Sources({"t.py": SourceFile(Path("t.py"), sha, (0, 0, 0))}) for sha in ("old", "new")
    )
    launch = scene.launch(scene.ids[:3], again=True)
    announce(replace(launch.prepared, sources=old), launch.log)
    scene.train(launch)
    scene.file.folder.run(scene.ids[5]).path.rmdir()
    after = replace(scene.launch().prepared, sources=new)
    notes = notes_on(after)
    # Nothing is known of the three others: their launch didn't record its code.
    assert notes.plain() == {
        "other_code": {"runs": {"finished": 3}, "changed": ["t.py"]},
        "without_folder": [scene.ids[5]],
    }
    assert notes.lines == (
        f"3 finished runs were trained by other code than today's (changed: t.py); "
        f"`sweep launch {file} --again` trains them again",
        f"1 finished run has no folder any more; `sweep launch {file} {scene.ids[5]} --again` "
        f"trains it again",
    )
    assert notes_on(replace(after, sources=old)).other_code == ()


def test_a_limit_keeps_the_first_of_the_chosen_runs_in_the_order_of_the_sweep(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)

    def chosen(runs: Sequence[str], where: Sequence[str], limit: int) -> list[str]:
        found = chosen_runs(scene.file.sweep, scene.file.folder, runs, where, WHOLE, limit=limit)
        return sorted(found or ())

    first, second, third, *_ = scene.ids
    assert chosen((), (), 2) == sorted([first, second])
    assert chosen((third, second), (), 1) == [second]
    assert chosen((), ("seed=[1,2,3]",), 2) == sorted([second, third])
    assert chosen((), (), 100) == sorted(scene.ids)
