"""Seconds per training step of the neural ODE, compared with diffrax under vmap, one step per call.

Both train the same network (width 64, depth 2, leaky_relu) on the same batches from the same
weights, with the same tolerances; only the way the solver and the loop are run differs. Times are
CPU seconds of this process, on one CPU, so other work on the machine disturbs them less.

    python -m benchmarks training_step [--steps N] [--segments 4 18 36 360] [--orbits 10]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

ROW = "{:>8} {:>6} {:>9} {:>11} {:>11} {:>6}   {:>9} {:>9}   {:>7} {:>7}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks training_step")
    parser.add_argument("--steps", type=int, default=150, help="steps that are timed")
    parser.add_argument("--segments", type=int, nargs="+", default=[4, 18, 36, 360])
    parser.add_argument("--orbits", type=int, default=10)
    options = parser.parse_args(arguments)
    # Before JAX starts: its thread pools take the width that they find.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{options.steps} steps on {options.orbits} orbits, one CPU; ms of CPU time per step")
    print(
        ROW.format(
            "segment",
            "batch",
            "solver",
            "ours",
            "diffrax",
            "ratio",
            "ready, s",
            "diffrax",
            "loss",
            "diffrax",
        )
    )
    print(ROW.format("", "", "attempts", "ms/step", "ms/step", "", "", "", "", ""))
    for segment in options.segments:
        print(compare(options.orbits, segment, options.steps), flush=True)
    return 0


def compare(orbits: int, segment: int, steps: int) -> str:
    """One row of the table."""
    import jax
    import numpy as np

    from models.neural_ode.compiled_phases import make_stages
    from models.neural_ode.config import Config, Data
    from models.neural_ode.curriculum import draw
    from models.neural_ode.model import NeuralODE
    from models.two_body import Units, load

    config = Config(data=Data(dataset_name=f"complex_TBP_planar_{orbits}_train"), device="cpu")
    parameters = dataclasses.replace(config.parameters, segment_length_strategy=(segment,))
    config = dataclasses.replace(config, parameters=parameters)
    data = load(config.data.dataset_name)
    units = Units.of(data)

    def batches(count: int, rng: Any) -> Any:
        return draw(stage.training, stage.chunk.program.places, count, rng)

    def model() -> NeuralODE:
        return NeuralODE(parameters.architecture(), rng=np.random.default_rng(0))

    began = time.process_time()
    [stage] = make_stages(config, data, data, units, jax.devices("cpu")[0])
    ready = time.process_time() - began
    ours, loss, attempts = time_ours(stage, model(), steps, batches)
    naive, naive_ready, naive_loss = time_diffrax(parameters, model(), steps, batches)
    real = min(stage.chunk.program.places, len(stage.training))
    return ROW.format(
        segment,
        real,
        f"{attempts:.1f}",
        f"{1e3 * ours:.2f}",
        f"{1e3 * naive:.2f}",
        f"{naive / ours:.1f}",
        f"{ready:.1f}",
        f"{naive_ready:.1f}",
        f"{loss:.3f}",
        f"{naive_loss:.3f}",
    )


def time_ours(
    stage: Any, model: Any, steps: int, batches: Callable[[int, Any], Any]
) -> tuple[float, float, float]:
    """Seconds per step, last loss, mean attempts of the solver on a segment."""
    import numpy as np

    from models.neural_ode.step import Orders, fresh_state

    chunk, rng = stage.chunk, np.random.default_rng(1)
    length = chunk.program.length
    state, workspace = fresh_state(model, chunk.program.optimiser), chunk.workspace()
    rates = np.full(length, 1e-3, np.float32)
    done, attempts, rows, part = 0, 0.0, None, 0
    began = time.process_time()
    while done < steps:
        part = min(length, steps - done)
        orders = Orders(rates, np.int32(part), True)
        some = batches(part, rng).padded(length)
        state, workspace, rows, _ = chunk.run(state, workspace, some, orders, stage.knobs)
        attempts += float(np.asarray(rows.attempts_mean)[:part].sum())
        done += part
    assert rows is not None
    loss = float(np.asarray(rows.loss)[part - 1])
    return (time.process_time() - began) / steps, loss, attempts / steps


def time_diffrax(
    parameters: Any, model: Any, steps: int, batches: Callable[[int, Any], Any]
) -> tuple[float, float, float]:
    """The plain way, seconds per step, seconds to compile, last loss."""
    import diffrax
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from models.neural_ode.losses import percent, sum_up

    controller = diffrax.PIDController(rtol=parameters.rtol, atol=parameters.atol)

    def solve(model: Any, t: Any, y0: Any) -> Any:
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, model: model(y)),
            diffrax.Tsit5(),
            t[0],
            t[-1],
            None,
            y0,
            args=model,
            saveat=diffrax.SaveAt(ts=t),
            stepsize_controller=controller,
            max_steps=parameters.max_steps,
            throw=False,
        ).ys

    def loss(model: Any, t: Any, y: Any, real: Any) -> Any:
        predicted = jax.vmap(solve, (None, 0, 0))(model, t, y[:, 0])
        return percent(sum_up(predicted, y, jnp.arange(len(t)) < real))

    optimiser = optax.adam(1e-3)

    @jax.jit
    def step(model: Any, memory: Any, t: Any, y: Any, real: Any) -> Any:
        found, gradient = jax.value_and_grad(loss)(model, t, y, real)
        updates, memory = optimiser.update(gradient, memory)
        return optax.apply_updates(model, updates), memory, found

    rng, memory = np.random.default_rng(1), optimiser.init(model)
    first = batches(1, np.random.default_rng(0))
    began = time.process_time()
    compiled = step.lower(model, memory, first.t[0], first.y[0], first.real[0]).compile()
    ready = time.process_time() - began
    found = 0.0
    began = time.process_time()
    for _ in range(steps):
        some = batches(1, rng)
        model, memory, found = compiled(model, memory, some.t[0], some.y[0], some.real[0])
    last = float(found)
    return (time.process_time() - began) / steps, ready, last
