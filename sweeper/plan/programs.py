"""Which runs share a compiled program."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any

__all__ = ["Programs"]


class Programs:
    """Names program keys: equal keys get equal names, different keys different ones.

    A name is a short digest of the key's `repr`, so the same sweep always has the same names.
    A key that can't be hashed (a config with a list in it) is distinguished by its `repr`.
    """

    def __init__(self) -> None:
        self._names: dict[Hashable, str] = {}
        self._taken: set[str] = set()

    def name(self, key: Any) -> str:
        """The name of the program with this key. Raises whatever the key's `repr` raises."""
        try:
            known = self._names.get(key)
        except TypeError:
            key = ("key that can't be hashed", repr(key))
            known = self._names.get(key)
        if known is not None:
            return known
        digest = hashlib.sha256(repr(key).encode("utf-8", "replace")).hexdigest()[:10]
        # Unequal keys may look alike in print: a long array, an object with a short `repr`.
        name, again = digest, 1
        while name in self._taken:
            again += 1
            name = f"{digest}-{again}"
        self._names[key] = name
        self._taken.add(name)
        return name
