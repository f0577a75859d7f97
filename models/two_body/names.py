"""The grammar of dataset names: ``{family}_TBP[_planar][_fixnu0]_{N}[_train|_test]``."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from models.two_body.errors import DatasetError

__all__ = [
    "FAMILIES",
    "MOST_ORBITS",
    "SPLITS",
    "DatasetName",
    "is_name",
    "name_problems",
    "parse_name",
]

FAMILIES = ("complex", "simple", "circular")
SPLITS = ("train", "test")

MOST_ORBITS = 100_000
"""An orbit takes 20 kB: larger sets would not fit a worker's memory."""

ARTIFACT_PREFIX = "wandb:"
"""How the name of a W&B artifact begins."""

_WORDS = (*FAMILIES, "TBP", "planar", "fixnu0", *SPLITS)
_PATTERN = re.compile(
    rf"(?P<family>{'|'.join(FAMILIES)})_TBP(?P<planar>_planar)?(?P<fixnu0>_fixnu0)?"
    rf"_(?P<orbits>[1-9][0-9]*)(?:_(?P<split>{'|'.join(SPLITS)}))?"
)
_GRAMMAR = "{complex|simple|circular}_TBP[_planar][_fixnu0]_{number of orbits}[_train|_test]"


@dataclass(frozen=True)
class DatasetName:
    """What a dataset's name says; `str(name)` writes it again.

    `family` decides the eccentricities, `planar` puts all orbits into the x-y plane, `fixnu0`
    starts each at periapsis. Sets of different `split` ("train", "test" or "") are independent
    draws.
    """

    family: str
    planar: bool
    fixnu0: bool
    orbits: int
    split: str

    def __str__(self) -> str:
        parts = [self.family, "TBP"]
        parts += ["planar"] * self.planar + ["fixnu0"] * self.fixnu0
        parts += [str(self.orbits)] + [self.split] * bool(self.split)
        return "_".join(parts)


def is_name(text: str) -> bool:
    """Whether `text` is read by the grammar of names: it means no file and no W&B artifact."""
    is_file = "/" in text or text.endswith((".npz", ".parquet"))
    return not (is_file or text.startswith(ARTIFACT_PREFIX))


def parse_name(text: str) -> DatasetName:
    """Read a dataset's name. Raises DatasetError, which names the nearest valid name."""
    match = _PATTERN.fullmatch(text)
    if not match:
        raise DatasetError(
            f"dataset {text!r}: not a name of the form {_GRAMMAR}; "
            f"did you mean `{nearest_name(text)}`?"
        )
    orbits = int(match["orbits"])
    if orbits > MOST_ORBITS:
        raise DatasetError(
            f"dataset {text!r}: `orbits <= {MOST_ORBITS}` must hold, but got orbits={orbits}"
        )
    return DatasetName(
        family=match["family"],
        planar=bool(match["planar"]),
        fixnu0=bool(match["fixnu0"]),
        orbits=orbits,
        split=match["split"] or "",
    )


def name_problems(text: str) -> list[str]:
    """What is wrong with a dataset's name, as sentences; files and artifacts aren't checked."""
    if not is_name(text):
        return []
    try:
        parse_name(text)
    except DatasetError as error:
        return [str(error)]
    return []


def nearest_name(text: str) -> str:
    """The valid name whose parts are most like those of `text`; what is missing is filled in."""
    family, planar, fixnu0, orbits, split = "complex", False, False, 10, ""
    for part in re.split(r"[^A-Za-z0-9]+", text):
        if part.isdecimal() and int(part) > 0:
            orbits = min(int(part), MOST_ORBITS)
            continue
        lowered = {word.lower(): word for word in _WORDS}
        close = difflib.get_close_matches(part.lower(), lowered, n=1, cutoff=0.5)
        word = lowered[close[0]] if close else ""
        if word in FAMILIES:
            family = word
        elif word in SPLITS:
            split = word
        planar |= word == "planar"
        fixnu0 |= word == "fixnu0"
    return str(DatasetName(family, planar, fixnu0, orbits, split))
