"""The packs of a wave that wait for a slot."""

from __future__ import annotations

from collections.abc import Collection

from sweeper.engine.protocol import Task
from sweeper.plan.queue import Queue

__all__ = ["TaskQueue"]


class TaskQueue(Queue[tuple[Task, ...]]):
    """A queue of packs from which runs can be taken back."""

    def take_back(self, runs: Collection[str] | None = None) -> tuple[str, ...]:
        """Take these runs, or all, out of the line; returns those that were in it, in line.

        What is left of a pack keeps its place.
        """
        waiting = list(self)
        self.clear()
        taken: list[str] = []
        for program, tasks in waiting:
            kept = () if runs is None else tuple(task for task in tasks if task.run not in runs)
            taken += [task.run for task in tasks if task not in kept]
            if kept:
                self.add(program, kept)
        return tuple(taken)
