"""`sweep rerun --set`: a recorded run with other values, tried or as a run of its own."""

from __future__ import annotations

from support import Bench

RUN = "abcdefgh23"


def planted(bench: Bench) -> None:
    folder = bench.plant(
        "deeds",
        {"event": "launched", "launch": "l", "trainer": "sabotage", "total": 1, "host": "other",
         "resources": {"timeout_s": 77.0}},
        {"event": "planned", "runs": {RUN: {"seed": 3}}, "headline": "loss"},
    )  # fmt: skip
    folder.run(RUN).make().config_file.write_text("deed: finish\nseed: 3\nsteps: 1\n")


def test_other_values_are_tried_without_a_record(bench: Bench) -> None:
    planted(bench)
    before = bench.events("deeds")

    done = bench.sweep("rerun", RUN, "--trainer", "sabotage", "--set", "steps=2")

    assert done.returncode == 0, done.stderr
    assert "loss 0.2\n" in done.stdout  # of step 1: 1 / (1 + 1 + 3)
    assert bench.events("deeds") == before


def test_as_new_it_is_a_sweep_of_one_run_in_a_group_of_its_own(bench: Bench) -> None:
    planted(bench)
    again = ("rerun", RUN, "--trainer", "sabotage")

    same = bench.sweep(*again, "--set", "steps=1", "--as-new")
    assert (same.returncode, same.stdout) == (2, "")
    assert "is run `abcdefgh23` itself; change a value with `--set key=value`" in same.stderr

    done = bench.sweep(*again, "--set", "steps=2", "--as-new")
    assert done.returncode == 0, done.stderr
    [group] = [path.name for path in (bench.path / "runs").iterdir() if path.name != "deeds"]
    state = bench.state(group)
    [run] = state.runs.values()
    assert group == f"deeds-{run.id}"
    assert (run.standing, run.metrics["loss"]) == ("finished", 0.2)
    assert state.launches[0].resources["timeout_s"] == 77.0
    # The copy of its sweep file is the same sweep: nothing is left to train.
    planned = bench.sweep("plan", bench.group(group).sweep_file)
    assert "1: 0 to train, 1 finished" in planned.stdout, planned.stderr
