"""What a run changes in its process is put back, or the process is not used again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

Tried: TypeAlias = Callable[..., tuple[str, str]]

# A process that has imported what is judged here, and no more, forks one for each case.
SERVER = """
import contextlib, io, json, os, sys, warnings
import sweeper.engine.process_state
for line in sys.stdin:
    before, change, after = json.loads(line)
    out, into = os.pipe()
    if not os.fork():
        os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
        os.dup2(into, 1)
        os.dup2(1, 2)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, 'w', closefd=False)
        exec(CASE, {'__name__': 'case', 'before': before, 'change': change, 'after': after})
        sys.stdout.flush()
        os._exit(0)
    os.close(into)
    print(json.dumps(open(out).read()), flush=True)
    os.wait()
"""
CASE = """
import sys
from sweeper.engine.process_state import ProcessState, kill_children
exec(before)
state = ProcessState()
exec(change)
print(state.restore())
exec(after)
kill_children()
"""


@pytest.fixture(scope="module")
def tried() -> Iterator[Tried]:
    """The verdict on a process after `change`, and what `after` prints."""
    code = f"CASE = {CASE!r}\n{SERVER}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def tried(change: str, after: str = "", before: str = "") -> tuple[str, str]:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps([before, change, after]) + "\n")
            server.stdin.flush()
            said: str = json.loads(server.stdout.readline())
            verdict, _, printed = said.partition("\n")
            return verdict, printed.strip()

        yield tried
        assert server.stdin is not None
        server.stdin.close()


@pytest.mark.parametrize(
    ("change", "after", "printed"),
    [
        ("pass", "", ""),
        ("import os; os.chdir('/')", "import os; print(os.getcwd() == '/')", "False"),
        ("import os; os.umask(0)", "import os; print(os.umask(0) != 0)", "True"),
        ("import os; os.environ['A'] = 'b'", "import os; print('A' in os.environ)", "False"),
        ("import os; del os.environ['PATH']", "import os; print('PATH' in os.environ)", "True"),
        (
            "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)",
            "import signal; print(signal.getsignal(signal.SIGUSR1).name)",
            "SIG_DFL",
        ),
        (
            "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); signal.alarm(30)",
            "import signal; print(signal.getitimer(signal.ITIMER_REAL))",
            "(0.0, 0.0)",
        ),
        (
            "import resource; _, hard = resource.getrlimit(resource.RLIMIT_CORE);"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(7)[1]))",
            "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64)",
            "True",
        ),
        (
            "import random; random.seed(1)",
            "import random; a = random.random(); random.seed(1); print(a == random.random())",
            "False",
        ),
        (
            "import numpy; numpy.random.seed(1); numpy.seterr(all='raise')",
            "import numpy; print(numpy.geterr()['over'], numpy.random.rand() < 0.41703)",
            "warn True",
        ),
        (
            "import logging; logging.basicConfig(level=10); logging.disable(50)",
            "import logging; print(logging.root.handlers, logging.root.level, "
            "logging.root.manager.disable)",
            "[] 30 0",
        ),
        (
            "import warnings; warnings.simplefilter('error')",
            "import warnings; print(warnings.filters[0][0] == 'error')",
            "False",
        ),
        ("sys.path.insert(0, '/x')", "print('/x' in sys.path)", "False"),
        ("sys.setrecursionlimit(99)", "print(sys.getrecursionlimit() > 99)", "True"),
        (
            "import matplotlib; matplotlib.rcParams['lines.linewidth'] = 9",
            "import matplotlib; print(matplotlib.rcParams['lines.linewidth'])",
            "1.5",
        ),
        (
            "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
            "import subprocess; print(subprocess.run(['false']).returncode)",
            "1",
        ),
        (
            "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
            "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))",
            "0",
        ),
        (
            "import os; had = os.sched_getaffinity(0); os.sched_setaffinity(0, {min(had)})",
            "import os; print(os.sched_getaffinity(0) == had)",
            "True",
        ),
        ("import os; os.putenv('A', 'b')", "import os; os.system('echo -n $A')", ""),
        (
            "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
            "import time; print('JST' in time.tzname)",
            "False",
        ),
        ("sys.stdin.close()", "print(repr(sys.stdin.read()))", "''"),
        (
            "import os; os.close(0)",
            "import os; print(os.readlink('/proc/self/fd/0'))",
            "/dev/null",
        ),
        ("sys.argv = ['train.py', '--lr']", "print(sys.argv)", "['-c']"),
        ("sys.settrace(lambda *_: None)", "print(sys.gettrace())", "None"),
        ("sys.setswitchinterval(9)", "print(sys.getswitchinterval() < 1)", "True"),
        ("import gc; gc.set_threshold(9)", "import gc; print(gc.get_threshold()[0])", "700"),
        ("import tempfile; tempfile.tempdir = '/x'", "print(tempfile.tempdir)", "None"),
        (
            "import builtins; builtins.profile = lambda f: f",
            "import builtins; print(hasattr(builtins, 'profile'))",
            "False",
        ),
        (
            "import ctypes; ctypes.CDLL('libm.so.6').fesetround(0x400)",
            "import ctypes; print(ctypes.CDLL('libm.so.6').fegetround())",
            "0",
        ),
        (
            "import asyncio; asyncio.run(asyncio.sleep(0))",
            "import asyncio; print(type(asyncio.new_event_loop()) is type("
            "asyncio.get_event_loop_policy().get_event_loop()))",
            "True",
        ),
        (
            "import multiprocessing; multiprocessing.set_start_method('spawn')",
            "import multiprocessing; print(multiprocessing.get_start_method(allow_none=True))",
            "None",
        ),
        (
            "import logging; logging.getLogger('mine').addHandler(logging.NullHandler())",
            "import logging; print(logging.getLogger('mine').handlers)",
            "[]",
        ),
        (
            "import matplotlib.pyplot as plt; plt.figure()",
            "import matplotlib.pyplot as plt; print(plt.get_fignums())",
            "[]",
        ),
    ],
)
def test_what_can_be_put_back_is(tried: Tried, change: str, after: str, printed: str) -> None:
    modules = "import numpy, matplotlib; numpy.random.seed(123456)" if "imp" in change else ""
    before = modules if "numpy" in change or "matplotlib" in change else ""
    if "numpy" in change:
        after = after.replace("< 0.41703", "!= 0.417022004702574")
    assert tried(change, after, before) == ("None", printed)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(9,), name='T', "
            "daemon=True).start()",
            "a thread goes on: T",
        ),
        (
            "import subprocess; subprocess.Popen(['sleep', '60'])",
            "it has child processes",
        ),
        ("kept = open('/etc/hostname')", "it keeps open: /etc/hostname"),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
            "its limits can't be put back",
        ),
    ],
)
def test_what_cannot_be_put_back_spends_the_process(tried: Tried, change: str, why: str) -> None:
    before = ""
    if "RLIMIT_CORE" in change:  # root may raise a hard limit again: nobody else may
        before = "import os\nif os.getuid() == 0: os.setgid(65534), os.setuid(65534)"
    assert tried(change, before=before)[0] == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("builtins.open = print", "it has replaced builtins.open"),
        ("time.time = lambda: 0.0", "it has replaced time.time"),
        ("sys.excepthook = lambda *_: None", "it has replaced sys.excepthook"),
        ("own.SCALE = 2.0", "it has changed own.SCALE"),
        ("own.SETTINGS['layers'].append(8)", "it has changed own.SETTINGS"),
        ("own.Options.depth = 2", "it has changed own.Options.depth"),
        ("own.options.width = 2", "it has changed own.options.width"),
        ("sys.modules['time'] = own", "it has replaced the module time"),
        ("own.options.model = object()", "None"),
        ("own.DATA = object()", "None"),  # loaded once: a cache
        ("own.CACHE[3] = object()", "None"),
        ("own.CACHE[3] = 0.5", "None"),
        ("own.KNOWN = {'a': 1}", "it has changed own.KNOWN"),
        ("own.KNOWN['b'] = 2", "it has changed own.KNOWN"),
        ("own.KNOWN.clear()", "it has changed own.KNOWN"),
        ("own.SEEN.append('lr=1')", "None"),
        ("own.COUNT += 1", "it has changed own.COUNT"),
        ("own.DATA = 0.5", "None"),  # computed once
        ("own.options._norm = 0.5", "None"),
        ("own.options.model = 0.5", "it has changed own.options.model"),
        ("own.NEW = 1", "None"),  # nothing that a run before it could have seen
    ],
)
def test_settings_in_modules_spend_the_process_but_caches_do_not(
    tried: Tried, tmp_path: Path, change: str, why: str
) -> None:
    source = (
        "SCALE = 1.0; SETTINGS = {'layers': [8]}; DATA = None; CACHE = {}\n"
        "KNOWN = {'a': 0}; SEEN = []; COUNT = 0\n"
        "class Options: depth = 1\n"
        "options = Options(); options.width = 1; options.model = options._norm = None\n"
    )
    (tmp_path / "own.py").write_text(source)
    before = f"import builtins, sys, time; sys.path.append({str(tmp_path)!r}); import own"
    assert tried(change, before=before)[0] == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("own.CACHE[4] = 0.25; own.SEEN.append('lr=2')", "None"),
        ("own.CACHE.pop(3)", "None"),  # an entry that had to make room
        ("own.CACHE[3] = 0.75", "it has changed own.CACHE"),
        ("own.DATA = 0.75", "it has changed own.DATA"),
        ("own.KNOWN['b'] = 2", "it has changed own.KNOWN"),
        ("own.function = print", "it has replaced own.function"),
    ],
)
def test_a_second_run_is_compared_with_what_the_first_has_left(
    tried: Tried, tmp_path: Path, change: str, why: str
) -> None:
    (tmp_path / "own.py").write_text("CACHE = {}; SEEN = []; DATA = None; KNOWN = {'a': 0}\n")
    before = (
        f"import sys; sys.path.append({str(tmp_path)!r}); import own\n"
        "first = ProcessState()\n"
        "own.CACHE[3] = own.DATA = 0.5; own.SEEN.append('lr=1'); own.function = len\n"
        "assert first.restore() is None"
    )
    assert tried(change, before=before)[0] == why


def test_what_a_file_still_buffers_is_written(tried: Tried, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    verdict, _ = tried(f"kept = open({str(file)!r}, 'w'); kept.write('1,2')")
    assert (verdict, file.read_text()) == (f"it keeps open: {file}", "1,2")


def test_a_file_that_nothing_refers_to_is_closed(tried: Tried, tmp_path: Path) -> None:
    """It may be part of a circle, as after an exception."""
    change = f"file = open({str(tmp_path / 'a')!r}, 'w'); circle = [file]; circle.append(circle); "
    assert tried(change + "del file, circle")[0] == "None"


def test_settings_of_jax_spend_the_process_also_where_the_run_imported_it(tried: Tried) -> None:
    change = "import jax; jax.config.update('jax_enable_x64', True)"
    assert tried(change)[0] == "it has set jax_enable_x64 of JAX"
    assert tried(change, before="import jax")[0] == "it has set jax_enable_x64 of JAX"


def test_a_computation_with_jax_does_not_spend_the_process(tried: Tried) -> None:
    """Else every run would compile anew."""
    change = "import jax; jax.jit(lambda x: x + 1)(1.0).block_until_ready()"
    assert tried(change)[0] == "None"
    assert tried(change, before="import jax")[0] == "None"


def test_a_process_that_gets_stuck_in_its_clean_up_ends(tmp_path: Path) -> None:
    """Also where a thread keeps the interpreter's lock, as native code may."""
    code = f"""
import ctypes
from pathlib import Path
from sweeper.engine import sandbox
sandbox._CLEAN_UP_S = 0.2
stuck = ctypes.PyDLL(None).sleep  # doesn't let go of the lock
sandbox.Stacks(Path({str(tmp_path / "stack")!r})).limited(lambda: stuck(60))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert done.returncode == 1
    assert "Timeout" in (tmp_path / "stack").read_text()
