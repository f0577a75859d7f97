"""Parameters that a trainer got after runs were recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Formerly"]


@dataclass(frozen=True)
class Formerly:
    """Marks a field that was added later: ``Annotated[float, Formerly(0.0)] = 0.0``.

    `value`, as JSON has it, is what the field amounted to before it existed. While a config has it,
    the field is no part of the run's id, so runs from before keep theirs and aren't trained again.
    It must stay as it is when the default changes: then new runs get new ids, as they should.
    """

    value: Any
