"""What a run may use: `resources` of a sweep file, durations and sizes as people write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge

from sweeper.config.field_types import Coercion, FieldType, MisfitError
from sweeper.config.problems import Report
from sweeper.config.schema import schema_of
from sweeper.config.section_types import Schema, SectionType
from sweeper.config.yaml_nodes import Node, ScalarNode
from sweeper.units import _BYTES, duration_s, size_bytes

__all__ = ["Resources", "read_resources"]


@dataclass(frozen=True)
class Resources:
    """What each run gets, and how the sweep goes about it.

    `memory_per_run` in bytes, `timeout_s` in seconds; None is no limit. `scratch` is the disk space
    in bytes that all temporary files of a launch may fill; None takes a share of what is free.
    `runs_per_wave` None lets the planner choose. `retries` counts attempts after a crash of the
    run's own.
    """

    cpus_per_run: int = 1
    memory_per_run: int | None = None
    timeout_s: float | None = None
    runs_per_wave: int | None = None
    retries: int = 0
    scratch: int | None = None


for _power, _letter in enumerate("kmgt", start=1):
    _BYTES |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}


@dataclass(frozen=True)
class _AmountType(FieldType):
    """A positive number, or a text with units that `read` turns into one."""

    what: str
    read: Callable[[str], float]
    whole: bool

    @property
    def expects(self) -> str:
        return self.what

    def fit(self, node: Node, coercion: Coercion, key: str, base: Any = None) -> Any:
        amount: Any = None
        if isinstance(node, ScalarNode):
            if node.value is None:
                return None
            amount = node.value
            if isinstance(amount, str):
                try:
                    amount = self.read(amount)
                except (ValueError, OverflowError):
                    raise self._misfit(node, key) from None
        if isinstance(amount, bool) or not isinstance(amount, int | float):
            raise self._misfit(node, key)
        if not 0 < amount < 1e18 or (self.whole and amount != int(amount)):
            raise self._misfit(node, key)
        return int(amount) if self.whole else float(amount)

    def plain(self, value: Any) -> Any:
        return value

    def holds(self, value: Any) -> bool:
        return value is None or isinstance(value, int | float)


@dataclass(frozen=True)
class _Written:
    """The keys of `resources` that need no units."""

    cpus_per_run: Annotated[int, Ge(1)] = 1
    runs_per_wave: Annotated[int, Ge(1)] | Literal["auto"] | None = None
    retries: Annotated[int, Ge(0)] = 0


def _resources(**values: Any) -> Resources:
    wave = values.pop("runs_per_wave")
    timeout_s = values.pop("timeout")
    return Resources(runs_per_wave=None if wave == "auto" else wave, timeout_s=timeout_s, **values)


def _schema(_: type) -> Schema:
    size = _AmountType("bytes, or a size such as `2 GB`", size_bytes, whole=True)
    duration = _AmountType("seconds, or a duration such as `10 min`", duration_s, whole=False)
    written = schema_of(_Written)
    return Schema(
        _resources,
        {**written.fields, "memory_per_run": size, "scratch": size, "timeout": duration},
        lambda: {
            **written.default_values(),
            "memory_per_run": None,
            "scratch": None,
            "timeout": None,
        },
    )


def read_resources(node: Node, report: Report) -> Resources:
    """The resources of a sweep file; every fault goes to the report."""
    if isinstance(node, ScalarNode) and node.value is None:
        return Resources()
    field_type = SectionType((Resources,), None, _schema)
    try:
        found: Resources = field_type.fit(node, Coercion.LAX, "resources")
    except MisfitError as error:
        error.add_to(report)
        return Resources()
    return found
