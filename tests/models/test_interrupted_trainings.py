"""Trainings that were interrupted end with the same bits as undisturbed ones, in every phase."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import pytest
from tiny_trainings import tiny

from models import latent_ode, neural_ode
from models.neural_ode import training
from models.training import resume
from sweeper.engine.checkpoints import last_of, usable
from sweeper.engine.earlier_attempts import set_aside
from sweeper.engine.run_context import RunContext
from sweeper.records.layout import RunFolder
from sweeper.records.metrics import read_rows

TIMING = {"wall_s", "compile_s", "steps_per_s"}
NEURAL = tiny(
    data={"test_datasets": ("simple_TBP_planar_1_test",)},
    length_strategy=((0.0, 0.5), (0.0, 1.0), (0.0, 1.0)),
    lr_strategy=(0.05, 0.1, 0.01),
    steps_strategy=(9, 7, 5),
    validation_every=3,
    width=7,  # a program of its own, because it is compiled quickly
)
LATENT = latent_ode.Config(
    data=latent_ode.Data(
        dataset_name="circular_TBP_planar_10_train",
        stride=24,
        test_datasets=("circular_TBP_planar_2_test",),
    ),
    parameters=latent_ode.Parameters(
        latent_size=2, hidden_size=8, width=8, depth=1, steps=40, batch_size=4, validation_every=6
    ),
)
FAMILIES: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "neural_ode": (neural_ode.train, NEURAL),
    "latent_ode": (latent_ode.train, LATENT),
}


class Interrupted(RunContext):
    """Is asked to stop, or dies, after so many rows."""

    rows_left = math.inf
    dies = False

    def log(self, step: int, **metrics: float) -> None:
        super().log(step, **metrics)
        self.rows_left -= 1
        if self.dies and self.rows_left <= 0:
            self.flush()
            raise KeyboardInterrupt

    def should_stop(self) -> bool:
        return not self.dies and self.rows_left <= 0


def attempt(folder: RunFolder, number: int, every_s: float = 1e-9) -> Interrupted:
    """As a worker begins one."""
    folder.make()
    checkpoint = usable(folder, since=0)
    set_aside(folder, number)
    flag = folder.path / "no-stop-flag"
    run = Interrupted(
        folder.id,
        folder,
        flag,
        attempt=number,
        checkpoint=checkpoint,
        checkpoint_every_s=every_s,
    )
    run.begin()
    return run


@dataclasses.dataclass
class Done:
    """What a training leaves, without the clock."""

    model: bytes
    rows: list[dict[str, float]]
    metrics: dict[str, str]  # as text, so that NaN equals itself


def left(folder: RunFolder, run: RunContext, result: Mapping[str, float]) -> Done:
    run.flush()
    rows = [{k: v for k, v in r.items() if k != "time"} for r in read_rows(folder.metrics_file)]
    metrics = {k: repr(v) for k, v in {**run.metrics, **result}.items() if k not in TIMING}
    return Done((folder.path / "model.eqx").read_bytes(), rows, metrics)


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a neural ODE can be interrupted after any step."""
    monkeypatch.setattr(training, "_SECONDS_PER_CHUNK", 0.0)


@pytest.fixture(autouse=True)
def _quickly_compiled() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("family", FAMILIES)
def test_interrupted_anywhere_it_ends_with_the_same_bits(family: str, tmp_path: Path) -> None:
    train, config = FAMILIES[family]
    whole = RunFolder(tmp_path / "whole")
    run = attempt(whole, 1)
    [result] = train([config], [run])
    undisturbed = left(whole, run, result)
    rows = len(undisturbed.rows)
    chance = random.Random(family)
    restored_steps = set()
    for case in range(4):
        folder = RunFolder(tmp_path / f"interrupted{case}")
        number, positions = 1, sorted(chance.sample(range(1, rows), 2))
        for position, before in zip(positions, [0, *positions], strict=False):
            run = attempt(folder, number, every_s=1e-9 if case % 2 else 1e9)
            # With checkpoints at stops alone only a stop is gone on from.
            run.dies = bool(case % 2)
            run.rows_left = position - before
            try:
                train([config], [run])
            except KeyboardInterrupt:
                run.flush()
            number += 1
        run = attempt(folder, number)
        [result] = train([config], [run])
        restored_steps.add(run.restored_step)
        assert left(folder, run, result) == undisturbed
    assert len(restored_steps - {None}) >= 3


@pytest.mark.parametrize("family", ["neural_ode", "latent_ode"])
def test_a_checkpoint_that_can_not_be_used_is_named_and_the_run_begins_anew(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, config = FAMILIES[family]
    folder = RunFolder(tmp_path / "run")
    run = attempt(folder, 1)
    [result] = train([config], [run])
    undisturbed = left(folder, run, result)
    for number, (old, new, said) in enumerate(
        (
            (b"sweeper model 1", b"sweeper model 9", "has the format 'sweeper model 9'"),
            (b'{"format"', b'{"fo', "is not a model file"),
            (b"", b"", "ends too early or is damaged"),
        ),
        start=2,
    ):
        found = last_of(folder)
        assert found is not None
        file = found.files / resume.FILE
        data = file.read_bytes()
        file.write_bytes(data.replace(old, new, 1) if old else data[:-3])
        capsys.readouterr()
        run = attempt(folder, number)
        [result] = train([config], [run])
        printed = capsys.readouterr().out
        assert "the checkpoint can't be used: " in printed
        assert said in printed
        assert left(folder, run, result) == undisturbed
        assert run.restored_step is None
