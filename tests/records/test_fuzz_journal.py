"""Fuzz of a group's folder: whatever its files hold, every command answers, in bounded time.

A few cases of each kind in the quick suite, thousands in the soak.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import folded

from sweeper import cli
from sweeper.config import RunSpec
from sweeper.engine.recovery import interrupted_ends
from sweeper.errors import SweeperError
from sweeper.plan import plan_runs
from sweeper.records import GroupFolder, JournalWriter, fold, read_journal

GROUP = "foreign"
CPU_LIMIT_S = 20.0  # of processor time, for one case; the usual one takes tens of milliseconds
GROWTH_LIMIT_BYTES = 400_000_000  # beyond what the process had before the case
FEW, MANY = 40, 350 if os.environ.get("SOAK") == "short" else 3_500
RUNS = ("aaaaaaaaaa", "bbbbbbbbbb", "../../out", "", "x" * 300, "with\nline")


@contextmanager
def bounded() -> Iterator[None]:
    """Fail when one case takes too much processor time or memory."""

    def late(_number: int, _frame: object) -> None:
        raise AssertionError(f"more than {CPU_LIMIT_S} s of processor time for one case")

    previous = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT_S)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + GROWTH_LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


# -- What lies in the folder -----------------------------------------------------------------------

NUMBERS = st.sampled_from(
    [0, 1, 2, 3, -1, 10**400, -(10**400), 2**63, 1e308, -1e308, 5e-324, 0.5, 1e9, 1.7e9]
)
TEXTS = st.sampled_from(
    ["", "w", "loss", "seed", "../..", "x" * 2_000, "\ud800", "\x1b[2J", "a\nb", "nan", "inf",
     "-inf", "finished", "ValueError", "trainer.py:3", "[red]no[/red]", "\u202e", "💥", "1e5"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.integers(), st.floats()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.one_of(TEXTS, st.text(max_size=5)), inner, max_size=3)
    ),
    max_leaves=8,
)
OUTCOMES = st.sampled_from(
    ["finished", "diverged", "crashed", "timed out", "stopped", "lost", "invalid", "splendid"]
)
RUN_IDS = st.sampled_from(RUNS)
METRICS = st.dictionaries(TEXTS, NUMBERS | st.sampled_from(["nan", "inf", "no"]), max_size=4)
CAUSES = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["exception", "signal", "host", "new kind", 3]),
        "message": TEXTS,
        "type": TEXTS,
        "place": TEXTS,
        "code": NUMBERS,
    },
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "v": NUMBERS,
    "writer": st.sampled_from(["w1", "w2"]),
    "seq": st.integers(0, 30),
    "time": st.integers(-10, 2_000_000_000),
    "launch": TEXTS,
    "host": st.sampled_from([os.uname().nodename, "elsewhere"]),
    "pid": st.sampled_from([1, os.getpid(), -1, 2**40]),
    "pid_start": TEXTS,
    "cpus": NUMBERS,
    "slots": NUMBERS,
    "version": TEXTS,
    "total": NUMBERS,
    "trainer": st.sampled_from(["models.neural_ode", "evil"]),
    "sweep_sha": st.sampled_from(["one", "two"]),
    "runs": st.dictionaries(
        RUN_IDS, st.dictionaries(st.sampled_from(["seed", "a.b", "b"]), ANYTHING), max_size=4
    ),
    "fixed": st.dictionaries(st.sampled_from(["seed", "a", "a.b.c", "trainer"]), ANYTHING),
    "headline": TEXTS,
    "maximise": ANYTHING,
    "units": st.dictionaries(TEXTS, TEXTS, max_size=2),
    "wave": NUMBERS,
    "slot": NUMBERS,
    "run": RUN_IDS,
    "attempt": st.sampled_from([1, 2, 3, 0, -1]),
    "of": st.sampled_from(["w1", "w2"]),
    "outcome": OUTCOMES,
    "cause": CAUSES,
    "last_step": NUMBERS,
    "wall_s": NUMBERS,
    "cpu_s": NUMBERS,
    "metrics": METRICS,
    "rss_peak_bytes": NUMBERS,
    "reason": TEXTS,
    "resources": ANYTHING
    | st.dictionaries(st.sampled_from(["cpus_per_run", "timeout_s", "retries", "x"]), NUMBERS),
    "startup_s": NUMBERS,
    "scratch_peak_bytes": NUMBERS,
}
KINDS = ("launched", "planned", "started", "ended", "wave_started", "wave_ended", "launch_ended",
         "evaluated", "teleported")  # fmt: skip
NEEDED = {
    "launched": ("launch", "total"),
    "planned": ("runs",),
    "started": ("run", "attempt"),
    "ended": ("run", "attempt", "outcome"),
    "evaluated": ("run", "metrics"),
}


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly as a supervisor would write it, with some fields that are wrong in kind."""
    kind = draw(st.sampled_from(KINDS))
    names = {*NEEDED.get(kind, ()), "writer", "seq", "time"}
    names |= draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=6))
    spoilt = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=1))
    event = {name: draw(ANYTHING if name in spoilt else FIELDS[name]) for name in sorted(names)}
    return {"event": kind, **event}


def lines_of(found: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in found).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Lines of a journal with stretches cut out, written over or repeated."""
    data = lines_of(draw(st.lists(events(), min_size=1, max_size=12)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 40)))
        middle = draw(st.binary(max_size=8) | st.just(data[start:stop] * 2) | st.just(b"\0" * 20))
        data = data[:start] + middle + data[stop:]
    return data


@dataclass(frozen=True)
class Files:
    """What a group's folder holds: journal files, and files of its runs by name."""

    journal: tuple[bytes, ...]
    runs: dict[tuple[str, str], bytes]


FILE_TEXTS = (
    st.binary(max_size=40)
    | ANYTHING.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={
            "id": RUN_IDS, "attempt": st.integers(-1, 9) | ANYTHING, "outcome": OUTCOMES | ANYTHING,
            "cause": CAUSES | ANYTHING, "metrics": METRICS | ANYTHING, "time": NUMBERS | ANYTHING,
            "fraction": NUMBERS | ANYTHING, "step": NUMBERS | ANYTHING, "loss": NUMBERS,
        },
    ).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"a: &a [*a]", b"[" * 5_000, b"{" * 5_000, b"a: 1\nb: [x]", b"\xff\xfe",
                       b'{"step": 1, "loss": "inf"}\n' * 3])
)  # fmt: skip
FILES = st.builds(
    Files,
    st.lists(damaged(), min_size=1, max_size=2).map(tuple),
    st.dictionaries(
        st.tuples(
            st.sampled_from(RUNS[:2]),
            st.sampled_from(
                ["config.yaml", "metrics.jsonl", "result.json", "progress.json", "log.txt"]
            ),
        ),
        FILE_TEXTS,
        max_size=5,
    ),
)


# -- What is asked ---------------------------------------------------------------------------------

COMMANDS: dict[str, Callable[..., Any]] = {
    "status": partial(cli.records.status, GROUP),
    "status --json": partial(cli.records.status, GROUP, json=True),
    "crashed": partial(cli.records.crashed, GROUP),
    "crashed --json": partial(cli.records.crashed, GROUP, json=True),
    "table": partial(cli.records.table, GROUP),
    "table --format json": partial(cli.records.table, GROUP, format="json"),
    "table --format csv": partial(cli.records.table, GROUP, format="csv"),
    "table --format markdown": partial(cli.records.table, GROUP, format="markdown"),
    "show": partial(cli.records.show, RUNS[0]),
    "show --json": partial(cli.records.show, RUNS[1], json=True),
    "diff": partial(cli.records.diff, RUNS[0], RUNS[1]),
    "retry": partial(cli.runs.retry, GROUP, dry_run=True),
    "retry --json": partial(cli.runs.retry, GROUP, dry_run=True, json=True),
}


def ask(command: Callable[..., Any], runs_dir: Path) -> tuple[int, str]:
    """A command of `sweep`, in this process: whatever it doesn't catch ends the test."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        # The parsing of the words is left out: it would take most of the time.
        status = cli.common.guarded(lambda _, **__: command(runs_dir=runs_dir), [])
    return status, out.getvalue() if status == 0 else errors.getvalue()


def no_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def check_folder(runs_dir: Path, files: Files) -> None:
    shutil.rmtree(runs_dir, ignore_errors=True)
    folder = GroupFolder(runs_dir, GROUP).make()
    for number, data in enumerate(files.journal):
        (folder.journal_dir / f"w{number}.jsonl").write_bytes(data)
    for (run, name), data in files.runs.items():
        (folder.run(run).make().path / name).write_bytes(data)
    for name, command in COMMANDS.items():
        status, said = ask(command, runs_dir)
        assert status in {0, 2}, name
        assert status == 0 or said.strip(), name
        if status == 0 and "json" in name:
            json.loads(said, parse_constant=no_constant)
        elif "--format" not in name:  # what is for programs is written as it is
            assert not [char for char in said if ord(char) < 32 and char != "\n"], name
    check_launch(folder)


def check_launch(folder: GroupFolder) -> None:
    """What a launch does with the records before it starts anything."""
    state = fold(read_journal(folder.journal_dir).events)
    assert sum(state.counts().values()) == max(state.total, len(state.runs))
    with contextlib.suppress(SweeperError):
        ends = interrupted_ends(folder, state, is_dead=lambda writer: True)
        with JournalWriter(folder.journal_dir, "new") as journal:
            journal.append(*ends)
        mended = fold(read_journal(folder.journal_dir).events)
        assert not [run for run in RUNS[:2] if run in mended.runs and mended.runs[run].interrupted]
    specs = [RunSpec(run, SimpleNamespace(seed=i), {"seed": i}) for i, run in enumerate(RUNS[:2])]
    plan = plan_runs(specs, state, TRAINER)
    assert plan.to_train + sum(plan.done.values()) == len(specs)


TRAINER: Any = SimpleNamespace(
    name="some",
    pack_size=1,
    renamed={},
    check=lambda _config: [],
    program_key=lambda config: config.seed,
)


def check_order(_runs_dir: Path, found: list[dict[str, Any]]) -> None:
    """The fold of odd events doesn't depend on their order, nor on hearing them twice."""
    state = folded(found)
    # In the order of the plan: with equal times that is the order of the text.
    assert folded([*found, *reversed(found)]) == state
    assert folded(reversed(found)) == state


Check = Callable[[Path, Any], None]
CASES: dict[str, tuple[st.SearchStrategy[Any], Check]] = {
    "folder": (FILES, check_folder),
    "order": (
        st.lists(events(), max_size=15).map(lambda e: json.loads(json.dumps(e))),
        check_order,
    ),
}


def fuzz(case: str, runs_dir: Path, examples: int) -> None:
    strategy, check = CASES[case]

    @settings(
        max_examples=examples,
        deadline=None,
        # The short soak judges a change, so it must not differ from one run to the next.
        derandomize=os.environ.get("SOAK") == "short",
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(value=strategy)
    def holds(value: Any) -> None:
        with bounded():
            check(runs_dir, value)

    holds()


@pytest.fixture
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWEEPER_SCRATCH", str(tmp_path / "scratch"))
    # Commands look for processes of dead launches; here there are none to be found.
    for module in (cli.common, cli.records):
        monkeypatch.setattr(module, "reap", lambda: None)
    return tmp_path / "runs"


@pytest.mark.parametrize("case", CASES)
def test_whatever_a_folder_holds_every_command_answers(case: str, runs_dir: Path) -> None:
    fuzz(case, runs_dir, FEW)


def stamped(*found: dict[str, Any]) -> bytes:
    return lines_of(
        [{"writer": "w", "seq": i, "time": i, **event} for i, event in enumerate(found)]
    )


def test_a_total_beyond_all_bounds_is_shown(runs_dir: Path) -> None:
    journal = stamped(
        {"event": "launched", "launch": "l", "host": "elsewhere", "total": 10**400, "slots": 1},
        {"event": "started", "run": RUNS[0], "attempt": 1},
        {"event": "ended", "run": RUNS[0], "attempt": 1, "outcome": "finished", "wall_s": 1.0},
    )
    check_folder(runs_dir, Files((journal,), {}))


@pytest.mark.parametrize("step", ["nan", "inf", 10**400], ids=["nan", "inf", "huge"])
def test_a_step_that_is_no_integer_ends_no_launch(runs_dir: Path, step: object) -> None:
    journal = stamped({"event": "started", "run": RUNS[0], "attempt": 1})
    row = json.dumps({"step": step, "loss": 1.0}).encode()
    check_folder(runs_dir, Files((journal,), {(RUNS[0], "metrics.jsonl"): row + b"\n"}))


def test_numbers_that_json_lacks_are_printed_as_words(runs_dir: Path) -> None:
    """Python's reader of JSON takes `Infinity`, so a stranger's journal may hold it."""
    journal = stamped(
        {"event": "planned", "runs": {RUNS[0]: {"seed": float("inf"), "b": [float("nan")]}}},
        {"event": "started", "run": RUNS[0], "attempt": 1},
        {"event": "ended", "run": RUNS[0], "attempt": 1, "outcome": "crashed"},
    )
    check_folder(runs_dir, Files((journal,), {}))


def test_a_time_left_beyond_all_bounds_is_not_told(runs_dir: Path) -> None:
    ended = {"event": "ended", "run": RUNS[0], "attempt": 1, "outcome": "finished"}
    journal = stamped(
        {"event": "launched", "launch": "l", "host": "elsewhere", "total": 3},
        {"event": "planned", "runs": {run: {} for run in RUNS}},
        {**ended, "wall_s": 1e308},
    )
    check_folder(runs_dir, Files((journal,), {}))


def test_progress_that_begins_beyond_all_bounds_is_told(runs_dir: Path) -> None:
    """An attempt that the journal doesn't know: its launch died before the line was written."""
    journal = stamped(
        {"event": "launched", "launch": "l", "total": 1},
        {"event": "started", "run": RUNS[0], "attempt": 1},
    )
    told = json.dumps({"attempt": 2, "time": 10**400}).encode()
    check_folder(runs_dir, Files((journal,), {(RUNS[0], "progress.json"): told}))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", CASES)
def test_whatever_a_folder_holds_every_command_answers_at_length(case: str, runs_dir: Path) -> None:
    fuzz(case, runs_dir, 3 * MANY if case == "order" else MANY)
