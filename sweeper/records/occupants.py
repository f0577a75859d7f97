"""Who works on a group right now, or may: from its claims and its journal together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sweeper.host.identity import Host
from sweeper.records.claims import owner_lives, read_claims
from sweeper.records.layout import GroupFolder
from sweeper.records.state import Launch

__all__ = ["Occupant", "occupants"]


@dataclass(frozen=True)
class Occupant:
    """A launch or command that holds a group. `lives` is None where this host can't know it.

    `since` is unix time by the clock of its host, 0 where unknown.
    """

    launch: str
    host: str | None
    pid: int | None
    job: str | None
    shard: str | None
    since: float
    lives: bool | None

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return asdict(self)


def occupants(
    folder: GroupFolder,
    launches: Iterable[Launch],
    alive: Mapping[str, bool | None],
    here: Host,
) -> tuple[Occupant, ...]:
    """Who holds the group and isn't provably dead, by start.

    A claim counts before its launch has written a word; so does a `launches` entry without a claim,
    as of earlier versions. `alive` says by writer which of them live.
    """
    found = {
        launch.id: Occupant(
            launch.id,
            launch.host,
            launch.pid,
            launch.job,
            None if launch.shard.is_whole else str(launch.shard),
            launch.started,
            alive.get(launch.writer, False),
        )
        for launch in launches
        if alive.get(launch.writer, False) is not False
    }
    for owner in read_claims(folder).owners:
        lives = owner_lives(owner, folder, here)
        if lives is not False:
            shard = None if owner.shard.is_whole else str(owner.shard)
            found[owner.launch] = Occupant(
                owner.launch,
                owner.process.host,
                owner.process.pid,
                owner.job,
                shard,
                owner.since,
                lives,
            )
    return tuple(sorted(found.values(), key=lambda it: (it.since, it.launch)))
