"""The events of the journal: one dataclass a kind.

`sweeper.records.event_codec` turns them into lines and back; what a launch does with them is in
`sweeper.records.fold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeper.records.outcomes import Cause, Outcome

__all__ = [
    "KINDS",
    "Ended",
    "Evaluated",
    "EvaluationStarted",
    "Event",
    "HeldBack",
    "LaunchEnded",
    "Launched",
    "Noted",
    "Planned",
    "Recorded",
    "Removed",
    "SourcesChanged",
    "Started",
    "WaveEnded",
    "WaveStarted",
]


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A launch begins. `purpose` is ``train``, ``retry`` or ``evaluate``.

    `pid_start` distinguishes a process from a later one with the same `pid`; `boot`, `namespace`
    and `machine` say where that pid can be seen (see `sweeper.host.identity`). `job` is that of a
    batch system, `shard` the part of the sweep (``i/n``), `claim` the number of the file that
    claims it. `total` counts the runs of the whole sweep; `resources` are what each run gets, as
    plain data; `sweep_sha` is a hash of the ids of its runs, so that it changes with whatever
    changes one of them. `renamed` has the trainer's new keys of parameters by their old ones.
    `sources` is the digest of the trainer's source files, which
    ``sources/<digest>.json`` lists. `to_train` counts the runs that it was to train at its start.
    With `again` its attempts decide once they have ended, whatever
    the earlier outcome of their runs.
    """

    launch: str
    host: str | None = None
    pid: int | None = None
    pid_start: str | None = None
    boot: str | None = None
    namespace: str | None = None
    machine: str | None = None
    job: str | None = None
    shard: str | None = None
    claim: int | None = None
    cpus: int | None = None
    slots: int | None = None
    version: str | None = None
    trainer: str | None = None
    purpose: str = "train"
    resources: Mapping[str, Any] = field(default_factory=dict)
    total: int | None = None
    sweep_sha: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    sources: str | None = None
    again: bool = False
    to_train: int | None = None


@dataclass(frozen=True, kw_only=True)
class SourcesChanged:
    """The trainer's source files were edited while the launch ran.

    `sources` is their digest now, `files` are the names of those that changed (the first ones of
    many). At `unchanged_until`, a unix time, they were still as before.
    """

    sources: str
    files: tuple[str, ...] = ()
    unchanged_until: float | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Some runs of the sweep with their axis values, by run id; a large sweep has several of these.

    `fixed` is what all of them share: the trainer's name under ``trainer``, and every parameter
    that is no axis by its dotted key, defaults included. So two runs of a group are replicates only
    where these agree too. `headline` names the metric that ranks runs, the smallest first or with
    `maximise` the largest; `units` are those of metrics, by name or pattern. `names` are what the
    sweep file calls its runs, by run id.
    """

    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    headline: str | None = None
    maximise: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WaveStarted:
    """A Ray session begins, with `runs` runs to do on `slots` slots."""

    wave: int
    runs: int | None = None
    slots: int | None = None


@dataclass(frozen=True, kw_only=True)
class Started:
    """An attempt at a run begins in a slot."""

    run: str
    attempt: int
    wave: int | None = None
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An attempt has ended. `of` is the writer that started it, where that is another one.

    `metrics` are the final ones. `restored_step` is the step of the checkpoint that it went on
    from, `restored_sources` are the digests of the code that trained up to there.
    """

    run: str
    attempt: int
    outcome: Outcome
    cause: Cause | None = None
    wave: int | None = None
    of: str | None = None
    last_step: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    rss_peak_bytes: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    restored_step: int | None = None
    restored_sources: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EvaluationStarted:
    """The evaluation of a trained run begins; it changes no outcome."""

    run: str
    attempt: int
    wave: int | None = None
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The evaluation of a trained run has ended; its metrics join those of the run."""

    run: str
    attempt: int
    outcome: Outcome
    cause: Cause | None = None
    wave: int | None = None
    last_step: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    rss_peak_bytes: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """Runs with certain axis values, a text, fail alike and come after all others, for a `reason`.

    `released` takes it back: a run with such values has finished.
    """

    where: str
    reason: str = ""
    released: bool = False


@dataclass(frozen=True, kw_only=True)
class WaveEnded:
    """A Ray session is over: ``done``, or the reason why it died.

    Startup, training and shutdown are the times of its phases, as far as it got.
    """

    wave: int
    reason: str
    processes_reaped: int | None = None
    startup_s: float | None = None
    training_s: float | None = None
    shutdown_s: float | None = None
    scratch_peak_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class LaunchEnded:
    """A launch is over: ``done``, ``stopped``, ``paused`` or ``error``, with what it said."""

    launch: str
    reason: str
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A user has removed what was trained of a run: no attempt that began before this counts."""

    run: str


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A user's note on a run, or without `run` on the group; an empty one takes back the last."""

    run: str | None = None
    text: str = ""


Event = (
    Launched
    | SourcesChanged
    | Planned
    | WaveStarted
    | Started
    | Ended
    | EvaluationStarted
    | Evaluated
    | HeldBack
    | WaveEnded
    | LaunchEnded
    | Removed
    | Noted
)

KINDS: Mapping[str, type[Event]] = {
    "launched": Launched,
    "sources_changed": SourcesChanged,
    "planned": Planned,
    "wave_started": WaveStarted,
    "started": Started,
    "ended": Ended,
    "evaluation_started": EvaluationStarted,
    "evaluated": Evaluated,
    "held_back": HeldBack,
    "wave_ended": WaveEnded,
    "launch_ended": LaunchEnded,
    "removed": Removed,
    "noted": Noted,
}


@dataclass(frozen=True)
class Recorded:
    """An event as the journal has it.

    `seq` is the position among the lines of `writer`: the order within one writer, whatever its
    clock does; -1 where unknown. `time` is in seconds since 1970 by the writer's clock; 0.0 where
    unknown.
    """

    event: Event
    writer: str
    seq: int
    time: float
