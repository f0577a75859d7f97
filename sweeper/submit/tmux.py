"""A launch in a new tmux session, which goes on when the terminal or the connection closes.

The environment reaches the session by a private file, not by tmux's arguments, which everybody on
the host can read. tmux gets words and no line of shell, so nothing has to be quoted.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sweeper.errors import SweeperError
from sweeper.submit.base import Submission

__all__ = ["check_name", "check_tmux", "logout_note", "session_name", "start_session"]

# sun_path in unix(7), without the byte that ends it.
_LONGEST_SOCKET = 107
_WAIT_S = 20.0

Answer = Callable[[Sequence[str]], str]


def session_name(group: str, shard: str | None = None) -> str:
    """The name of the session of a group: ``sweep-GROUP``, without what tmux takes for its own."""
    kept = "".join(char if char.isalnum() or char in "-_" else "_" for char in group)
    return f"sweep-{kept}" + (f"-{shard.replace('/', 'of')}" if shard else "")


def check_name(name: str) -> None:
    """Raise `SweeperError` for a name that tmux would change or understand otherwise."""
    good = name.replace("-", "").replace("_", "").isalnum() and not name.startswith("-")
    if not good:
        raise SweeperError(
            f"--tmux-name: expected letters, digits, `-` and `_`, but got {name!r}: tmux gives "
            f"other characters a meaning of their own"
        )


def check_tmux(environ: Mapping[str, str], name: str) -> None:
    """Raise `SweeperError` where a session of that name can't be made."""
    if shutil.which("tmux", path=environ.get("PATH")) is None:
        raise SweeperError(
            "tmux isn't installed: install it (Debian and Ubuntu: apt install tmux; conda: conda "
            "install -c conda-forge tmux), or launch without --tmux"
        )
    folder = environ.get("TMUX_TMPDIR") or "/tmp"
    socket = f"{folder}/tmux-{os.getuid()}/default"
    if "TMUX" not in environ and len(os.fsencode(socket)) > _LONGEST_SOCKET:
        raise SweeperError(
            f"TMUX_TMPDIR is too long: tmux's socket {socket} may have at most {_LONGEST_SOCKET} "
            f"bytes; set TMUX_TMPDIR to a shorter folder, such as /tmp"
        )
    if _tmux("has-session", "-t", f"={name}", environ=environ).returncode == 0:
        raise _taken(name, environ)


def start_session(
    group: str, name: str, command: Sequence[str], environ: Mapping[str, str]
) -> Submission:
    """Run a command in a new detached session, in this folder and with this environment.

    Raises `SweeperError` for a name in use, or with what tmux says.
    """
    check_tmux(environ, name)
    cwd = Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="sweeper-tmux-"))  # 0700
    start = {"command": list(command), "cwd": str(cwd), "environ": dict(environ)}
    (folder / "start.json").write_text(json.dumps(start))
    size = shutil.get_terminal_size((120, 40))
    done = _tmux(
        *("new-session", "-d", "-s", name, "-x", str(size.columns), "-y", str(size.lines)),
        *("-c", str(cwd).replace("#", "##")),  # tmux expands #{…}
        # -I: what lies in the current folder is not imported in place of our modules.
        *("--", sys.executable, "-I", "-m", "sweeper.submit.tmux_session", str(folder)),
        environ=environ,
    )
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        if "duplicate session" in done.stderr:
            raise _taken(name, environ)
        raise SweeperError(f"tmux can't make the session `{name}`: {done.stderr.strip()}")
    note = logout_note(_answer, os.getuid())
    return Submission(
        group=group,
        where=f"tmux session {name}",
        commands={
            "watch": f"sweep watch {shlex.quote(group)}",
            "attach": _attach(name, environ),
            "stop": f"sweep stop {shlex.quote(group)}",
            "close": _close(name),
        },
        notes=(note,) if note else (),
    )


def logout_note(answer: Answer, uid: int) -> str | None:
    """What to do where the host ends a user's processes at logout; None where it doesn't.

    `answer` gives what a command prints, empty where it can't be run.
    """
    if answer(["loginctl", "show-user", "-p", "KillUserProcesses", "--value"]).strip() != "yes":
        return None
    lingers = answer(["loginctl", "show-user", str(uid), "-p", "Linger", "--value"]).strip()
    linger = "" if lingers == "yes" else "loginctl enable-linger; "
    return (
        "this host ends your processes when you log out (KillUserProcesses=yes), tmux too. Start "
        f"tmux's server apart from your login, once and before the launch: {linger}"
        "systemd-run --user --scope tmux new-session -d -s keep"
    )


def _attach(name: str, environ: Mapping[str, str]) -> str:
    """How to get there; from inside of tmux by switching, as sessions don't nest."""
    verb = "switch-client" if "TMUX" in environ else "attach"
    return f"tmux {verb} -t {name}"


def _close(name: str) -> str:
    # `=`: no other session whose name begins so; in quotes, as zsh expands it.
    return f"tmux kill-session -t '={name}'"


def _taken(name: str, environ: Mapping[str, str]) -> SweeperError:
    return SweeperError(
        f"there is a tmux session `{name}` already: look into it with "
        f"`{_attach(name, environ)}`, close it with `{_close(name)}`, or choose "
        f"another name with --tmux-name"
    )


def _tmux(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["tmux", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WAIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SweeperError(f"tmux can't be run: {error}") from error


def _answer(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
