"""Disjoint parts of a sweep, for launches on several hosts."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass

from sweeper.errors import SweeperError

__all__ = ["WHOLE", "Shard"]


@dataclass(frozen=True)
class Shard:
    """The `index`-th (from 1) of `count` parts; every run is in exactly one of them.

    The run's id decides alone, so a grid that grows moves no run from one part to another.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``i/n``. Raises `SweeperError`."""
        shard = _shard_in(text.strip())
        if shard is None:
            raise SweeperError(
                f"expected a shard `i/n` with 1 <= i <= n, `1/4` say, but got {text!r}"
            )
        return shard

    @classmethod
    def read(cls, text: str | None) -> Shard:
        """From a record; what it doesn't say is taken for the whole."""
        return _shard_in(text or "") or WHOLE

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole sweep."""
        return self.count == 1

    def holds(self, run_id: str) -> bool:
        """Whether the run is in this part."""
        digest = hashlib.sha256(run_id.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index - 1

    def overlaps(self, other: Shard) -> bool:
        """Whether a run could be in both; exact, by the Chinese remainder theorem."""
        return (self.index - other.index) % math.gcd(self.count, other.count) == 0


WHOLE = Shard()


def _shard_in(text: str) -> Shard | None:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    shard = Shard(int(match[1]), int(match[2])) if match else None
    return shard if shard and 1 <= shard.index <= shard.count else None
