"""What runs in a tmux session: a command, and after its end a line that keeps the session open."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["environment", "main"]

# What a program must know of the terminal that it is in, and not of the one it was started from.
_OF_THE_TERMINAL = ("TMUX", "TMUX_PANE", "TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION")
_STALE = ("COLUMNS", "LINES", "COLORTERM")


def environment(given: Mapping[str, str], here: Mapping[str, str]) -> dict[str, str]:
    """The environment that was handed over, with what belongs to this terminal from `here`."""
    kept = {
        name: value for name, value in given.items() if name not in (*_OF_THE_TERMINAL, *_STALE)
    }
    return {**kept, **{name: here[name] for name in _OF_THE_TERMINAL if name in here}}


def main(folder: Path) -> int:
    """Run what the folder says, delete the folder, and wait for Enter at the end."""
    start = json.loads((folder / "start.json").read_text())
    shutil.rmtree(folder, ignore_errors=True)
    # Handlers, and not SIG_IGN, which the command would inherit: it gets these signals itself.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    os.chdir(start["cwd"])
    child = subprocess.Popen(start["command"], env=environment(start["environ"], os.environ))
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    status = child.wait()
    sys.stdout.write(
        f"\nThe launch has ended with exit status {status}. Enter closes this session.\n"
    )
    sys.stdout.flush()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
