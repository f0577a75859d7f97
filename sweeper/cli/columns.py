"""Plain text in columns, the same for terminals, pipes and logs."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["grid", "rendered"]


def rendered(*parts: Table | Text | str) -> str:
    """As plain text, as wide as it needs to be: pipes and logs get the same text as a terminal."""
    console = Console(file=io.StringIO(), width=200, no_color=True, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=True, markup=False)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def grid(rows: Sequence[Sequence[object]], heads: Sequence[str] = ()) -> Table:
    """Rows of cells in columns, below a row of heads if there are any."""
    table = Table(box=None, show_header=bool(heads), padding=(0, 2, 0, 0), header_style="")
    for head in heads or [""] * max(map(len, rows), default=0):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table
