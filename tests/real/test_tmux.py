"""A launch in a real tmux, on a server of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import SWEEP as SWEEP_SCRIPT
from support import Bench, wait_until

pytestmark = pytest.mark.real

SWEEP = "trainer: sabotage\ngroup: g\ndeed: [finish, wait for stop]\n"
ODD = 'it\'s #{pid} "$HOME"\n& co'


@dataclass(frozen=True)
class TmuxBench(Bench):
    """A place whose tmux server is nobody else's, and whose folder has an odd name."""

    @property
    def env(self) -> dict[str, str]:
        env = {**super().env, "TMUX_TMPDIR": str(self.scratch), "TOKEN": "secret\nof two lines"}
        env.pop("TMUX", None)
        return {**env, "TERM": "no-such-terminal"}

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", *arguments], env=self.env, capture_output=True, text=True, check=False
        )
        return done.stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-S", "-100", "-t", "=sweep-g:")


@pytest.fixture
def bench(bench: Bench) -> Iterator[TmuxBench]:
    bench.scratch.mkdir(mode=0o700)
    place = TmuxBench(bench.path / ODD, bench.scratch)
    place.path.mkdir()
    yield place
    place.tmux("kill-server")


def test_a_sweep_from_launch_to_stop(bench: TmuxBench) -> None:
    file = bench.write("g", SWEEP)

    first = bench.sweep("launch", file, "--tmux", "--cpus", 2)
    assert first.stdout == (
        "g: launched in tmux session sweep-g\n"
        "  watch   sweep watch g\n"
        "  attach  tmux attach -t sweep-g\n"
        "  stop    sweep stop g\n"
        "  close   tmux kill-session -t '=sweep-g'\n"
    ), first.stderr
    wait_until(lambda: bench.state("g").counts()["running"] == 1, state=bench.screen)
    busy = bench.sweep("launch", file, "--tmux")
    assert busy.returncode == 2
    assert "or end it with `sweep stop g`" in busy.stderr
    assert not arguments_with("secret")
    watch_and_leave(bench)

    assert bench.sweep("stop", "g", "--wait").stdout.endswith("ended\n")
    assert bench.state("g").counts()["stopped"] == 1
    wait_until(lambda: "ended with exit status 130" in bench.screen(), state=bench.screen)
    taken = bench.sweep("launch", file, "--tmux")
    assert taken.returncode == 2
    assert "there is a tmux session `sweep-g` already" in taken.stderr
    bench.tmux("send-keys", "-t", "=sweep-g:", "Enter")
    wait_until(lambda: not bench.tmux("ls"), state=bench.screen)


def watch_and_leave(bench: TmuxBench) -> None:
    """Look at the run's log and back, then quit; the sweep doesn't notice."""
    watching = (str(SWEEP_SCRIPT), "watch", "g")
    bench.tmux("new-session", "-d", "-s", "w", "-x", "80", "-y", "24", "--", *watching)

    def shows(text: str) -> None:
        wait_until(
            lambda: text in bench.tmux("capture-pane", "-p", "-t", "=w:"), state=bench.screen
        )

    shows("1 of 2 finished; 1 running")
    shows("> slot")
    bench.tmux("send-keys", "-t", "=w:", "Enter")
    shows("deed: wait for stop")
    bench.tmux("send-keys", "-t", "=w:", "Escape")
    shows("> slot")
    bench.tmux("send-keys", "-t", "=w:", "q")
    wait_until(lambda: "w:" not in bench.tmux("ls").replace("sweep-g:", ""), state=bench.screen)
    assert bench.state("g").counts()["running"] == 1


def test_an_error_in_the_file_starts_nothing(bench: TmuxBench) -> None:
    file = bench.write("g", SWEEP.replace("finish", "finnish"))

    done = bench.sweep("launch", file, "--tmux")

    assert done.returncode == 2
    assert "did you mean" in done.stderr
    assert bench.tmux("ls") == ""


def arguments_with(word: str) -> list[bytes]:
    """The command lines on this host that hold a word."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes()
        except OSError:
            continue
        if word.encode() in line:
            found.append(line)
    return found
