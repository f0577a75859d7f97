"""The one fault of this room: a dataset that cannot be named, made or read."""

from __future__ import annotations

__all__ = ["DatasetError"]


class DatasetError(ValueError):
    """A dataset's name, file or artifact that doesn't serve; the text says why and the mend.

    A `ValueError`, so that a config which holds a wrong name reports it as an invalid value.
    """
