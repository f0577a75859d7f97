"""Trainings that were interrupted end with the same bits as undisturbed ones, in every phase."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
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
        latent_size=2, hidden_size=8, width=8, depth=1, steps=24, batch_size=4, validation_every=6
    ),
)
FAMILIES: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "neural_ode": (neural_ode.train, NEURAL),
    "latent_ode": (latent_ode.train, LATENT),
}
LATENT_ODE = pytest.param("latent_ode", marks=pytest.mark.faults)  # half a minute to compile


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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """What the training of a family leaves if nothing happens."""

    @functools.cache
    def train_whole(family: str) -> Done:
        train, config = FAMILIES[family]
        folder = RunFolder(tmp_path_factory.mktemp("whole") / "run")
        run = attempt(folder, 1)
        [result] = train([config], [run])
        return left(folder, run, result)

    return train_whole


MORE = [pytest.param(case, marks=pytest.mark.faults) for case in range(2, 8)]


@pytest.mark.parametrize("case", [0, 1, *MORE])
@pytest.mark.parametrize("family", ["neural_ode", LATENT_ODE])
def test_interrupted_anywhere_it_ends_with_the_same_bits(
    family: str, case: int, undisturbed: Callable[[str], Done], tmp_path: Path
) -> None:
    """Twice: it dies, or it is asked to stop and only then writes a checkpoint."""
    train, config = FAMILIES[family]
    expected = undisturbed(family)
    folder = RunFolder(tmp_path / "run")
    rows = len(expected.rows)
    # Not before the first checkpoint, which a latent ODE may write after 6 steps.
    first, second = sorted(random.Random(f"{family} {case}").sample(range(10, rows), 2))
    for number, position in ((1, first), (2, second - first + 8)):
        run = attempt(folder, number, every_s=1e-9 if case % 2 else 1e9)
        run.dies = bool(case % 2)
        run.rows_left = position
        with contextlib.suppress(KeyboardInterrupt):
            train([config], [run])
        run.flush()
    run = attempt(folder, 3)
    [result] = train([config], [run])
    assert run.restored_step is not None
    assert left(folder, run, result) == expected


@pytest.mark.parametrize("family", ["neural_ode", LATENT_ODE])
def test_a_checkpoint_that_can_not_be_used_is_named_and_the_run_begins_anew(
    family: str,
    undisturbed: Callable[[str], Done],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train, config = FAMILIES[family]
    folder = RunFolder(tmp_path / "run")
    train([config], [attempt(folder, 1)])
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
        assert left(folder, run, result) == undisturbed(family)
        assert run.restored_step is None
