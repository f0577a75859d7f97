"""The error of this package: a dataset that can't be named, made or read."""

from __future__ import annotations

__all__ = ["DatasetError"]


class DatasetError(ValueError):
    """A dataset's name, file or artifact that can't be used; the text says why and how to fix it.

    A `ValueError`, so that a config with a wrong name reports it as an invalid value.
    """
