"""Which runs of a sweep a person means, by conditions and by ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from sweeper.config import Sweep
from sweeper.errors import RecordError
from sweeper.records import GroupFolder, Shard
from sweeper.suggest import listed, meant

__all__ = ["chosen_runs"]


def chosen_runs(
    sweep: Sweep,
    folder: GroupFolder,
    runs: Sequence[str],
    where: Sequence[str],
    shard: Shard,
    *,
    limit: int | None = None,
) -> frozenset[str] | None:
    """The ids of the runs that are meant; None where nothing is said, which means all.

    `runs` are ids or their first characters, also as ``GROUP/ID``; any of them is meant. Any of the
    `where` may hold (see `sweeper.config.where`). With both, both must be true. Of what is left,
    `limit` keeps the first so many in the order of the sweep, finished ones counted. Raises
    `RecordError` for an id that the sweep doesn't have and where nothing is left, `ConfigError` for
    a bad condition.
    """
    if not runs and not where and limit is None:
        return None
    matching = {spec.id for spec in (sweep.matching(where) if where else sweep)}
    if where and not matching:
        raise RecordError(f"--where: no run of this sweep fulfils {listed(where)}")
    chosen = frozenset(matching)
    if runs:
        known = {spec.id for spec in sweep} if where else matching
        chosen &= {_found(word, known, folder) for word in runs}
        if not chosen:
            raise RecordError(f"none of these runs fulfils {listed(where)}")
    own = frozenset(filter(shard.holds, chosen))
    if not own:
        raise RecordError(f"none of these runs is in shard {shard}")
    return own if limit is None else _first(own, sweep, limit)


def _first(own: frozenset[str], sweep: Sweep, limit: int) -> frozenset[str]:
    """The first `limit` runs of these, in the order of the sweep."""
    return frozenset(islice((spec.id for spec in sweep if spec.id in own), limit))


def _found(word: str, known: Collection[str], folder: GroupFolder) -> str:
    group, slash, start = word.rpartition("/")
    if slash and group != folder.group:
        raise RecordError(f"run `{word}` is of another group than `{folder.group}`")
    fits = [start] if start in known else sorted(run for run in known if run.startswith(start))
    if len(fits) == 1 and start:
        return fits[0]
    if len(fits) > 1:
        raise RecordError(f"`{word}` could be {len(fits)} runs: {listed(fits)}; type more of it")
    earlier = start and any(run.startswith(start) for run in folder.run_ids())
    hint = "; it is of an earlier file of this group" if earlier else meant(start, sorted(known))
    raise RecordError(f"this sweep has no run `{word}`{hint}")
