"""Sweep files of W&B: `method`, `program`, `parameters`."""

from __future__ import annotations

import math

from sweeper.config.problems import Report
from sweeper.config.sweep_keys import why_no_group
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode
from sweeper.foreign.draft import DRAWN, Draft, Line, inline
from sweeper.keys import joined

__all__ = ["from_wandb", "is_wandb"]

_HANDLED = {"method", "program", "parameters", "project", "entity", "name", "description", "metric"}
_ABOUT_ONE = {"value", "values", "min", "max", "mu", "sigma", "q", "distribution", "parameters"}
# A range of many whole numbers is cut to a few of them.
_MOST_WHOLE = 20


def is_wandb(root: MappingNode) -> bool:
    """Whether a file is a sweep of W&B's, and not one of ours with a section `parameters`."""
    entry = root.get("parameters")
    if entry is None or not isinstance(entry.value, MappingNode):
        return False
    if root.get("method") is not None:
        return True
    values = [one.value for one in entry.value.entries]
    return bool(values) and all(
        isinstance(one, MappingNode) and {inner.key for inner in one.entries} & _ABOUT_ONE
        for one in values
    )


def from_wandb(root: MappingNode, source: str, report: Report) -> Draft:
    """The sweep file that means the same; errors go to the report."""
    draft = Draft(f"{source}, a sweep of W&B")
    texts = {
        entry.key: entry.value.text
        for entry in root.entries
        if isinstance(entry.value, ScalarNode) and entry.value.text
    }
    program = texts.get("program")
    if program is not None:
        draft.trainer = program if "/" in program or not program.endswith(".py") else f"./{program}"
    name = texts.get("name")
    if name is not None and why_no_group(name):
        draft.notes.append(f"name {name}: can't be the name of a group, as it {why_no_group(name)}")
    else:
        draft.group = name
    draft.wandb = {key: texts[key] for key in ("project", "entity") if key in texts}
    if "description" in texts:
        draft.wandb["notes"] = texts["description"]
    _note(root, texts, draft)
    parameters = root.get("parameters")
    assert parameters is not None
    assert isinstance(parameters.value, MappingNode)
    _parameters(parameters.value, "", draft, report)
    return draft


def _note(root: MappingNode, texts: dict[str, str], draft: Draft) -> None:
    """Comments on what sweeper does otherwise, or doesn't have."""
    method = texts.get("method", "grid")
    if method != "grid":
        draft.notes.append(f"method {method}: sweeper trains every combination")
    metric = root.get("metric")
    if metric is not None and isinstance(metric.value, MappingNode):
        words = {one.key: inline(one.value) for one in metric.value.entries}
        name = words.get("name", "loss")
        minus = "-" if words.get("goal") == "maximize" else ""
        draft.notes.append(f'metric {name}: write `headline = "{minus}{name}"` in the trainer')
    for entry in root.entries:
        if entry.key not in _HANDLED:
            draft.notes.append(f"{entry.key}: {inline(entry.value)} has no equivalent")


def _parameters(node: MappingNode, above: str, draft: Draft, report: Report) -> None:
    for entry in node.entries:
        key = joined(above, entry.key)
        if not isinstance(entry.value, MappingNode):
            wanted = "`value`, `values`, `parameters`, or `min` and `max`"
            report.error(entry.value.mark, f"{key}: expected a mapping with {wanted}")
            continue
        own = {one.key: one.value for one in entry.value.entries}
        inner = own.get("parameters")
        if isinstance(inner, MappingNode):
            _parameters(inner, key, draft, report)
            continue
        line = _line(own)
        if line is None:
            line = Line(None, f"has no equivalent: {inline(entry.value)}")
        draft.lines[key] = line


def _line(own: dict[str, Node]) -> Line | None:
    """What one parameter is in ours; None for what there is none for."""
    if "values" in own:
        text = inline(own["values"])
        comment = "probabilities are left out" if "probabilities" in own else ""
        return Line(text, comment) if isinstance(own["values"], ListNode) else None
    if "value" in own:
        return Line(inline(own["value"]))
    numbers = {key: found for key, node in own.items() if (found := _number(node)) is not None}
    kind = inline(own["distribution"]) if "distribution" in own else ""
    if {"min", "max"} <= numbers.keys():
        return _between(kind, numbers, inline(own["min"]), inline(own["max"]))
    if kind in ("normal", "q_normal", "log_normal", "q_log_normal"):
        mu, sigma = numbers.get("mu", 0.0), numbers.get("sigma", 1.0)
        points = [mu - sigma, mu, mu + sigma]
        if "log" in kind:
            points = [_exp(value) for value in points]
        text = ", ".join(f"{value:.15g}" for value in points)
        return Line(f"[{text}]", f"drawn from {kind} there: choose the values")
    return None


def _between(kind: str, numbers: dict[str, float], low: str, high: str) -> Line:
    drawn = f"drawn {f'from {kind}' if kind else 'in between'} there: choose how many values"
    first, last = numbers["min"], numbers["max"]
    if kind in ("log_uniform", "q_log_uniform", "inv_log_uniform"):
        return Line(f"{{log: [{_exp(first):.15g}, {_exp(last):.15g}, {DRAWN}]}}", drawn)
    if "log_uniform_values" in kind:
        return Line(f"{{log: [{low}, {high}, {DRAWN}]}}", drawn)
    if kind == "q_uniform":
        step = numbers.get("q", 1.0)
        return Line(f"{{range: [{low}, {last + step:.15g}, {step:.15g}]}}")
    whole = first.is_integer() and last.is_integer() and "." not in low + high
    if kind == "int_uniform" or (not kind and whole):
        if last - first < _MOST_WHOLE:
            return Line(f"{{range: [{low}, {last + 1:.15g}]}}")
        few = dict.fromkeys(
            round(first + (last - first) * place / (DRAWN - 1)) for place in range(DRAWN)
        )
        return Line(f"[{', '.join(map(str, few))}]", drawn)
    return Line(f"{{linspace: [{low}, {high}, {DRAWN}]}}", drawn)


def _exp(value: float) -> float:
    """e to a power of the file's, which may be one that no number holds."""
    return math.exp(max(-700.0, min(700.0, value)))


def _number(node: Node) -> float | None:
    value = node.value if isinstance(node, ScalarNode) else None
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        found = float(value) if usable else math.nan  # type: ignore[arg-type]
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
