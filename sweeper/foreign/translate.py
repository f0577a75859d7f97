"""Which tool a file is of, and its translation."""

from __future__ import annotations

from pathlib import Path

from sweeper.config.problems import Report
from sweeper.config.yaml_nodes import parse
from sweeper.config.yaml_text import read_text
from sweeper.errors import ConfigError, Mark
from sweeper.foreign.draft import Draft
from sweeper.foreign.hydra_overrides import from_config, from_overrides, is_hydra
from sweeper.foreign.wandb_sweep import from_wandb, is_wandb

__all__ = ["translated"]

_NEITHER = (
    "is neither a sweep of W&B (`method`, `parameters`) nor one of Hydra (`hydra: {sweeper: "
    "{params: …}}`, or overrides such as `lr=1e-3,1e-2`)"
)


def translated(path: Path) -> str:
    """Our sweep file for one of another tool's. Raises `ConfigError` with every error."""
    text, report = read_text(path)
    draft = _draft(text, path.name, report) if text is not None else None
    if draft is None or report.errors():
        raise ConfigError(report.errors())
    return draft.text()


def _draft(text: str, source: str, report: Report) -> Draft | None:
    inner = Report(report.file, report.lines)
    root = parse(text, inner)
    if root is None:
        found = from_overrides(text, source, report)
        if found is None and Path(source).suffix in (".yaml", ".yml"):
            report.problems += inner.problems
        elif found is None:
            report.error(Mark(), _NEITHER)
        return found
    report.problems += inner.problems
    if is_wandb(root):
        return from_wandb(root, source, report)
    if is_hydra(root):
        return from_config(root, source, report)
    report.error(root.mark, _NEITHER)
    return None
