"""Which trainer the records of a group were made with, and whether it may be imported."""

from __future__ import annotations

from pathlib import Path

from sweeper.errors import RecordError
from sweeper.records import GroupState
from sweeper.trainer import DEFAULT_TRAINER, Trainer, canonical_name, load_trainer

__all__ = ["trainer_of"]


def trainer_of(group: str, state: GroupState, named: str | None) -> Trainer:
    """Load the trainer of a group; `named` is the one that the user names, if any.

    Records may be anybody's, so a name in them is compared and never imported on its own word: all
    trainers but the default one must be named. Raises `RecordError` where that is missing or isn't
    the one that the records know, `TrainerError` for one that can't be loaded.
    """
    recorded = (state.launches[-1].trainer if state.launches else None) or DEFAULT_TRAINER
    if named is None and recorded != DEFAULT_TRAINER:
        raise RecordError(
            f"group `{group}` was trained by {recorded!r}; a name in records is never imported on "
            f"its own word: if you trust it, add\n  --trainer {recorded}"
        )
    if named is not None and canonical_name(named) != recorded:
        raise RecordError(f"group `{group}` was trained by {recorded!r}, not by {named!r}")
    return load_trainer(recorded, search=[Path.cwd()])
