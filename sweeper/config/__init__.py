"""Sweep files: YAML text → typed sweep → runs, with every error reported at once.

The stages, each a module: `yaml_text` (limits) → `yaml_nodes` (places) → `overrides` (`--set`) →
`schema` (what fields accept) → `axes`, `ranges` (one value or several) → `when` (only where) →
`filters`, `grid` (which points) → `expansion` (the runs).
"""

from sweeper.config.diff import differing
from sweeper.config.expansion import Axis, RunSpec
from sweeper.config.overrides import override_config
from sweeper.config.resources import Resources
from sweeper.config.run_config import from_plain, identity, plain, run_id, to_yaml
from sweeper.config.sweep import Sweep, read_sweep
from sweeper.errors import Problem
from sweeper.suggest import nearest
from sweeper.units import duration_s, size_bytes

__all__ = [
    "Axis",
    "Problem",
    "Resources",
    "RunSpec",
    "Sweep",
    "differing",
    "duration_s",
    "from_plain",
    "identity",
    "nearest",
    "override_config",
    "plain",
    "read_sweep",
    "run_id",
    "size_bytes",
    "to_yaml",
]
