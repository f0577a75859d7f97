"""What must hold of the records after a soak, told against what was planned and what was done."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from soak.driver import SoakBench
from support import of_kind
from trainers.soaked import LEFT, Config, fault

from sweeper.records import GroupState, RunState
from sweeper.records.events import Recorded, Started

# What each fault must be called: outcome, kind of cause, type. What is missing finishes.
EXPECTED: dict[tuple[str, str], tuple[str, str, str | None]] = {
    ("sabotage", "raise"): ("crashed", "exception", "ValueError"),
    ("sabotage", "raise oddly"): ("crashed", "exception", "sabotage.OddError"),
    ("sabotage", "sys.exit(0)"): ("crashed", "exit", "SystemExit"),
    ("sabotage", "os._exit(0)"): ("crashed", "exit", None),
    ("sabotage", "os._exit(3)"): ("crashed", "exit", None),
    ("sabotage", "abort"): ("crashed", "signal", "SIGABRT"),
    ("sabotage", "segfault"): ("crashed", "signal", "SIGSEGV"),
    ("sabotage", "kill"): ("crashed", "signal", "SIGKILL"),
    ("sabotage", "terminate"): ("crashed", "signal", "SIGTERM"),
    ("sabotage", "no memory"): ("crashed", "out of memory", "MemoryError"),
    ("sabotage", "nan"): ("diverged", "not finite", None),
    ("sabotage", "nan result"): ("diverged", "not finite", None),
    ("sabotage", "bad result"): ("crashed", "exception", "TypeError"),
    ("sabotage", "hang"): ("timed out", "time limit", None),
    ("sabotage", "hang in native code"): ("timed out", "time limit", None),
    ("sabotage", "die behind a fork"): ("crashed", "signal", "SIGKILL"),
    ("sabotage", "exit in C with 0"): ("crashed", "exit", None),
    ("sabotage", "exit in C with 3"): ("crashed", "exit", None),
    ("mischief", "stop itself"): ("timed out", "time limit", None),
    ("mischief", "hold a lock"): ("crashed", "exception", "RuntimeError"),
    ("mischief", "remove its folder"): ("crashed", "exception", "FileNotFoundError"),
}
FINISHED = ("finished", None, None)


def found_end(run: RunState) -> tuple[str | None, str | None, str | None]:
    """Outcome, kind of cause and type, as recorded."""
    cause = run.cause
    return (
        None if run.outcome is None else str(run.outcome),
        None if cause is None else str(cause.kind),
        None if cause is None else cause.type,
    )


def deed_of(run: RunState, plan: int) -> str:
    chosen = fault(Config(plan, int(run.axis_values["seed"])))
    return "finish" if chosen is None else chosen[1]


def confusion(state: GroupState, plan: int) -> str:
    """Planned deeds against recorded ends, with counts."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for run in state.runs.values():
        words = " / ".join(word for word in found_end(run) if word)
        counts[deed_of(run, plan)][words or "no end"] += 1
    width = max(map(len, counts))
    return "\n".join(
        f"{deed:<{width}}  " + ", ".join(f"{n} {end}" for end, n in counts[deed].most_common())
        for deed in sorted(counts)
    )


def planned_faults(runs: int, plan: int) -> Counter[tuple[str, str]]:
    return Counter(
        chosen for seed in range(runs) if (chosen := fault(Config(plan, seed))) is not None
    )


def complaints(bench: SoakBench, group: str, runs: int, plan: int) -> Iterator[str]:
    """Everything that isn't as it must be after the last launch."""
    state, events = bench.state(group), bench.events(group)
    if len(state.runs) != runs or state.total != runs:
        yield f"{len(state.runs)} runs of {runs} in the records"
    seeds = Counter(run.axis_values["seed"] for run in state.runs.values())
    if seeds != Counter(range(runs)):
        yield f"the runs aren't the grid: {(seeds - Counter(range(runs))).most_common(5)}"
    yield from _wrong_ends(state, plan)
    yield from _wrong_attempts(state, events, Counter(bench.executions()))
    yield from _wrong_folders(bench, group, state, plan)


def _wrong_ends(state: GroupState, plan: int) -> Iterator[str]:
    for run in state.runs.values():
        chosen = fault(Config(plan, int(run.axis_values["seed"])))
        wanted = FINISHED if chosen is None else EXPECTED.get(chosen, FINISHED)
        if found_end(run) != wanted:
            yield f"{run.id} ({chosen}): {found_end(run)} instead of {wanted}: {run.cause}"
        if chosen is None and run.metrics.get(LEFT) != 0.0:
            yield f"{run.id}: it began in a process that others had changed: see its log"
        # Lost attempts, and no others, come from the deaths of the supervisor.
        for attempt in run.attempts:
            if attempt.outcome is None:
                yield f"{run.id}: attempt {attempt.number} has no end"
            elif str(attempt.outcome) not in {"lost", wanted[0]}:
                yield f"{run.id} ({chosen}): attempt {attempt.number} is {attempt.outcome}"


def _wrong_attempts(
    state: GroupState, events: list[Recorded], executed: Mapping[str, int]
) -> Iterator[str]:
    starts = Counter(event.run for event in of_kind(Started, events))
    for run in state.runs.values():
        numbers = [attempt.number for attempt in run.attempts]
        if len(numbers) != len(set(numbers)):
            yield f"{run.id}: two attempts with one number: {numbers}"
        if executed.get(run.id, 0) > len(numbers):
            yield f"{run.id}: {executed[run.id]} executions, {len(numbers)} attempts recorded"
        if starts[run.id] != len(numbers):
            yield f"{run.id}: {starts[run.id]} starts, {len(numbers)} attempts"
        good = [a for a in run.attempts if str(a.outcome) in {"finished", "diverged"}]
        if len(good) > 1:
            yield f"{run.id}: {len(good)} good attempts"
        if not executed.get(run.id):
            yield f"{run.id}: never executed"
    for stranger in executed.keys() - state.runs.keys():
        yield f"{stranger}: executed, but in no record"


def _wrong_folders(bench: SoakBench, group: str, state: GroupState, plan: int) -> Iterator[str]:
    folder = bench.group(group)
    there = set(folder.run_ids())
    yield from (f"{run}: a folder, but no record" for run in there - state.runs.keys())
    for run in state.runs.values():
        if deed_of(run, plan) == "remove its folder":
            continue
        if run.id not in there:
            yield f"{run.id}: no folder"
            continue
        try:
            result = json.loads(folder.run(run.id).result_file.read_text())
        except (OSError, ValueError) as error:
            if str(run.outcome) in {"finished", "diverged"}:
                yield f"{run.id}: no result.json: {error}"
            continue
        if run.outcome is None or result["outcome"] != run.outcome.value:
            yield f"{run.id}: result.json says {result['outcome']}, the journal {run.outcome}"


def leftovers(bench: SoakBench) -> Iterator[str]:
    """Processes and files that should be gone."""
    yield from (f"process: {line}" for line in bench.marked_processes())
    yield from (f"scratch: {path}" for path in bench.scratch.glob("*"))
