"""Which trainer the records of a group were made with, and whether it may be imported."""

from __future__ import annotations

from pathlib import Path

from sweeper.errors import RecordError, TrainerError
from sweeper.extras import how_to_install, missing
from sweeper.records import GroupState
from sweeper.trainer import DEFAULT_TRAINER, Trainer, canonical_name, load_trainer

__all__ = ["check_installed", "lacking", "trainer_of"]


def lacking(trainer: Trainer) -> str | None:
    """What to do about the first package that the trainer's runs import and that is missing."""
    name = missing(trainer.preload)
    return None if name is None else f"trainer {trainer.name!r}: {how_to_install(name)}"


def check_installed(trainer: Trainer) -> None:
    """Raise `TrainerError` if a package is missing that the trainer's runs import.

    Without this, a sweep would be planned well and each of its runs crash.
    """
    problem = lacking(trainer)
    if problem is not None:
        raise TrainerError(problem)


def trainer_of(group: str, state: GroupState, named: str | None) -> Trainer:
    """Load the trainer of a group; `named` is the one that the user names, if any.

    Records may come from somebody else, so no module is imported just because they name it: the
    user must name every trainer but the default one. Raises `RecordError` if that name is missing
    or isn't the recorded one, `TrainerError` if the trainer can't be loaded.
    """
    recorded = (state.launches[-1].trainer if state.launches else None) or DEFAULT_TRAINER
    if named is None and recorded != DEFAULT_TRAINER:
        raise RecordError(
            f"group `{group}` was trained by {recorded!r}, which isn't imported just because the "
            f"records name it: if you trust it, add\n  --trainer {recorded}"
        )
    if named is not None and canonical_name(named) != recorded:
        raise RecordError(f"group `{group}` was trained by {recorded!r}, not by {named!r}")
    return load_trainer(recorded, search=[Path.cwd()])
