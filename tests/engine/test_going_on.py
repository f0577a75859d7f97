"""A real sweep whose runs are stopped and killed in the middle, and go on from their step."""

from __future__ import annotations

import json
import signal

import pytest
from support import Bench, ended, orderly, wait_until

from sweeper.records import read_rows
from sweeper.records.outcomes import Outcome

SWEEP = """
trainer: walker
group: walk
ends_by: [stop, kill]
resources: {checkpoint_every: 1e-6}
"""


@pytest.mark.faults
def test_runs_go_on_from_their_checkpoints(bench: Bench) -> None:
    file = bench.write("walk", SWEEP)
    group = bench.group("walk")
    launch = bench.start("launch", file, "--cpus", 2)
    wait_until(
        lambda: (
            ended(bench.events("walk")) and len(list(group.path.glob("runs/*/.checkpoint/20"))) == 2
        ),
        state=lambda: bench.events("walk"),
    )
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 130, orderly(output)
    again = bench.sweep("launch", file, "--cpus", 2)
    assert again.returncode == 0, orderly(again.stdout + again.stderr)
    runs = bench.state("walk").runs
    assert len(runs) == 2
    for run in runs.values():
        first, second = run.attempts
        assert first.outcome in (Outcome.STOPPED, Outcome.CRASHED)
        assert (first.restored_step, second.restored_step, second.last_step) == (None, 20, 40)
        folder = group.run(run.id)
        assert [row["step"] for row in read_rows(folder.metrics_file)] == list(range(1, 41))
        said = "[goes on from the checkpoint of attempt 1 at step 20]"
        assert said in folder.log_file.read_text()
        assert not folder.checkpoints.exists()
    shown = bench.sweep("show", next(iter(runs)))
    assert "step 20 (attempt 2)" in shown.stdout
    answer = json.loads(bench.sweep("show", next(iter(runs)), "--json").stdout)
    assert [attempt["restored_step"] for attempt in answer["attempts"]] == [None, 20]
    bench.assert_nothing_is_left()
