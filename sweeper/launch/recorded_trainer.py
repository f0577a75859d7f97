"""Which trainer the records of a group were made with, and whether it may be imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sweeper.errors import RecordError, TrainerError
from sweeper.extras import how_to_install, missing
from sweeper.launch.known_trainers import MOST_FOLDERS, remember, remembered
from sweeper.records import GroupFolder, GroupState
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


def trainer_of(folder: GroupFolder, state: GroupState, named: str | None) -> Trainer:
    """Load the trainer of a group; `named` is the one that the user names, if any.

    Records may come from somebody else, so no module is imported just because they name it: it is
    the default one, or this user has launched the group with it before, or names it. Raises
    `RecordError` if that name is missing or isn't the recorded one, `TrainerError` if the trainer
    can't be loaded.
    """
    recorded = (state.launches[-1].trainer if state.launches else None) or DEFAULT_TRAINER
    if named is None:
        return load_trainer(recorded, search=_trusted_search(folder, recorded))
    if canonical_name(named) != recorded:
        raise RecordError(f"group `{folder.group}` was trained by {recorded!r}, not by {named!r}")
    known = remembered(folder.path, recorded, os.environ)
    before = known.search if known is not None and known.refusal is None else ()
    search = list(dict.fromkeys([Path.cwd(), *before]))
    trainer = load_trainer(recorded, search=search[:MOST_FOLDERS])
    remember(folder.path, trainer, os.environ)
    return trainer


def _trusted_search(folder: GroupFolder, recorded: str) -> Sequence[Path]:
    """Where to look for a trainer that nobody has named. Raises `RecordError` if it isn't known."""
    if recorded == DEFAULT_TRAINER:
        return [Path.cwd()]
    known = remembered(folder.path, recorded, os.environ)
    if known is not None and known.refusal is None:
        return known.search
    refused = f", nor from where you launched it ({known.refusal})" if known else ""
    raise RecordError(
        f"group `{folder.group}` was trained by {recorded!r}, which isn't imported just because "
        f"the records name it{refused}: if you trust it, add\n  --trainer {recorded}"
    )
