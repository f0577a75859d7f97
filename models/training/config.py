"""What a sweep file may set for any training: optimisers, schedules, devices, kinds of numbers.

No JAX here, as in the configs of the families. The catalogues of the same words are
`optimisers.BUILDERS` and `schedules.SCHEDULES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

__all__ = [
    "Adam",
    "AdamW",
    "Count",
    "Device",
    "LrSchedule",
    "Optimiser",
    "Positive",
    "Sgd",
    "Weight",
]

LrSchedule = Literal["constant", "cosine", "exponential"]
Device = Literal["cpu", "gpu", "auto"]

Positive = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, arXiv:1412.6980)."""

    name: Literal["adam"] = "adam"
    b1: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    b2: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    eps: Positive = 1e-8


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    name: Literal["adamw"] = "adamw"
    b1: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    b2: Annotated[float, Interval(ge=0, lt=1)] = 0.999
    eps: Positive = 1e-8
    weight_decay: Weight = 1e-4


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with momentum, Nesterov's or plain."""

    name: Literal["sgd"] = "sgd"
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    nesterov: bool = False


Optimiser = Adam | AdamW | Sgd
