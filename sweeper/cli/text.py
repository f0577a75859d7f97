"""What the commands print for people. Takes plain data, as ``--json`` prints it; returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from sweeper.cli.columns import grid as _grid
from sweeper.cli.columns import rendered as _rendered
from sweeper.records.code import code_words, missing_text
from sweeper.report.format import (
    NOTHING,
    axis_words,
    earlier_runs,
    part_words,
    run_words,
    value_text,
)
from sweeper.suggest import counted
from sweeper.units import duration, size

__all__ = [
    "crashed_text",
    "diff_text",
    "doctor_line",
    "ending_text",
    "evaluation_text",
    "plan_text",
    "retry_text",
    "show_text",
    "status_text",
]

_INVALID_SHOWN = 10
_VALUES_SHOWN = 8
_RUNS_SHOWN = 20
_FILES_SHOWN = 50


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(map(value_text, values[:_VALUES_SHOWN]))
    more = len(values) - _VALUES_SHOWN
    return f"{shown}, … ({more} more)" if more > 0 else shown


def _axis_values(axis: Mapping[str, Any]) -> str:
    """The values of an axis, those apart that it takes under a condition only."""
    cases = axis.get("cases", ())
    if not cases:
        return _listed(axis["values"])
    said = [f"{_listed(case['values'])} when {case['when']}" for case in cases if case["when"]]
    return "; ".join([*said, *(f"else {_listed(c['values'])}" for c in cases if not c["when"])])


def plan_text(plan: Mapping[str, Any]) -> str:
    """The answer of `sweep plan`."""
    done = ", ".join(f"{count} {word}" for word, count in plan["done"].items() if count)
    rows: list[tuple[str, object]] = [
        ("group", plan["group"]),
        *([("shard", plan["shard"])] if plan.get("shard") else []),
        ("runs", f"{plan['total']}: {_to_train(plan)}" + (f", {done}" if done else "")),
        *_chosen_row(plan),
        *_excluded_row(plan),
        *([("besides", earlier_runs(plan["earlier"]))] if plan["earlier"] else []),
        *((axis["label"], _axis_values(axis)) for axis in plan["axes"]),
        *(("zip", " with ".join(labels)) for labels in plan["zipped"]),
        *_program_row(plan),
        *_wave_rows(plan),
        *_estimate_row(plan),
    ]
    parts: list[Table | str] = [_grid(rows)]
    groups = plan["invalid_groups"]
    if groups:
        parts.append(
            f"\n{counted(sum(group['count'] for group in groups), 'invalid run')}; "
            f"all others are trained:"
        )
        for group in groups[:_INVALID_SHOWN]:
            where = group["condition"] or axis_words(group["axis_values"])
            parts.append(
                f"  {group['count']} × {group['reason']}" + (f"  [{where}]" if where else "")
            )
        if len(groups) > _INVALID_SHOWN:
            parts.append(
                f"  … and {counted(len(groups) - _INVALID_SHOWN, 'more reason')}: see --json"
            )
    return _rendered(*parts)


def _to_train(plan: Mapping[str, Any]) -> str:
    """How many runs are to train, those apart that have failed before."""
    failed, again = plan["failed_before"], plan.get("again", 0)
    parts = [
        f"{count} {words}"
        for count, words in (
            (plan["to_train"] - failed - again, "new"),
            (failed, "failed before"),
            (again, "again"),
        )
        if count or words == "new"
    ]
    before = f" ({', '.join(parts)})" if failed or again else ""
    return f"{plan['to_train']} to train{before}"


def _program_row(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Programs and packs, where the trainer says which runs share a program."""
    if not plan["programs"]:
        return []
    return [("programs", f"{plan['programs']} to compile, {counted(plan['packs'], 'pack')}")]


def _chosen_row(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    part = part_words(plan, plan["total"])
    return [("chosen", part)] if part else []


def _excluded_row(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    excluded = plan["excluded"]
    runs = counted(excluded, "run")
    return [("left out", f"{runs} by `exclude` or `only`")] if excluded else []


def _estimate_row(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    """How long it will take, from finished runs and from what waves took besides."""
    if plan.get("estimate_s") is None:
        return []
    outside = plan["startup_s"] or 0.0
    took = plan["estimate_s"] / max(1, min(plan["slots"], plan["packs"])) + outside
    counted = f", {duration(outside)} of start and stop counted" if outside else ""
    return [("estimate", f"{duration(took)} on these slots, from finished runs{counted}")]


def _wave_rows(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Waves, if there is anything to do, and slots."""
    waves = plan["waves"]
    runs = "run" if waves == [1] else "runs"
    return [
        *([("waves", f"{len(waves)} ({_listed(waves)} {runs})")] if waves else []),
        ("slots", f"{plan['slots']}{_idle_slots(plan)}"),
    ]


def retry_text(plan: Mapping[str, Any]) -> str:
    """The answer of `sweep retry`, and what it says before it starts."""
    lines = [f"{plan['group']}: {counted(plan['to_train'], 'run')} to train again"]
    lines += [f"  {_cause_line(cause)}" for cause in plan["causes"]]
    if plan["left_alone"]:
        lines += ["left alone:", *(f"  {_cause_line(cause)}" for cause in plan["left_alone"])]
    limits = [
        f"{word} {shown(value)}"
        for word, value, shown in (
            ("timeout", plan["timeout_s"], "{:g} s".format),
            ("memory_per_run", plan["memory_per_run"], size),
        )
        if value is not None
    ]
    rows = [
        *_wave_rows(plan),
        *([("limits", ", ".join(limits))] if limits else []),
    ]
    for run in plan["invalid"]:
        lines.append(f"  {run['id']} is no longer valid: {'; '.join(run['reasons'])}")
    return _rendered(*lines, _grid(rows))


def evaluation_text(plan: Mapping[str, Any]) -> str:
    """What `sweep evaluate` says before it starts."""
    return _rendered(
        f"{plan['group']}: {counted(plan['to_evaluate'], 'run')} to evaluate on "
        f"{', '.join(plan['datasets'])}, on {counted(plan['slots'], 'slot')}"
    )


def _cause_line(cause: Mapping[str, Any]) -> str:
    where = f"  at {cause['place']}" if cause["place"] else ""
    return f"{cause['runs']} {cause['outcome']}: {_cause_words(cause)}{where}"


def _idle_slots(plan: Mapping[str, Any]) -> str:
    """A warning if the waves are too small for the slots; at most two run at once."""
    at_once = sum(sorted(plan["waves"], reverse=True)[:2])
    if len(plan["waves"]) <= 2 or at_once >= plan["slots"]:
        return ""
    return f", at most {at_once} in use: the waves are too small (runs_per_wave)"


def _earlier(answer: Mapping[str, Any]) -> str:
    """That runs of earlier sweep files are left out, if there are any."""
    return f"; {earlier_runs(answer['earlier'])} (`--all`)" if answer["earlier"] else ""


def status_text(status: Mapping[str, Any]) -> str:
    """The answer of `sweep status`."""
    counts = {word: count for word, count in status["counts"].items() if count}
    finished = counts.get("finished", 0)
    head = f"{status['group']}: {finished} of {status['total']} finished"
    rest = ", ".join(f"{count} {word}" for word, count in counts.items() if word != "finished")
    lines: list[Table | str] = [
        (f"{head}; {rest}" if rest else head) + _earlier(status) + _part(status)
    ]
    lines += [f"note: {status['note']}"] if status.get("note") else []
    if status.get("eta_s") is not None:
        lines.append(f"about {duration(status['eta_s'])} left")
    running = status["running"]
    if running:
        lines.append(
            _grid(
                [
                    (
                        run_words(run["id"], run.get("name")),
                        "" if run.get("fraction") is None else f"{run['fraction']:.0%}",
                        _step_words(run),
                        axis_words(run["axis_values"]),
                    )
                    for run in running
                ]
            )
        )
    bad = sum(
        counts.get(word, 0)
        for word in ("diverged", "crashed", "timed out", "lost", "invalid", "interrupted")
    )
    if bad:
        lines.append(f"Why: sweep crashed {status['group']}")
    launch = status["launch"]
    if launch and launch["reason"] == "paused" and launch["message"]:
        lines.append(f"paused: {launch['message']}")
    if len(status["launches"]) > 1:
        lines += ["launches:", _grid([_launch_row(launch) for launch in status["launches"]])]
    lines += [doubt["message"] for doubt in status["in_doubt"]]
    lines += status["code"]["messages"]
    if status["without_folder"]:
        lines.append(missing_text(status["without_folder"]))
    return _rendered(*lines)


def _part(answer: Mapping[str, Any]) -> str:
    """Of which runs the answer speaks, where it isn't all of them."""
    part = part_words(answer, answer["total"]) if answer.get("chosen_of") is not None else None
    return f" ({part})" if part else ""


def _launch_row(launch: Mapping[str, Any]) -> tuple[str, ...]:
    shard, job = launch["shard"], launch["job"]
    return (
        f"  {launch['id']}",
        f"host {launch['host']}, process {launch['pid']}" + (f", job {job}" if job else ""),
        f"shard {shard}" if shard else "",
        counted(launch["slots"] or 0, "slot"),
        "" if launch["alive"] else "can't tell whether it lives",
    )


def crashed_text(answer: Mapping[str, Any], *, everything: bool = False) -> str:
    """The answer of `sweep crashed`: the causes with their conditions, then their runs.

    At most 20 runs of a cause are listed, the others counted, unless `everything` is asked for.
    """
    group, causes = answer["group"], answer["causes"]
    doubts = [doubt["message"] for doubt in answer["in_doubt"]]
    if not causes:
        return _rendered(
            f"{group}: every run that has ended is finished{_earlier(answer)}{_part(answer)}",
            *doubts,
        )
    runs = {run["id"]: run for run in answer["runs"]}
    number = f"{counted(len(runs), 'run')} without a good outcome, {counted(len(causes), 'cause')}"
    parts = [f"{group}: {number}{_earlier(answer)}{_part(answer)}"]
    for cause in causes:
        example = runs[cause["example"]]
        parts += ["", f"{cause['runs']} {cause['outcome']}: {_cause_words(cause)}"]
        parts += _details(
            ("when", _explanation(cause)),
            ("at", cause["place"]),
            ("example", run_words(example["id"], example.get("name"))),
            ("log", example["log"]),
        )
    for cause in causes:
        shown = cause["ids"] if everything else cause["ids"][:_RUNS_SHOWN]
        for run in (runs[run] for run in shown):
            called = run_words(run["id"], run.get("name"))
            parts += ["", f"{called}  {run['outcome']}  {_cause_words(run)}".rstrip()]
            parts += _details(
                ("note", run.get("note")),
                ("axes", axis_words(run["axis_values"])),
                ("at", run["place"]),
                ("last step", run["last_step"]),
                ("attempts", run["attempts"]),
                ("log", run["log"]),
                ("stack", run["stack"]),
            )
        more = cause["runs"] - len(shown)
        if more:
            parts += ["", f"… and {more} more {cause['outcome']} for this cause: see --all"]
    trainer = f" --trainer {answer['trainer']}" if answer["trainer"] else ""
    look = [f"sweep show {answer['show']}"]
    if answer["rerun"]:
        look.append(f"sweep rerun {answer['rerun']} --pdb{trainer}")
    parts += ["", f"Look closer: {', '.join(look)}"]
    if answer["retry"]:
        parts.append(f"Try again: sweep retry {group} --dry-run{trainer}")
    return _rendered(*parts, *doubts)


def _cause_words(item: Mapping[str, Any]) -> str:
    """Type and message of a cause or of a run, else its kind."""
    words = ": ".join(part for part in (item["type"], item["message"]) if part)
    return words or item.get("kind") or item.get("cause") or "unknown cause"


def _details(*rows: tuple[str, object]) -> list[str]:
    return [f"    {name:<10}{value}" for name, value in rows if value not in (None, "")]


def _explanation(cause: Mapping[str, Any]) -> str:
    """Under which condition runs failed for this cause, with counts."""
    condition = cause["condition"]
    if condition is None:
        return f"{cause['note']}"
    text, word = condition["text"], cause["outcome"]
    counts = f"{text}: {condition['crashed_in']} of {condition['total_in']} {word}"
    if not condition["atoms"]:
        return counts
    counts += f"; {condition['crashed_out']} of {condition['total_out']} others"
    return f"{counts} ({cause['note']})" if cause["note"] else counts


def _step_words(run: Mapping[str, Any]) -> str:
    step, restored = run.get("step"), run.get("restored_step")
    words = "" if step is None else f"step {step}"
    return words if restored is None else f"{words} (went on from {restored})".lstrip()


def _restored_words(attempts: Sequence[Mapping[str, Any]]) -> str | None:
    """``step 500 (attempt 2)``, for each attempt that went on from a checkpoint."""
    words = [
        f"step {attempt['restored_step']} (attempt {attempt['attempt']})"
        for attempt in attempts
        if attempt["restored_step"] is not None
    ]
    return ", ".join(words) or None


def show_text(run: Mapping[str, Any]) -> str:
    """The answer of `sweep show`."""
    keys = ("id", "name", "note", "group", "outcome", "last_step", "wall_s")
    facts = [(key, run.get(key)) for key in keys]
    facts += [(key, _moment(run[key])) for key in ("started", "ended")]
    facts += [("attempts", len(run["attempts"]))]
    facts += [("went on from", _restored_words(run["attempts"]))]
    facts += [("code", code_words(run["sources"]) or None)]
    parts: list[Table | str] = [_grid([fact for fact in facts if fact[1] is not None])]
    parts += run["code"]
    for title in ("cause", "axis_values", "metrics", "config", "paths"):
        leaves = _leaves(run[title] or {})
        given = title in ("axis_values", "config")  # where null is a value, not nothing
        rows = [(f"  {key}", _short(value)) for key, value in leaves if given or value is not None]
        if rows:
            parts += [f"{title.replace('_', ' ')}:", _grid(rows)]
    files = run["files"]
    if files:
        shown = [(f"  {file['name']}", size(file["size_bytes"])) for file in files[:_FILES_SHOWN]]
        more = len(files) - len(shown)
        rest = [("  …", f"{more} more: see --json")] if more else []
        parts += ["files:", _grid([*shown, *rest])]
    return _rendered(*parts)


def _moment(moment: float | None) -> str | None:
    """A unix time as the clock of this host shows it."""
    if moment is None:
        return None
    try:
        return datetime.fromtimestamp(moment).astimezone().isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):  # a damaged journal may hold any time
        return str(moment)


def _leaves(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted keys."""
    rows: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            rows += _leaves(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else value_text(value)


def diff_text(names: Sequence[str], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The answer of `sweep diff`."""
    if not rows:
        return "no parameter differs\n"
    cells = [
        (key, *(value_text(values[name]) if name in values else NOTHING for name in names))
        for key, values in rows
    ]
    return _rendered(_grid(cells, ["", *names]))


def doctor_line(name: str, verdict: str, found: str, fix: str | None) -> str:
    """One line of `sweep doctor`, and its fix below."""
    return f"{verdict:<8} {name:<14} {found}\n" + (f"{'':<24}fix: {fix}\n" if fix else "")


def ending_text(answer: Mapping[str, Any]) -> str:
    """The answer of `ending`, as text."""
    group, headline = answer["group"], answer["headline"]
    lines = []
    if answer["table"]:
        lines += [answer["table"]]
    counts = ", ".join(f"{count} {word}" for word, count in answer["counts"].items())
    lines.append(f"{group}: {counted(answer['total'], 'run')}: {counts}{_earlier(answer)}")
    for place, run in enumerate(answer["best"], start=1):
        words = axis_words(run["axis_values"])
        value = f"{headline} {run[headline]:.4g}"
        if place == 1:
            value += " (largest)" if answer["maximise"] else " (smallest)"
        called = run_words(run["id"], run.get("name"))
        lines.append(f"  best {place}: {called}  {value}  {words}".rstrip())
    lines += [f"saved {file}" for file in answer["files"]]
    lines += answer["code"]["messages"]
    if answer["message"]:
        lines.append(f"paused: {answer['message']}")
    lines.append("next:")
    if answer["reason"] != "done":
        lines.append("  run the same command again to train what is missing")
    if not answer["all_finished"]:
        lines.append(f"  sweep crashed {group}      why runs did not finish")
    lines.append(f"  sweep table {group} --format markdown")
    if answer["best"]:
        lines.append(f"  sweep show {answer['best'][0]['id']}")
    return "\n".join(lines) + "\n"
