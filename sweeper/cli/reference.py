"""The command reference, docs/commands.md, made from the commands: ``make reference`` renews it."""

from __future__ import annotations

import re
import sys

from sweeper.cli import app

__all__ = ["reference"]

_HEAD = """\
# Commands

`sweep COMMAND --help` shows the same in the terminal.
"""


def reference() -> str:
    """All commands with their options, as Markdown."""
    text = app.generate_docs(output_format="markdown")
    # cyclopts shows in the usage how this very process was started.
    text = re.sub(r"^(sweep \w+) -m \S+", r"\1", text, flags=re.M)
    return _HEAD + "\n" + text[text.index("## Table of Contents") :]


if __name__ == "__main__":
    sys.stdout.write(reference())
