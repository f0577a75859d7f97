"""One training: data, phases, chunks of steps, validation, the saved models, the evaluation."""

from __future__ import annotations

import contextlib
import math
import time

import jax
import numpy as np

from models.neural_ode import storage
from models.neural_ode.compiled_phases import Stage, make_stages, validate
from models.neural_ode.config import Config
from models.neural_ode.curriculum import draw
from models.neural_ode.evaluation import Solver, measure
from models.neural_ode.model import NeuralODE
from models.neural_ode.phases import segment_ratio
from models.neural_ode.position import (
    Best,
    Position,
    Progress,
    begin_phase,
    checkpoint,
    restored,
)
from models.neural_ode.solve import Workspace
from models.neural_ode.step import Orders, Rows, too_many_unsolved
from models.training import checkpoints
from models.training.device import choose
from models.training.split import split
from models.two_body import Dataset, Units, load
from sweeper.trainer import Diverged, Run

__all__ = ["say", "train_one"]

_SECONDS_PER_CHUNK = 0.5
"""About how long it may take until a request to stop is noticed."""


def say(text: str) -> None:
    """A line for the run's log."""
    print(text, flush=True)


def train_one(config: Config, run: Run) -> dict[str, float]:
    """Train, save and evaluate one config; the metrics of the run.

    Raises Diverged when a loss or gradient isn't finite.
    """
    began = time.perf_counter()
    p = config.parameters
    device = choose(config.device)
    with jax.default_device(device):
        whole = load(config.data.dataset_name, seed=config.data.data_seed)
        # Tests are loaded before the training: a missing file should cost seconds, not hours.
        tests = [load(name, seed=config.data.data_seed) for name in config.data.test_datasets]
        dataset = whole.first(p.num_trajs)
        training, validation = _split(dataset, p.train_val_split)
        units = Units.of(training)
        compiling = time.perf_counter()
        stages = make_stages(config, training, validation, units, device)
        compile_s = time.perf_counter() - compiling
        model = NeuralODE(p.architecture(), rng=np.random.default_rng([config.seed, 0]))
        size = sum(leaf.size for leaf in jax.tree.leaves(model))
        say(f"{size} parameters on {device}, {len(stages)} phases ready in {compile_s:.1f} s")

        at = restored(run, stages, model)
        if at is None:
            total = sum(stage.phase.steps for stage in stages)
            at = begin_phase(stages[0], model, Progress(total), [])
        progress, bests = at.progress, at.bests
        while True:
            model = _run_phase(stages[len(bests)], at, run)
            bests.append(at.best)
            if progress.stopped or len(bests) == len(stages):
                break
            at = begin_phase(stages[len(bests)], model, progress, bests)
        bundle, best_loss = _bundle(units, model, bests, stages[len(bests) - 1])
        run.save(checkpoints.FILE, lambda path: storage.write(path, bundle))

        result = {
            **progress.last,
            "best_loss": best_loss,
            "segment_ratio": segment_ratio(stages[-1].phase.segment, int(dataset.lengths.max())),
            "num_total_orbits": len(whole),
            "num_train_orbits": len(training),
            "num_segments": len(stages[-1].training),
            "num_parameters": size,
            "steps_per_s": progress.step / max(progress.seconds, 1e-9),
        }
        if p.max_unsolved:
            result["unsolved_total"] = progress.unsolved
        if not progress.stopped:
            solver = Solver(p.rtol, p.atol, p.max_steps, device)
            figures, seconds = measure(bundle.model("best"), units, tests, solver)
            compile_s += seconds
            result |= figures
            _say_figures(tests, figures)
    wall_s = time.perf_counter() - began
    say(f"{progress.step} steps in {progress.seconds:.1f} s, {wall_s:.1f} s in all")
    return {**result, "compile_s": compile_s, "wall_s": wall_s}


def _split(dataset: Dataset, fraction: float) -> tuple[Dataset, Dataset]:
    """Training and validation orbits, and logs how they were split."""
    training, validation = split(len(dataset), fraction)
    orbits = f"{len(dataset)} orbits of {dataset.name}"
    if training == validation:
        why = "there is one orbit" if len(dataset) == 1 else f"`train_val_split` is {fraction:g}"
        say(f"{orbits}: all train, and validation uses the same, because {why}")
    else:
        counts = validation.start, len(dataset) - validation.start
        say(f"{orbits}: {counts[0]} train, {counts[1]} validate")
    parts = (
        Dataset(dataset.name, dataset.t[part], dataset.y[part], dataset.elements[part])
        for part in (training, validation)
    )
    first, second = parts
    return first, second


def _run_phase(stage: Stage, at: Position, run: Run) -> NeuralODE:
    """Train one phase from `at` on, which moves along; the model at its end."""
    p, phase, progress = stage.config.parameters, stage.phase, at.progress
    window = list(phase.window)
    say(
        f"phase {stage.number}: {phase.steps} steps at lr {phase.lr:g}, {len(stage.training)} "
        f"segments of {phase.segment} samples in {window}"
        + (f", {at.done} of them done" if at.done else "")
    )
    workspace = stage.chunk.workspace()
    while at.done < phase.steps and not progress.stopped:
        left = p.validation_every - at.done % p.validation_every
        steps = min(_chunk_length(stage, progress), left, phase.steps - at.done)
        workspace = _run_chunk(stage, at, workspace, steps=steps, run=run)
        due = steps == left or at.done == phase.steps
        if due:
            workspace = _validate(stage, at, workspace, run)
        # Before what only a stopped run does: an undisturbed one would not have done it.
        checkpoint(run, at)
        progress.stopped = run.should_stop()
        if progress.stopped and not due:
            workspace = _validate(stage, at, workspace, run)
        run.progress(progress.step / progress.total)
    return at.state.model


def _validate(stage: Stage, at: Position, workspace: Workspace, run: Run) -> Workspace:
    """Validate and log the model, and keep it if it is the best of its phase."""
    found, workspace = validate(stage, at.state.model, workspace)
    run.log(at.progress.step, val_loss=found.loss, val_percent=found.percent, val_rms=found.rms)
    if found.loss < at.best.loss or not math.isfinite(at.best.loss):
        at.best = Best(at.state.model, found.loss)
    return workspace


def _chunk_length(stage: Stage, progress: Progress) -> int:
    """Steps of the next call, so that it takes about half a second."""
    wanted = _SECONDS_PER_CHUNK / progress.per_step_s
    return max(1, min(stage.chunk.program.length, int(wanted)))


def _run_chunk(
    stage: Stage, at: Position, workspace: Workspace, *, steps: int, run: Run
) -> Workspace:
    """Run the next steps of a phase and log each."""
    program, start, progress = stage.chunk.program, at.done, at.progress
    began = time.perf_counter()
    batches = draw(stage.training, program.places, steps, at.rng).padded(program.length)
    lr = np.zeros(program.length, np.float32)
    lr[:steps] = stage.lr[start : start + steps]
    at.state, workspace, rows, done = stage.chunk.run(
        at.state, workspace, batches, Orders(lr, np.int32(steps), True), stage.knobs
    )
    finished = int(done)
    seconds = time.perf_counter() - began
    progress.seconds += seconds
    progress.per_step_s = seconds / steps
    rows = jax.tree.map(np.asarray, rows)
    for k in range(min(finished + 1, steps)):
        progress.step += 1
        progress.last = _metrics(rows, k, float(lr[k]))
        if stage.config.parameters.max_unsolved:
            progress.last["unsolved"] = int(rows.unsolved[k])
        if k == finished:
            _diverge(rows, k, stage, run, progress)
        progress.unsolved += int(rows.unsolved[k])
        run.log(progress.step, **progress.last)
    at.done += steps
    return workspace


def _metrics(rows: Rows, k: int, lr: float) -> dict[str, float]:
    return {
        "loss": float(rows.loss[k]),
        "percent": float(rows.percent[k]),
        "rms": float(rows.rms[k]),
        "lr": lr,
        "gradient_norm": float(rows.gradient_norm[k]),
        "solver_steps_mean": float(rows.attempts_mean[k]),
        "solver_steps_max": int(rows.attempts_max[k]),
        "solver_rejected": float(rows.rejected[k]),
    }


def _diverge(rows: Rows, k: int, stage: Stage, run: Run, progress: Progress) -> None:
    """Log the step that wasn't finite, and raise."""
    with contextlib.suppress(Diverged):
        run.log(progress.step, **progress.last)
    unsolved, loss = int(rows.unsolved[k]), progress.last["loss"]
    count = min(stage.chunk.program.places, len(stage.training))
    fraction = stage.config.parameters.max_unsolved
    if too_many_unsolved(unsolved, count, fraction):
        limit = stage.chunk.program.max_steps
        what = (
            f"the solver failed on {unsolved} of {count} segments (within {limit} steps, or not "
            "finite)" + (f", more than `max_unsolved: {fraction:g}`" if fraction else "")
        )
    elif not math.isfinite(loss):
        what = f"the loss is {loss}"
    else:
        what = f"the gradient's norm is {progress.last['gradient_norm']}"
    raise Diverged(f"{what} at step {progress.step}, phase {stage.number}", step=progress.step)


def _bundle(
    units: Units, final: NeuralODE, bests: list[Best], stage: Stage
) -> tuple[storage.Bundle, float]:
    """All models of the run, and the validation loss of the best.

    Losses of phases with other windows and segment lengths are no common measure, so the best of
    each phase is validated again as the last phase is.
    """
    losses = [bests[-1].loss]
    workspace = stage.chunk.workspace() if len(bests) > 1 else None
    for best in reversed(bests[:-1]):
        assert workspace is not None
        found, workspace = validate(stage, best.model, workspace)
        losses.insert(0, found.loss)
    ranked = [loss if math.isfinite(loss) else math.inf for loss in losses]
    names = [f"phase_{number}" for number in range(1, len(bests) + 1)]
    p = stage.config.parameters
    header = storage.Header(
        architecture=final.architecture,
        units=units,
        best=names[int(np.argmin(ranked))],
        rtol=p.rtol,
        atol=p.atol,
        max_steps=p.max_steps,
    )
    models = {"final": final} | {name: best.model for name, best in zip(names, bests, strict=True)}
    return storage.Bundle(header, models), min(ranked)


def _say_figures(tests: list[Dataset], figures: dict[str, float]) -> None:
    """The evaluation as a small table."""
    columns = ("mean", "median", "theta_deg", "radial_pct", "failed_pct")
    width = max((len(dataset.name) for dataset in tests), default=0)
    for dataset in tests:
        shown = "  ".join(f"{name} {figures[f'{dataset.name}/{name}']:.4g}" for name in columns)
        say(f"{dataset.name:{width}}  {shown}")
