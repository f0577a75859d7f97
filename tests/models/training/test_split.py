"""Which trajectories train and which validate."""

import pytest

from models.training.split import split, train_count


@pytest.mark.parametrize(
    ("total", "fraction", "training", "validation"),
    [
        (10, 0.8, (0, 8), (8, 10)),
        (10, 1.0, (0, 10), (0, 10)),
        (1, 0.5, (0, 1), (0, 1)),
        (3, 0.01, (0, 1), (1, 3)),
        (2, 0.99, (0, 2), (0, 2)),
    ],
)
def test_the_first_train_and_the_rest_validates(
    total: int, fraction: float, training: tuple[int, int], validation: tuple[int, int]
) -> None:
    assert split(total, fraction) == (slice(*training), slice(*validation))
    assert train_count(total, fraction) == training[1]
