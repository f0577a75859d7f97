"""Every way to end gets its own cause."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweeper.engine.failures import (
    DeathTraces,
    Terminated,
    cause_of_death,
    cause_of_exception,
    full_disk_named,
    is_divergence,
)
from sweeper.errors import Diverged, RecordError
from sweeper.records.outcomes import Cause, CauseKind, Outcome


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "text"),
    [
        (ValueError("a\nb"), Outcome.CRASHED, CauseKind.EXCEPTION, "ValueError: a b"),
        (KeyError(), Outcome.CRASHED, CauseKind.EXCEPTION, "KeyError: "),
        (Diverged("gone", step=3), Outcome.DIVERGED, CauseKind.NOT_FINITE, "gone"),
        (SystemExit(0), Outcome.CRASHED, CauseKind.EXIT, "SystemExit: called sys.exit(0)"),
        (SystemExit("bye"), Outcome.CRASHED, CauseKind.EXIT, "SystemExit: called sys.exit('bye')"),
        (Terminated(), Outcome.CRASHED, CauseKind.SIGNAL, "SIGTERM: ended from outside"),
        (
            MemoryError(),
            Outcome.CRASHED,
            CauseKind.OUT_OF_MEMORY,
            "MemoryError: memory_per_run reached",
        ),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."),
            Outcome.CRASHED,
            CauseKind.OUT_OF_MEMORY,
            "RuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            Outcome.CRASHED,
            CauseKind.NO_DISK_SPACE,
            "OSError: [Errno 28] No space left on device",
        ),
        (
            UnprintableError(),
            Outcome.CRASHED,
            CauseKind.EXCEPTION,
            f"{__name__}.UnprintableError: (its text can't be read: RuntimeError)",
        ),
    ],
)
def test_exceptions(error: BaseException, outcome: Outcome, kind: CauseKind, text: str) -> None:
    found, cause = cause_of_exception(error)
    assert (found, cause.kind, cause.headline()) == (outcome, kind, text)


def raised(outer: BaseException, inner: BaseException, *, explicit: bool) -> BaseException:
    """`outer`, raised from `inner` or merely while that was handled."""
    try:
        try:
            raise inner
        except BaseException as error:
            if explicit:
                raise outer from error
            raise outer  # noqa: B904  (that is the case)
    except BaseException as error:
        return error


@pytest.mark.parametrize(
    ("inner", "explicit", "outcome", "kind", "message"),
    [
        (
            ValueError("bad width"),
            True,
            Outcome.CRASHED,
            CauseKind.EXCEPTION,
            "it failed; from ValueError: bad width",
        ),
        (
            ValueError("bad width"),
            False,
            Outcome.CRASHED,
            CauseKind.EXCEPTION,
            "it failed; after ValueError: bad width",
        ),
        (
            MemoryError("no room"),
            True,
            Outcome.CRASHED,
            CauseKind.OUT_OF_MEMORY,
            "it failed; from MemoryError: no room",
        ),
        (
            Diverged("nan"),
            True,
            Outcome.DIVERGED,
            CauseKind.NOT_FINITE,
            "it failed; from sweeper.errors.Diverged: nan",
        ),
        (
            Diverged("nan"),
            False,  # the clean-up after it may have failed for any reason
            Outcome.CRASHED,
            CauseKind.EXCEPTION,
            "it failed; after sweeper.errors.Diverged: nan",
        ),
    ],
)
def test_what_an_exception_was_raised_from_is_said(
    inner: BaseException, explicit: bool, outcome: Outcome, kind: CauseKind, message: str
) -> None:
    found, cause = cause_of_exception(raised(RuntimeError("it failed"), inner, explicit=explicit))
    assert (found, cause.kind, cause.message) == (outcome, kind, message)
    assert cause.type == ("RuntimeError" if outcome is Outcome.CRASHED else None)


def test_a_group_says_what_it_holds_and_diverges_with_all_of_its_members() -> None:
    group = ExceptionGroup("workers", [ValueError("a"), ExceptionGroup("", [KeyError("b")])])
    outcome, cause = cause_of_exception(group)
    assert outcome is Outcome.CRASHED
    assert cause.message == "workers (2 sub-exceptions); from ValueError: a; KeyError: 'b'"
    assert not is_divergence(ExceptionGroup("workers", [Diverged("nan"), ValueError("a")]))
    assert is_divergence(ExceptionGroup("workers", [Diverged("nan")]))


def test_a_chain_of_causes_that_is_a_circle_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert cause_of_exception(one)[1].kind is CauseKind.EXCEPTION


class OddError(OSError):
    """Exceptions are classes like any other: of the text and the number nothing is certain."""

    def __str__(self) -> str:
        raise SystemExit(3)

    @property
    def errno(self) -> int:  # type: ignore[override]
        raise RuntimeError("no")


def test_an_exception_that_raises_when_it_is_read_is_still_the_cause() -> None:
    outcome, cause = cause_of_exception(OddError())
    assert (outcome, cause.kind, cause.type) == (
        Outcome.CRASHED,
        CauseKind.EXCEPTION,
        f"{__name__}.OddError",
    )


def test_exit_status_of_sys_exit() -> None:
    codes = [cause_of_exception(SystemExit(code))[1].code for code in (0, 3, None, "words")]
    assert codes == [0, 3, 0, 1]


def test_a_long_message_is_cut() -> None:
    assert len(cause_of_exception(ValueError("x" * 10_000))[1].message) == 500


def test_the_place_is_in_the_users_own_code_not_in_a_library() -> None:
    import json

    try:
        json.loads("{")
    except ValueError as error:
        place = cause_of_exception(error)[1].place
    assert place is not None
    file, line = place.rsplit(":", 1)
    assert Path(file).name == Path(__file__).name
    assert "json.loads" in Path(file).read_text().splitlines()[int(line) - 1]


def test_packages_outside_of_this_environment_are_libraries_too(tmp_path: Path) -> None:
    """Installed with `pip install --user`, or on PYTHONPATH."""
    library = tmp_path / "lib/python3.11/site-packages/lib.py"
    library.parent.mkdir(parents=True)
    library.write_text("def fail():\n    raise ValueError\n")
    names: dict[str, Any] = {}
    exec(compile(library.read_text(), library, "exec"), names)
    try:
        names["fail"]()
    except ValueError as error:
        place = cause_of_exception(error)[1].place
    assert place is not None
    assert Path(place.rsplit(":", 1)[0]).name == Path(__file__).name


@pytest.mark.parametrize(
    ("code", "name", "what"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV", "Segmentation fault"),
        ("import os; os.abort()", "SIGABRT", "Aborted"),
    ],
)
def test_a_real_fatal_stack_is_read(tmp_path: Path, code: str, name: str, what: str) -> None:
    script = tmp_path / "dies.py"
    script.write_text(f"def inner():\n    {code}\n\ninner()\n")
    died = subprocess.run(
        [sys.executable, "-X", "faulthandler", script], capture_output=True, text=True, check=False
    )
    outcome, cause = cause_of_death(DeathTraces(started=True, stack=died.stderr))
    assert (outcome, cause.kind, cause.type) == (Outcome.CRASHED, CauseKind.SIGNAL, name)
    assert cause.message == what
    assert cause.place == f"{script}:2"


def test_deaths_without_a_stack() -> None:
    limit = Cause(CauseKind.TIME_LIMIT, "too long")
    asked = Cause(CauseKind.ASKED_TO_STOP, "now")
    cases = {
        DeathTraces(started=False): (Outcome.LOST, CauseKind.HOST),
        DeathTraces(started=True): (Outcome.CRASHED, CauseKind.UNKNOWN),
        DeathTraces(started=True, exit_status=-9): (Outcome.CRASHED, CauseKind.SIGNAL),
        DeathTraces(started=True, exit_status=7): (Outcome.CRASHED, CauseKind.EXIT),
        DeathTraces(started=True, noted_exit=0): (Outcome.CRASHED, CauseKind.EXIT),
        DeathTraces(started=True, oom_kills=1): (Outcome.CRASHED, CauseKind.OUT_OF_MEMORY),
        DeathTraces(started=True, killed_for=limit): (Outcome.TIMED_OUT, CauseKind.TIME_LIMIT),
        DeathTraces(started=True, killed_for=asked): (Outcome.STOPPED, CauseKind.ASKED_TO_STOP),
    }
    for traces, expected in cases.items():
        outcome, cause = cause_of_death(traces)
        assert (outcome, cause.kind) == expected


@pytest.mark.parametrize(
    ("traces", "expected"),
    [
        (
            DeathTraces(True, exit_status=-signal.SIGXCPU, last_line="step 9"),
            Cause(CauseKind.SIGNAL, "killed by SIGXCPU", "SIGXCPU"),
        ),
        (
            DeathTraces(True, exit_status=3, last_line="step 9"),
            Cause(
                CauseKind.EXIT,
                "its process left with status 3, outside of Python"
                "; the last line of its log: step 9",
                code=3,
            ),
        ),
        (
            DeathTraces(True, noted_exit=3, exit_status=3),
            Cause(CauseKind.EXIT, "called os._exit(3)", code=3),
        ),
        # A stack that was written before counts for nothing where the process left by itself.
        (
            DeathTraces(True, stack="Fatal Python error: Aborted", exit_status=0),
            Cause(CauseKind.EXIT, "its process left with status 0, outside of Python", code=0),
        ),
        (
            DeathTraces(True, detail="ActorDiedError: gone"),
            Cause(
                CauseKind.UNKNOWN,
                "its process is gone, nobody knows how it ended (ActorDiedError: gone)",
            ),
        ),
    ],
)
def test_the_exit_status_decides(traces: DeathTraces, expected: Cause) -> None:
    assert cause_of_death(traces) == (Outcome.CRASHED, expected)


def test_the_reason_behind_a_stack_in_a_message_is_told() -> None:
    message = (
        "Above is the stack outside of JIT. Below is the stack inside of JIT:\n"
        '  File "/a/ode.py", line 22, in end\n    solution = diffrax.diffeqsolve(\n'
        "               ^^^^^^^^^^^^^^^^^^^^\n\n"
        "equinox.EquinoxRuntimeError: radius fell below the surface\n\n-----\n\nHints: many\n"
    )
    _, cause = cause_of_exception(RuntimeError(message))
    assert cause.message == "radius fell below the surface"


def test_a_long_message_keeps_its_head_and_its_tail() -> None:
    _, cause = cause_of_exception(ValueError("head " + "x" * 1000 + " tail"))
    assert len(cause.message) == 500
    assert cause.message.startswith("head xxx")
    assert cause.message.endswith("xxx tail")


def test_the_stack_of_a_killed_run_is_no_cause() -> None:
    """A run that overstays writes its stack on demand: that is not why it died."""
    limit = Cause(CauseKind.TIME_LIMIT, "too long")
    stack = 'Current thread 0x1 (most recent call first):\n  File "/x.py", line 3 in f\n'
    assert cause_of_death(DeathTraces(True, stack, killed_for=limit))[1] is limit


def test_a_full_disk_is_named_where_the_error_names_no_file() -> None:
    free = {Path("/runs/g/runs/a"): 0, Path("/tmp/w"): 3 * 2**30}
    for error, message in (
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "[Errno 28] No space left on device (0 B free at /runs/g/runs/a, 3 GiB free at /tmp/w)",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x.npz"),
            "[Errno 28] No space left on device: '/data/x.npz'",
        ),
    ):
        _, cause = cause_of_exception(error)
        assert full_disk_named(cause, free).message == message


def test_a_record_that_found_no_room_on_the_disk_is_no_other_exception(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
    with pytest.raises(RecordError) as caught:
        raise RecordError("the folder can't be made") from full
    assert cause_of_exception(caught.value)[1].kind is CauseKind.NO_DISK_SPACE
