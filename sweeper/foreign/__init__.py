"""Sweep files of other tools, W&B and Hydra, translated into ours. Nothing in them is executed."""

from sweeper.foreign.translate import translated

__all__ = ["translated"]
