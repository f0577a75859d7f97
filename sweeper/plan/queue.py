"""Which pack a free slot gets next.

A slot keeps the process, and so the compiled programs, of what it ran before. Compiling costs
seconds where a run may cost a minute, so a slot goes on with its program as long as there is any of
it; then it opens a program that nobody else is compiling or running at the moment, so that slots
spread over the programs; only then does it join another slot's program.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["Queue", "choose"]

T = TypeVar("T")


def choose(waiting: Sequence[str], last: str | None, elsewhere: frozenset[str]) -> int:
    """The position of the pack that a slot should run next.

    `waiting` holds the programs of the waiting packs, `last` the program that the slot ran last
    (None for a new process), `elsewhere` the programs that other slots hold right now. Takes the
    first pack of `last`, else the first whose program is not `elsewhere`, else the first. Raises
    ValueError when nothing waits. `Queue` decides the same without searching the list.
    """
    if not waiting:
        raise ValueError("`len(waiting) > 0` must hold, but nothing waits")
    if last in waiting:
        return waiting.index(last)
    free = (index for index, program in enumerate(waiting) if program not in elsewhere)
    return next(free, 0)


class Queue(Generic[T]):
    """Packs in line, each with its program; hands out each exactly once.

    A decision costs O(s log p) for s slots and p programs, however many packs wait.
    """

    def __init__(self, packs: Iterable[tuple[str, T]] = ()) -> None:
        self._lines: dict[str, deque[tuple[int, T]]] = {}
        # (place of a program's first pack, program); entries whose pack is gone are dropped late.
        self._heads: list[tuple[int, str]] = []
        self._size = 0
        self._next = 0
        for program, pack in packs:
            self.add(program, pack)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """What waits, in line."""
        placed = [
            (place, program, pack) for program, line in self._lines.items() for place, pack in line
        ]
        return iter((program, pack) for _, program, pack in sorted(placed, key=lambda p: p[0]))

    def add(self, program: str, pack: T) -> None:
        """Put a pack at the end of the line."""
        line = self._lines.setdefault(program, deque())
        if not line:
            heapq.heappush(self._heads, (self._next, program))
        line.append((self._next, pack))
        self._next += 1
        self._size += 1

    def take(self, last: str | None, elsewhere: frozenset[str]) -> tuple[str, T] | None:
        """The next pack, with its program, for a slot as in `choose`; None when nothing waits."""
        if not self._size:
            return None
        program = last if last is not None and self._lines.get(last) else self._first(elsewhere)
        line = self._lines[program]
        _, pack = line.popleft()
        self._size -= 1
        if line:
            heapq.heappush(self._heads, (line[0][0], program))
        else:
            del self._lines[program]
        return program, pack

    def clear(self) -> None:
        """Let go of everything that waits."""
        self._lines.clear()
        self._heads.clear()
        self._size = 0

    def _first(self, elsewhere: frozenset[str]) -> str:
        """The program of the first pack that is not `elsewhere`, else of the first pack."""
        passed: list[tuple[int, str]] = []
        found: str | None = None
        while self._heads:
            place, program = self._heads[0]
            line = self._lines.get(program)
            if not line or line[0][0] != place:
                heapq.heappop(self._heads)
            elif program in elsewhere:
                passed.append(heapq.heappop(self._heads))
            else:
                found = program
                break
        for head in passed:
            heapq.heappush(self._heads, head)
        return found if found is not None else passed[0][1]
