"""Result tables as text: for a terminal, for Markdown, for a spreadsheet, for a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from sweeper.errors import SweeperError
from sweeper.records.jsonl import finite
from sweeper.records.parameters import is_seed
from sweeper.report.aggregate import Row, Statistic, Table, group_table, results_table
from sweeper.report.format import (
    NOTHING,
    column_text,
    distinct_heads,
    earlier_runs,
    exact_text,
    short_names,
    value_text,
    with_spread,
)

__all__ = ["Format", "group_table", "plain", "render", "results_table"]

_MORE_SHOWN = 4

Format = Literal["table", "markdown", "csv", "json"]


def render(table: Table, format: Format = "table", *, width: int | None = None) -> str:  # noqa: A002
    """The table as text that ends with a newline.

    `table` and `markdown` show three significant digits and ± the sample standard deviation, `csv`
    and `json` full precision. `width` folds the columns of `table` into that many characters; None
    makes it as wide as it needs to be. Raises `SweeperError` for an unknown format.
    """
    writers: dict[str, Callable[[], str]] = {
        "table": lambda: _terminal(table, width),
        "markdown": lambda: _markdown(table),
        "csv": lambda: _csv(table),
        "json": lambda: _json(table),
    }
    if format not in writers:
        raise SweeperError(f"no format `{format}`: there are {', '.join(map(repr, writers))}")
    return writers[format]()


def _cells(table: Table) -> tuple[list[str], list[list[str]], list[bool], str]:
    """Headings, text cells by row, which columns are numbers, and a line below."""
    names, pattern = short_names(table.metrics)
    several = len(table.groups) > 1
    others = any(row.others for row in table.rows) and not table.per_run
    named = _named(table)
    heads = distinct_heads(
        [
            *([("group", "sweep")] if several else []),
            *([("id", "run")] if table.per_run else []),
            *([("name", "run")] if named else []),
            *((axis.label, "parameter") for axis in table.axes),
            *((names[name], "metric") for name in table.metrics),
            ("outcome" if table.per_run else "n", "runs"),
            *([("not finished", "runs")] if others else []),
        ]
    )
    rows = [
        [
            *([row.group] if several else []),
            *([row.runs[0]] if table.per_run else []),
            *([row.names[0] or NOTHING] if named else []),
            *(" ".join(text.split()) for text in texts),
            *(_statistic(row.metrics[name]) for name in table.metrics),
            next(iter(row.others), "finished") if table.per_run else str(row.finished),
            *([_others(row)] if others else []),
        ]
        for row, texts in zip(table.rows, _axis_texts(table, value_text, NOTHING), strict=True)
    ]
    return heads, rows, _numeric(table, len(heads), others), _legend(table, pattern)


def _named(table: Table) -> bool:
    """Whether the rows are runs that have names."""
    return table.per_run and any(name for row in table.rows for name in row.names)


def _numeric(table: Table, columns: int, others: bool) -> list[bool]:
    before = columns - len(table.axes) - len(table.metrics) - 1 - others
    axes = [
        all(isinstance(row.axis_values.get(axis.key, 0), int | float) for row in table.rows)
        for axis in table.axes
    ]
    return [
        *[False] * before,
        *axes,
        *[True] * len(table.metrics),
        not table.per_run,
        *[False] * others,
    ]


def _axis_texts(table: Table, short: Callable[[Any], str], nothing: str) -> list[list[str]]:
    """The values of the parameters of each row; no two rows of a sweep look the same."""

    def written(writers: Sequence[Callable[[Any], str]]) -> list[list[str]]:
        return [
            [
                write(row.axis_values[axis.key]) if axis.key in row.axis_values else nothing
                for axis, write in zip(table.axes, writers, strict=True)
            ]
            for row in table.rows
        ]

    columns = [
        [row.axis_values[axis.key] for row in table.rows if axis.key in row.axis_values]
        for axis in table.axes
    ]
    texts = written([column_text(values, short) for values in columns])
    looks = {(row.group, *text) for row, text in zip(table.rows, texts, strict=True)}
    if table.per_run or len(looks) == len(table.rows):
        return texts
    return written([exact_text] * len(columns))


def _statistic(statistic: Statistic) -> str:
    if statistic.mean is None:
        return NOTHING
    text = with_spread(statistic.mean, statistic.sd)
    missing = len(statistic.values) < statistic.runs
    return f"{text} ({len(statistic.values)} of {statistic.runs})" if missing else text


def _others(row: Row) -> str:
    return ", ".join(f"{count} {word}" for word, count in row.others.items())


def _legend(table: Table, pattern: str | None) -> str:
    parts = []
    if not table.metrics:
        parts.append("no run has finished yet")
    elif pattern is not None:
        parts.append(f"metrics: {pattern}")
    if any(s.sd is not None for row in table.rows for s in row.metrics.values()):
        parts.append(f"mean ± standard deviation over the n finished runs{_averaged(table)}")
    if table.more:
        shown = ", ".join(table.more[:_MORE_SHOWN])
        rest = len(table.more) - _MORE_SHOWN
        parts.append(f"other metrics: {shown}" + (f", … ({rest} more)" if rest > 0 else ""))
    if table.earlier:
        parts.append(f"{earlier_runs(table.earlier)} (`--all`)")
    return "; ".join(parts)


def _averaged(table: Table) -> str:
    """Over what a mean is taken, where that isn't seeds alone."""
    if all(is_seed(axis.key) for axis in table.averaged):
        return ""
    return f", which differ in {', '.join(axis.label for axis in table.averaged)}"


def _terminal(table: Table, width: int | None) -> str:
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    heads, rows, numeric, legend = _cells(table)
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head, is_number in zip(heads, numeric, strict=True):
        drawn.add_column(
            Text(head), justify="right" if is_number else "left", overflow="fold", no_wrap=not width
        )
    for row in rows:
        drawn.add_row(*map(Text, row))
    # In cells of the terminal: characters of some scripts take two.
    needed = sum(max(map(cell_len, column)) + 3 for column in zip(heads, *rows, strict=True))
    buffer = io.StringIO()
    Console(file=buffer, width=width or needed, color_system=None, legacy_windows=False).print(
        drawn
    )
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, *([legend] if legend else []), *table.notes]) + "\n"


def _markdown(table: Table) -> str:
    heads, rows, numeric, legend = _cells(table)
    rule = ["--:" if is_number else "---" for is_number in numeric]
    lines = [_markdown_row(heads), f"| {' | '.join(rule)} |", *map(_markdown_row, rows)]
    below = [line for text in (legend, *table.notes) if text for line in ("", text)]
    return "\n".join([*lines, *below]) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _csv(table: Table) -> str:
    standings, named = _standings(table), _named(table)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        distinct_heads(
            [
                ("group", "sweep"),
                *([("id", "run")] if table.per_run else []),
                *([("name", "run")] if named else []),
                *((axis.label, "parameter") for axis in table.axes),
                *(
                    (f"{name}{end}", "metric")
                    for name in table.metrics
                    for end in ("", " sd", " n")
                ),
                ("finished", "runs"),
                *((standing, "runs") for standing in standings),
            ]
        )
    )
    for row, texts in zip(table.rows, _axis_texts(table, _csv_value, ""), strict=True):
        writer.writerow(
            [
                row.group,
                *([row.runs[0]] if table.per_run else []),
                *([row.names[0] or ""] if named else []),
                *texts,
                *(cell for name in table.metrics for cell in _csv_statistic(row.metrics[name])),
                row.finished,
                *(row.others.get(standing, 0) for standing in standings),
            ]
        )
    return buffer.getvalue()


def _csv_statistic(statistic: Statistic) -> list[Any]:
    blank_if_none = [
        "" if value is None else repr(value) for value in (statistic.mean, statistic.sd)
    ]
    return [*blank_if_none, len(statistic.values)]


def _csv_value(value: Any) -> str:
    return repr(value) if isinstance(value, float) else value_text(value)


def _standings(table: Table) -> list[str]:
    from sweeper.records import STANDINGS

    present = {word for row in table.rows for word in row.others}
    return [word for word in STANDINGS if word in present]


def _json(table: Table) -> str:
    data = plain(table)
    return json.dumps(finite(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(table: Table) -> dict[str, Any]:
    """The table as a mapping for JSON, in full precision."""
    rows = [
        {
            "group": row.group,
            "axis_values": dict(row.axis_values),
            "runs": list(row.runs),
            "names": list(row.names),
            "finished": row.finished,
            "others": dict(row.others),
            "metrics": {name: _json_statistic(value) for name, value in row.metrics.items()},
        }
        for row in table.rows
    ]
    return {
        "groups": list(table.groups),
        "axes": [{"key": axis.key, "label": axis.label} for axis in table.axes],
        "metrics": list(table.metrics),
        "headline": table.headline,
        "averaged_over": [axis.key for axis in table.averaged],
        "earlier": table.earlier,
        **table.choice,
        "notes": list(table.notes),
        "rows": rows,
    }


def _json_statistic(statistic: Statistic) -> dict[str, Any]:
    return {
        "mean": statistic.mean,
        "sd": statistic.sd,
        "n": len(statistic.values),
        "values": list(statistic.values),
    }
