"""What `sweep plan` says, from a real sweep file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import folded

from sweeper.config import Sweep, read_sweep
from sweeper.plan import describe, remaining

TRAINER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    segment: int = 4
    window: float = 1.0
    head: str = "signed"
    seed: int = 0

def train(configs, runs):
    pass

def check(config):
    if config.segment > 360 * config.window:
        return [f"segment of {config.segment} is longer than the window"]
    return []

def program_key(config):
    return config.segment
"""

SWEEP = """
trainer: plan_test_trainer
group: segments
segment: [4, 18, 72]
window: [0.1, 1.0]
head: [signed, unit]
seeds: 2
resources: {runs_per_wave: 12}
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "plan_test_trainer.py").write_text(TRAINER)
    (folder / "sweep.yaml").write_text(SWEEP)
    return read_sweep(folder / "sweep.yaml", search=[folder])


def test_a_plan_of_a_real_sweep_file(sweep: Sweep) -> None:
    plan = describe(remaining(sweep, folded([])), sweep)
    json.dumps(plan, allow_nan=False)
    assert (plan["group"], plan["total"], plan["to_train"]) == ("segments", 24, 20)
    assert plan["axes"][0] == {"key": "segment", "label": "segment", "values": [4, 18, 72]}
    assert (plan["programs"], plan["packs"], plan["waves"]) == (3, 20, [12, 8])
    assert len(plan["invalid"]) == 4
    assert plan["invalid"][0]["reasons"] == ["segment of 72 is longer than the window"]
    assert plan["estimate_s"] is None
    assert plan["done"] == {}
    assert len(plan["first"]) == 10
    assert plan["first"][0]["axis_values"] == {
        "segment": 4,
        "window": 0.1,
        "head": "signed",
        "seed": 0,
    }


def test_a_plan_after_a_part_is_done(sweep: Sweep) -> None:
    runs = list(sweep)
    events: list[Mapping[str, object]] = [
        {"event": "planned", "runs": {run.id: run.axis_values for run in runs}}
    ]
    events += [
        {"event": "ended", "run": run.id, "outcome": "finished", "wall_s": 10.0} for run in runs[:4]
    ]
    events += [{"event": "ended", "run": runs[4].id, "outcome": "crashed"}]
    plan = describe(remaining(sweep, folded(events)), sweep)
    assert plan["done"] == {"finished": 4}
    assert plan["failed_before"] == 1
    assert plan["to_train"] == 16
    assert plan["estimate_s"] == pytest.approx(160.0)


def test_zips_and_excluded_points_are_counted_and_programs_only_where_they_are_named(
    tmp_path: Path,
) -> None:
    text = TRAINER.partition("def program_key")[0]
    (tmp_path / "plan_without_programs.py").write_text(text)
    (tmp_path / "s.yaml").write_text(
        "trainer: plan_without_programs\nsegment: [4, 18, 72]\nwindow: [1.0, 2.0, 3.0]\n"
        "head: [a, b]\nzip: [[segment, window]]\nexclude: [{segment: 4, head: b}]\n"
    )
    sweep = read_sweep(tmp_path / "s.yaml", search=[tmp_path])
    events = [
        {"event": "wave_started", "wave": 1},
        {"event": "wave_ended", "wave": 1, "reason": "done", "startup_s": 4.0, "shutdown_s": 2.0},
    ]
    plan = describe(remaining(sweep, folded(events)), sweep)
    assert (plan["zipped"], plan["excluded"], plan["total"]) == ([["segment", "window"]], 1, 5)
    assert (plan["programs"], plan["startup_s"]) == (None, 6.0)
