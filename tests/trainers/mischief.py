"""A trainer whose runs harm the process, folder and streams that they were given.

Runs of one `lane` have one program, so they follow each other on one slot: what a run spoils, its
successor meets. Each run first writes down the state in which it finds its process.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sweeper.trainer import Run

_LOCK = threading.Lock()
FLOOD_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Config:
    deed: Literal[
        "finish",
        "hold a lock",
        "allocate in jax",
        "loop for ever in jax",
        "stop itself",
        "flood stdout",
        "result is a folder",
        "result is a folder, then die",
        "folder is a file, then die",
        "remove its folder",
        "remove its folder, then die",
        "close stdout and stderr",
        "close everything",
        "spoil the process",
        "ignore signals",
        "leave a thread",
        "leave a hidden child",
        "fork",
        "write by logging",
        "write by logging again",
        "log odd metrics",
        "log no number",
        "raise control characters",
        "raise a long message",
        "forge a result, then die",
        "fill the temp folder",
        "fill its folder",
        "nearly fill its folder",
        "wait for stop",
        "tell its place",
    ] = "finish"
    lane: int = 0


def program_key(config: Config) -> int:
    return config.lane


def train(configs: Sequence[Config], runs: Sequence[Run]) -> Any:
    config, run = configs[0], runs[0]
    with _LOCK:
        found = json.dumps(_state())
    run.save("found.json", lambda path: path.write_text(found))
    print(f"lane {config.lane}: {config.deed}", flush=True)
    for step in range(3):
        run.log(step, loss=1.0 / (step + 1))
    return _deeds(config, run)


def _state() -> dict[str, Any]:
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),  # noqa: PTH109  (a text)
        "umask": umask,
        "environ": os.environ.get("MISCHIEF"),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }


def _deeds(config: Config, run: Run) -> Any:  # noqa: PLR0912, PLR0915  (a list of deeds)
    match config.deed:
        case "hold a lock":
            _LOCK.acquire()
            raise RuntimeError("raised with the lock in its hand")
        case "allocate in jax":
            import jax
            import jax.numpy as jnp

            print(jnp.ones((1 << 31,), jnp.uint8).block_until_ready().sum())
        case "loop for ever in jax":
            import jax

            print(jax.jit(lambda x: jax.lax.while_loop(lambda y: y > 0, lambda y: y + 1, x))(1.0))
        case "stop itself":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "flood stdout":
            block = b"x" * 999_999 + b"\n"
            for _ in range(FLOOD_BYTES // len(block)):
                os.write(1, block)
            print("the flood is over", file=sys.stderr)
        case "result is a folder":
            (run.folder / "result.json" / "inner").mkdir(parents=True)
        case "result is a folder, then die":
            (run.folder / "result.json" / "inner").mkdir(parents=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case "folder is a file, then die":
            shutil.rmtree(run.folder)
            run.folder.write_text("no folder any more")
            os.kill(os.getpid(), signal.SIGKILL)
        case "remove its folder":
            shutil.rmtree(run.folder)
        case "remove its folder, then die":
            shutil.rmtree(run.folder)
            os.kill(os.getpid(), signal.SIGKILL)
        case "close stdout and stderr":
            sys.stdout.close()
            os.close(1)
            os.close(2)
        case "close everything":
            os.closerange(0, 4096)
        case "spoil the process":
            os.chdir("/")
            os.umask(0)
            os.environ["MISCHIEF"] = "spoilt"
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
                signal.signal(number, signal.SIG_IGN)
        case "ignore signals":
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
            time.sleep(600)
        case "leave a thread":
            threading.Thread(target=_tick_for_ever, args=(config.lane,)).start()
        case "leave a hidden child":
            # Neither our child, nor in our session, nor with our environment.
            name = f"{7_000_000 + os.getpid()}"
            subprocess.run(["setsid", "--fork", "env", "-i", "sleep", name], check=True)
            run.save("child.txt", lambda path: path.write_text(name))
        case "fork":
            # Both go back into the worker's code.
            os.fork()
        case "write by logging" | "write by logging again":
            logging.basicConfig(format="%(message)s")
            logging.warning("logged by run %s", run.id)
        case "log odd metrics":
            return [_log_odd_metrics(run)]
        case "log no number":
            run.log(3, loss=10**400)
        case "raise control characters":
            raise ValueError("\x1b]0;owned\x07\x1b[2J red \udcff \u202e end")
        case "raise a long message":
            raise ValueError("long " * 2_000_000)
        case "forge a result, then die":
            forged = json.dumps({"id": "other", "attempt": 1, "outcome": "splendid"})
            (run.folder / "result.json").write_text(forged)
            os.kill(os.getpid(), signal.SIGKILL)
        case "fill the temp folder":
            _fill(Path(tempfile.gettempdir()))
        case "fill its folder":
            _fill(run.folder)
        case "nearly fill its folder":
            _fill(run.folder, but=64 << 20)
        case "wait for stop":
            while not run.should_stop():
                time.sleep(0.02)
        case "tell its place":
            print(json.dumps({"cwd": os.getcwd(), "temp": tempfile.gettempdir()}))  # noqa: PTH109
            run.save("note.txt", lambda path: path.write_text("kept"))
    return None


def _log_odd_metrics(run: Run) -> dict[Any, Any]:
    import numpy as np

    run.log(
        3,
        **{
            "": 1.0,
            "with\nnewline": 2.0,
            "a/b [red]c[/red]": 3.0,
            "\U0001f4a5" * 100: 4.0,
            "half \udc00": 5.0,
            "\x1b[2Jescape": 6.0,
            "step ": 7.0,
            "n" * 10_000: 8.0,
        },
    )
    run.log(4, time=-1.0, huge=1e308, tiny=5e-324, inf=float("inf"), numpy=np.float32(0.5))  # type: ignore[arg-type]  # what users do
    return {7: True, "minus": -0.0, "last": np.int64(3)}


def _fill(folder: Path, but: int = 0) -> None:
    """Write until the disk is full but for so many bytes; the file stays."""
    with (folder / "filler").open("wb") as file:
        while not but or shutil.disk_usage(folder).free > but:
            file.write(b"x" * (1 << 20))


def _tick_for_ever(lane: int) -> None:
    while True:
        print(f"the thread of lane {lane} ticks", flush=True)
        time.sleep(0.02)


def found_state(folder: Path) -> dict[str, Any]:
    """What a run wrote of the process that it found."""
    state: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return state
