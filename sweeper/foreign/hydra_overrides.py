"""Hydra's multirun: overrides such as `lr=1e-3,1e-2`, and configs with `hydra.sweeper.params`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from sweeper.config.problems import Report
from sweeper.config.run_config import inline_yaml
from sweeper.config.yaml_nodes import ListNode, MappingNode, Node, ScalarNode, parse_value
from sweeper.errors import Mark
from sweeper.foreign.draft import DRAWN, Draft, Line, inline
from sweeper.keys import joined
from sweeper.suggest import shown

__all__ = ["from_config", "from_overrides", "is_hydra"]

_CALL = re.compile(r"(\w+)\((.*)\)\Z", re.S)
_PAIRS = {"(": ")", "[": "]", "{": "}"}
# A colon in a mapping of Hydra's needs no blank after it.
_COLON = re.compile(r":(?=\S)")


def is_hydra(root: MappingNode) -> bool:
    """Whether a file is a config of Hydra's."""
    return root.get("hydra") is not None or isinstance(
        getattr(root.get("defaults"), "value", None), ListNode
    )


def from_config(root: MappingNode, source: str, report: Report) -> Draft:
    """The sweep file for a config with its `hydra.sweeper.params`; errors go to the report."""
    draft = Draft(f"{source}, a config of Hydra")
    for entry in root.entries:
        if entry.key == "defaults":
            items = entry.value.items if isinstance(entry.value, ListNode) else ()
            chosen = [inline(item) for item in items if inline(item) != "_self_"]
            draft.notes += [f"defaults, {one}: copy what that file says" for one in chosen]
        elif entry.key != "hydra":
            _fixed(entry.value, entry.key, draft)
    for path, node in _hydra_keys(root.get("hydra")):
        if path.startswith("sweeper.params."):
            key = path.removeprefix("sweeper.params.")
            text = node.text if isinstance(node, ScalarNode) else inline(node)
            _override(key, text, node.mark, draft, report)
        elif not path.startswith("mode"):
            draft.notes.append(f"hydra.{path}: {inline(node)} has no equivalent")
    return draft


def from_overrides(text: str, source: str, report: Report) -> Draft | None:
    """The sweep file for overrides, perhaps after `python train.py -m`; None if there are none."""
    draft = Draft(f"{source}, overrides of Hydra")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    try:
        words = shlex.split(" ".join(line.removesuffix("\\") for line in lines))
    except ValueError:  # a quotation mark that isn't closed
        return None
    found = False
    for word in words:
        key, equals, value = word.partition("=")
        if equals and re.match(r"[+~]*[\w./@-]+\Z", key):
            found = True
            place = Mark(*_place(text, word))
            _override(key, value, place, draft, report)
        elif word.startswith("~"):
            draft.notes.append(f"{word}: nothing is taken out of a Config: leave the key out")
        elif word.endswith(".py"):
            draft.trainer = word if "/" in word else f"./{word}"
    return draft if found else None


def _place(text: str, word: str) -> tuple[int, int]:
    """Line and column of a word, as far as it's found there without its quotation marks."""
    at = max(0, text.find(word.partition("=")[0] + "="))
    before = text[:at].splitlines() or [""]
    return len(before), len(before[-1]) + 1


def _fixed(node: Node, key: str, draft: Draft) -> None:
    """A key of the config itself: one value, unless it depends on others."""
    if isinstance(node, MappingNode) and node.entries:
        for entry in node.entries:
            _fixed(entry.value, joined(key, entry.key), draft)
        return
    text = inline(node)
    if "${" in text:
        draft.lines[key] = Line(None, f"{text} depends on other keys: write the value")
    elif text in ("???", '"???"', "'???'"):
        draft.lines[key] = Line(None, "must be given")
    else:
        draft.lines[key] = Line(text)


def _hydra_keys(entry: object) -> list[tuple[str, Node]]:
    """The keys below `hydra`, written out, those of `params` as they stand."""
    found: list[tuple[str, Node]] = []

    def walk(node: Node, path: str) -> None:
        if not isinstance(node, MappingNode):
            found.append((path, node))
            return
        for one in node.entries:
            below = joined(path, one.key)
            if path == "sweeper.params":
                found.append((below, one.value))
            else:
                walk(one.value, below)

    value = getattr(entry, "value", None)
    if isinstance(value, MappingNode):
        walk(value, "")
    return found


def _override(key: str, text: str, mark: Mark, draft: Draft, report: Report) -> None:
    name = key.lstrip("+")
    if name.startswith("~"):
        draft.notes.append(f"{key}: nothing is taken out of a Config: leave the key out")
    elif name.startswith("hydra"):
        draft.notes.append(f"{key}={text} has no equivalent")
    elif "/" in name or "@" in name:
        draft.notes.append(f"{key}={text}: a choice of config files; copy what they say")
    else:
        line = _line(text)
        if line is None:
            said = f"`{shown(text)}` can't be read: expected values with commas between them"
            report.error(mark, f"{key}: {said}")
        else:
            draft.lines[name] = line


def _line(text: str) -> Line | None:
    """The values of an override; None if they can't be read."""
    items = _split(text)
    if items is None:
        return None
    if len(items) == 1:
        call = _CALL.match(items[0])
        return _value(items[0]) if call is None else _call(call[1], call[2])
    values = [_value(item) for item in items]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    texts = [value.text for value in known if value.text is not None]
    if len(texts) < len(known):
        return Line(None, f"{text} depends on other keys: write the values")
    return Line(f"[{', '.join(texts)}]")


def _call(name: str, inside: str) -> Line | None:
    """What one of Hydra's functions is in ours."""
    found = _split(inside) or []
    named = dict(one.split("=", 1) for one in found if re.match(r"\w+=", one))
    items = [one for one in found if not re.match(r"\w+=", one)]
    if name == "choice":
        return _line(", ".join(items)) if items else None
    if name == "range":
        items += [named[key] for key in ("start", "stop", "step") if key in named]
        items = ["0", *items] if len(items) == 1 else items
        return Line(f"{{range: [{', '.join(items)}]}}") if len(items) in (2, 3) else None
    if name == "interval":
        ends = ", ".join([*items, *(named[key] for key in ("start", "end") if key in named)])
        return Line(f"{{linspace: [{ends}, {DRAWN}]}}", "drawn there: choose how many values")
    if name in ("shuffle", "sort", "tag") and items:
        inner = _line(items[-1] if name == "tag" else ", ".join(items))
        if inner is None or inner.text is None:
            return inner
        if "log" in items[:-1]:
            return Line(inner.text.replace("{linspace:", "{log:"), inner.comment)
        return Line(inner.text, inner.comment or ("" if name == "tag" else "in this order"))
    return Line(None, f"{name}({inside}) has no equivalent: list the values")


def _value(text: str) -> Line | None:
    """One value, in YAML."""
    if "${" in text:
        return Line(None, f"{text} depends on other keys: write the value")
    inner = Report("")
    node = parse_value(_COLON.sub(": ", text) if text[:1] == "{" else text, 1, inner)
    if node is None or inner.errors() or (isinstance(node, ListNode) and node.is_axis):
        return None
    return Line(inline(node) if text else inline_yaml(None))


def _split(text: str) -> Sequence[str] | None:
    """The parts between commas that are in no brackets or quotes; None for brackets left open."""
    parts, closing, quote = [""], [], ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _PAIRS:
            closing.append(_PAIRS[char])
        elif closing and char == closing[-1]:
            closing.pop()
        if char == "," and not closing and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return None if closing or quote else [part.strip() for part in parts]
