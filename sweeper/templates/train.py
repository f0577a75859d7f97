"""A training that sweep.yaml sweeps: a line is fitted to noisy points by gradient descent."""

import random
from dataclasses import dataclass

headline = "slope_error"  # ranks the runs, the smallest first


@dataclass(frozen=True)
class Config:
    """Every parameter, with its type and its default."""

    lr: float = 0.1
    steps: int = 100
    noise: float = 0.1
    seed: int = 0


def check(config):
    """Why valid values don't work together; asked for every run before any starts."""
    return ["with lr >= 2 the descent overshoots"] if config.lr >= 2 else []


def train(configs, runs):
    """Train one config; what is logged is kept, and what is returned goes to the tables."""
    [config], [run] = configs, runs
    rng = random.Random(config.seed)
    points = [(x / 50, 3 * x / 50 + rng.gauss(0, config.noise)) for x in range(-50, 51)]
    slope, loss = 0.0, 0.0
    for step in range(config.steps):
        errors = [(x, slope * x - y) for x, y in points]
        loss = sum(error**2 for _, error in errors) / len(points)
        run.log(step, loss=loss)
        run.progress(step / config.steps)
        if run.should_stop():
            break
        slope -= config.lr * sum(2 * error * x for x, error in errors) / len(points)
    run.save("slope.txt", lambda path: path.write_text(f"{slope}\n"))
    return [{"loss": loss, "slope_error": abs(slope - 3)}]
