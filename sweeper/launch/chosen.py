"""Which runs of a sweep a person means: by conditions, by ids, or the first few."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from sweeper.config import Sweep
from sweeper.errors import RecordError
from sweeper.records import WHOLE, GroupFolder, Shard
from sweeper.suggest import listed, meant

__all__ = ["RunChoice", "chosen_runs"]


@dataclass(frozen=True)
class RunChoice:
    """What a person says of the runs that are meant.

    `runs` are ids or their first characters, also as ``GROUP/ID``; any of them is meant. Any of the
    `where` may hold (see `sweeper.config.where`). With both, both must be true. Of what is left,
    the first `limit` runs in the file's order are meant.
    """

    runs: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is said, which means all runs."""
        return not self.runs and not self.where and self.limit is None


def chosen_runs(
    sweep: Sweep, folder: GroupFolder, choice: RunChoice, shard: Shard = WHOLE
) -> tuple[str, ...] | None:
    """The ids of the runs that are meant, in the file's order; None for all of them.

    Of those that are meant, only the ones in the shard are returned. Raises `RecordError` for an id
    that the sweep doesn't have and where nothing is left, `ConfigError` for a bad condition.
    """
    if choice.is_all:
        return None
    runs, where = choice.runs, choice.where
    specs = sweep.matching(where) if where else iter(sweep)
    matching = [spec.id for spec in (specs if runs else islice(specs, choice.limit))]
    if where and not matching:
        raise RecordError(f"--where: no run of this sweep fulfils {listed(where)}")
    if runs:
        known = {spec.id for spec in sweep} if where else set(matching)
        named = {_found(word, known, folder) for word in runs}
        matching = [run for run in matching if run in named][: choice.limit]
        if not matching:
            raise RecordError(f"none of these runs fulfils {listed(where)}")
    own = tuple(filter(shard.holds, matching))
    if not own:
        raise RecordError(f"none of these runs is in shard {shard}")
    return own


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
