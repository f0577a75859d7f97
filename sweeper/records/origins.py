"""What a launch says of its attempts: which code may have trained them, and whether again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sweeper.records.events import Launched, Recorded, SourcesChanged
from sweeper.records.state import CodeChange

__all__ = ["LOADING_S", "Origins"]

# A worker imports its trainer after its run has been handed out: once for all runs that it trains,
# and within this time, by a heuristic (a new process, with JAX, on a busy host).
LOADING_S = 60.0


class Origins:
    """The launches and the edits of their trainers, by writer.

    What a worker has imported can't be known afterwards: those that were there before an edit go on
    with the old code, new ones load the new code, and a trainer may import more at any time. So an
    attempt may have been trained by any state of the files since its launch began.
    """

    def __init__(
        self,
        launched: Iterable[tuple[Launched, Recorded]],
        changed: Iterable[tuple[SourcesChanged, Recorded]],
    ) -> None:
        self._launches: dict[str, list[tuple[int, Launched]]] = defaultdict(list)
        for launch, recorded in launched:
            self._launches[recorded.writer].append((recorded.seq, launch))
        self._changes: dict[str, list[tuple[int, CodeChange]]] = defaultdict(list)
        for change, recorded in changed:
            known = change.unchanged_until
            moment = recorded.time if known is None else known
            self._changes[recorded.writer].append(
                (recorded.seq, CodeChange(change.sources, change.files, moment))
            )
        for launches in self._launches.values():
            launches.sort(key=lambda item: item[0])
        for changes in self._changes.values():
            changes.sort(key=lambda item: item[0])

    def code_changes(self, writer: str, seq: int) -> tuple[CodeChange, ...]:
        """The edits after a `Launched` of this writer and before its next one."""
        if writer not in self._changes:
            return ()
        until = next((later for later, _ in self._launches[writer] if later > seq), None)
        return tuple(
            change
            for position, change in self._changes[writer]
            if position > seq and (until is None or position < until)
        )

    def again(self, start: Recorded) -> bool:
        """Whether an attempt that starts here decides whatever the earlier outcome."""
        launch = self._launch(start)
        return launch is not None and launch[1].again

    def sources(self, start: Recorded, ended: float | None) -> tuple[str, ...]:
        """The digests of the code that may have trained an attempt; empty where nothing is known.

        `ended` is its end as unix time, None while it runs.
        """
        launch = self._launch(start)
        if launch is None or launch[1].sources is None:
            return ()
        found = [launch[1].sources]
        for change in self.code_changes(start.writer, launch[0]):
            is_before = ended is not None and ended <= change.unchanged_until
            if not is_before and start.time > change.unchanged_until - LOADING_S:
                found.append(change.sources)
        return tuple(dict.fromkeys(found))

    def _launch(self, start: Recorded) -> tuple[int, Launched] | None:
        before = [item for item in self._launches.get(start.writer, ()) if item[0] < start.seq]
        return before[-1] if before else None
