"""What a run may use: `resources` of a sweep file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from sweeper.config.field_types import Coercion, MisfitError
from sweeper.config.parsed_types import Amount
from sweeper.config.problems import Report
from sweeper.config.schema import schema_of
from sweeper.config.section_types import SectionType
from sweeper.config.yaml_nodes import Node, ScalarNode
from sweeper.units import duration_s, size_bytes

__all__ = ["Resources", "Written", "read_resources"]

# What a run may lose: little beside hours, and a checkpoint takes a second or so.
CHECKPOINT_EVERY_S = 300.0


@dataclass(frozen=True)
class Resources:
    """What each run gets, and how the sweep goes about it.

    `memory_per_run` in bytes, `timeout_s` in seconds; None is no limit. `scratch` is the disk space
    in bytes that all temporary files of a launch may fill; None takes a share of what is free.
    `runs_per_wave` None lets the planner choose. `retries` counts attempts after a crash of the
    run's own. `isolation` is ``process`` where each pack gets a process of its own, else ``slot``:
    the runs of a slot share one as long as none spoils it. `checkpoint_every_s` is the shortest
    time between two checkpoints of a run, and for how long it trains before the first; None: never.
    """

    cpus_per_run: int = 1
    memory_per_run: int | None = None
    timeout_s: float | None = None
    runs_per_wave: int | None = None
    retries: int = 0
    scratch: int | None = None
    isolation: Literal["slot", "process"] = "slot"
    checkpoint_every_s: float | None = CHECKPOINT_EVERY_S


_Duration = Annotated[float, Amount(duration_s, "a duration (`10 min`, or a number of seconds)")]
_Size = Annotated[int, Amount(size_bytes, "a size (`2 GB`, or a number of bytes)")]


@dataclass(frozen=True)
class Written:
    """`resources` as a sweep file gives them."""

    cpus_per_run: Annotated[int, Ge(1)] = 1
    memory_per_run: _Size | None = None
    timeout: _Duration | None = None
    runs_per_wave: Annotated[int, Ge(1)] | Literal["auto"] | None = None
    retries: Annotated[int, Ge(0)] = 0
    scratch: _Size | None = None
    isolation: Literal["slot", "process"] = "slot"
    checkpoint_every: _Duration | None = CHECKPOINT_EVERY_S

    def resources(self) -> Resources:
        return Resources(
            cpus_per_run=self.cpus_per_run,
            memory_per_run=self.memory_per_run,
            timeout_s=self.timeout,
            runs_per_wave=None if self.runs_per_wave == "auto" else self.runs_per_wave,
            retries=self.retries,
            scratch=self.scratch,
            isolation=self.isolation,
            checkpoint_every_s=self.checkpoint_every,
        )


def read_resources(node: Node, report: Report) -> Resources:
    """The resources of a sweep file; every error goes to the report."""
    if isinstance(node, ScalarNode) and node.value is None:
        return Resources()
    try:
        written = SectionType((Written,), None, schema_of).fit(node, Coercion.LAX, "resources")
    except MisfitError as error:
        error.add_to(report)
        return Resources()
    found: Resources = written.resources()
    return found
