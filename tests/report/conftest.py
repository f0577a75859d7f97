"""Records like those of the quickstart: two activations, three heads, two seeds, known numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from sweeper.records import GroupFolder, GroupState, JournalWriter, append_rows, fold, read_events
from sweeper.records.events import Ended, Launched, Planned
from sweeper.records.outcomes import Outcome

Runs: TypeAlias = Mapping[str, tuple[dict[str, Any], dict[str, float]]]
"""Id → (axis values, final metrics)."""

ACTIVATIONS = ["tanh", "leaky_relu"]
HEADS = ["mlp_4D_signed", "mlp_4D", "mlp_4D_unit_softplus"]
TEST_SETS = [f"complex_TBP_planar_{orbits}_test" for orbits in (1, 10, 100)]


def quickstart_runs() -> Runs:
    runs: dict[str, tuple[dict[str, Any], dict[str, float]]] = {}
    for a, activation in enumerate(ACTIVATIONS):
        for h, head in enumerate(HEADS):
            for seed in range(2):
                error = (12.0, 2.1)[a] * (1 + 0.3 * h) * (1 + 0.1 * seed)
                metrics = {"loss": error / 4, "percent": error / 5}
                for t, name in enumerate(TEST_SETS):
                    metrics[f"{name}/mean"] = error * (1 + 0.2 * t)
                    metrics[f"{name}/median"] = error / 2
                    metrics[f"{name}/theta_deg"] = error / 3
                    metrics[f"{name}/radial_pct"] = float(h)
                values = {
                    "parameters.activation": activation,
                    "parameters.output_layer": head,
                    "parameters.seed": seed,
                }
                runs[f"run{a}{h}{seed}aaaa"] = (values, metrics)
    return runs


def record(
    folder: GroupFolder,
    runs: Runs,
    outcomes: Mapping[str, str | None] | None = None,
    headline: str = f"{TEST_SETS[1]}/mean",
) -> GroupState:
    """Write a journal; `outcomes` (by id) replaces `finished`, None leaves the run waiting."""
    outcomes = outcomes or {}
    with JournalWriter(folder.make().journal_dir, "w", clock=lambda: 1000.0) as journal:
        journal.append(
            Launched(launch="L", total=len(runs)),
            Planned(headline=headline, runs={run: values for run, (values, _) in runs.items()}),
        )
        for run, (_, metrics) in runs.items():
            outcome = outcomes.get(run, "finished")
            if outcome is not None:
                journal.append(Ended(run=run, outcome=Outcome(outcome), metrics=metrics, attempt=1))
    return fold(read_events(folder.journal_dir))


def record_curves(folder: GroupFolder, runs: Runs, steps: int = 1000) -> None:
    """Write falling losses with noise that needs no random numbers."""
    for run, (_, metrics) in runs.items():
        floor = metrics["loss"]
        rows = [
            {
                "step": step,
                "time": step * 0.01,
                "loss": floor * (1 + 30 * math.exp(-step / 60)) * (1 + 0.3 * math.sin(7.1 * step)),
            }
            for step in range(1, steps + 1)
        ]
        append_rows(folder.run(run).make().metrics_file, rows)


@pytest.fixture
def quickstart(tmp_path: Path) -> GroupFolder:
    """The folder of a finished quickstart."""
    folder = GroupFolder(tmp_path / "runs", "quickstart")
    record(folder, quickstart_runs())
    return folder


@pytest.fixture
def troubled(tmp_path: Path) -> GroupFolder:
    """The folder of a quickstart of which one run crashed, one diverged and one still waits."""
    folder = GroupFolder(tmp_path / "runs", "quickstart")
    runs = quickstart_runs()
    ids = list(runs)
    record(folder, runs, {ids[0]: "crashed", ids[1]: "diverged", ids[5]: None})
    return folder


GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with a file of tests/report/golden; `RENEW_GOLDEN=1` writes the file."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if os.environ.get("RENEW_GOLDEN") == "1":
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert text == file.read_text(), (
            f"{file.name} differs; if the new text is meant: RENEW_GOLDEN=1 pytest tests/report"
        )

    return compare
