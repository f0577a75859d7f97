"""Which of the trajectories train, and which validate. No arrays, because plans need it too."""

from __future__ import annotations

__all__ = ["split", "train_count"]


def train_count(total: int, fraction: float) -> int:
    """How many of `total` trajectories train, at least one; the others validate."""
    return max(1, min(total, round(total * fraction)))


def split(total: int, fraction: float) -> tuple[slice, slice]:
    """The trajectories that train and those that validate: the first `fraction`, and the rest.

    Where nothing would be left to validate (fraction 1, one trajectory), validation uses the
    training trajectories.
    """
    first = train_count(total, fraction)
    training = slice(0, first)
    return training, slice(first, total) if first < total else training
