"""A sweep file that is being written: keys with their values, and comments on what has no equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sweeper.config.run_config import inline_yaml
from sweeper.config.sweep_keys import RESERVED
from sweeper.config.yaml_nodes import ListNode, Node, ScalarNode
from sweeper.suggest import shown

__all__ = ["DRAWN", "Draft", "Line", "inline"]

# In place of a distribution that another tool draws from.
DRAWN = 5
_LONGEST_NOTE = 300


@dataclass(frozen=True)
class Line:
    """The value of a key as text, and a comment on it; without a text the key is a comment too."""

    text: str | None
    comment: str = ""


@dataclass
class Draft:
    """A sweep file; `lines` are by dotted key, in order, `notes` are comments at its top."""

    source: str
    trainer: str | None = None
    group: str | None = None
    wandb: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)

    def text(self) -> str:
        """The file."""
        head = [
            f"From {self.source}. Compare the keys with your trainer's Config: sweep plan FILE",
            *self.notes,
        ]
        if self.trainer is None:
            head.append("trainer: the name of your trainer's module, or its file, ./train.py")
        found = [f"# {shown(note, _LONGEST_NOTE)}" for note in head]
        if self.trainer is not None:
            comment = "needs Config and train(configs, runs): docs/your-own-training.md"
            found.append(f"trainer: {inline_yaml(self.trainer)}  # {comment}")
        if self.group is not None:
            found.append(f"group: {inline_yaml(self.group)}")
        if self.wandb:
            inner = ", ".join(f"{key}: {inline_yaml(one)}" for key, one in self.wandb.items())
            found.append(f"wandb: {{{inner}}}")
        tree: dict[str, object] = {}
        for key, line in self.lines.items():
            _place(tree, key, line)
        return "\n".join([*found, "", *_rendered(tree, "")]) + "\n"


def _place(tree: dict[str, object], key: str, line: Line) -> None:
    """Put a line into the tree, in the sections that its dotted key names."""
    *outer, name = key.split(".")
    place = tree
    for word in outer:
        inner = place.get(word)
        if not isinstance(inner, dict):
            inner = place[word] = {}
        place = inner
    place[name] = line


def _rendered(tree: dict[str, object], indent: str) -> Iterator[str]:
    for name, item in tree.items():
        key = inline_yaml(name)
        if isinstance(item, dict):
            below = list(_rendered(item, indent + "  "))
            alone = all(line.lstrip().startswith("#") for line in below)
            yield f"{indent}{'# ' if alone else ''}{key}:"
            yield from below
        elif isinstance(item, Line):
            comment = f"  # {shown(item.comment, _LONGEST_NOTE)}" if item.comment else ""
            if item.text is None or (not indent and name in RESERVED):
                clash = "" if item.text is None else "  # means something else here: rename it"
                yield f"{indent}# {key}: {item.text or ''}".rstrip() + (comment or clash)
            else:
                yield f"{indent}{key}: {item.text}".rstrip() + comment


def inline(node: Node) -> str:
    """A value of a file on one line, numbers as they are written there."""
    if isinstance(node, ScalarNode):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return node.text if number and node.plain else inline_yaml(node.value)
    if isinstance(node, ListNode):
        return f"[{', '.join(map(inline, node.items))}]"
    inner = (f"{inline_yaml(entry.key)}: {inline(entry.value)}" for entry in node.entries)
    return f"{{{', '.join(inner)}}}"
