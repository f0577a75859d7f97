"""Learning rates over a phase."""

import numpy as np
import pytest

from models.training.config import LrSchedule
from models.training.schedules import SCHEDULES, learning_rates


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_run_from_the_rate_to_its_fraction(schedule: LrSchedule) -> None:
    rates = learning_rates(schedule, 1e-2, 11, 0.1)
    assert rates.shape == (11,)
    assert rates[0] == pytest.approx(1e-2)
    middle, last = {
        "constant": (1e-2, 1e-2),
        "cosine": (0.55e-2, 1e-3),
        "exponential": (1e-2 * 0.1**0.5, 1e-3),
    }[schedule]
    assert rates[5] == pytest.approx(middle)
    assert rates[-1] == pytest.approx(last)
    assert (np.diff(rates) <= 0).all()
    assert learning_rates(schedule, 1e-2, 1, 0.1) == pytest.approx([1e-2])
