"""`sweep init`: a training, a sweep file and a test to begin with."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path

from sweeper.cli.common import RUN, app, say
from sweeper.errors import SweeperError

_NAMES = ("train.py", "sweep.yaml", "test_train.py")


@app.command(group=RUN)
def init(folder: Path = Path(), /) -> None:
    """Write a training of your own to begin with: train.py, sweep.yaml and a test.

    They run at once. No file is overwritten.

    For example:

    ```text
    sweep init my-study
    cd my-study
    sweep launch sweep.yaml
    ```

    Args:
        folder: Where to write them; made if it doesn't exist (default: the current folder).
    """
    there = [folder / name for name in _NAMES if (folder / name).exists()]
    if there:
        raise SweeperError(f"{there[0]} exists already: nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        text = (files("sweeper") / "templates" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    here = "" if folder == Path() else f"  cd {shlex.quote(str(folder))}\n"
    say(
        f"wrote {', '.join(str(folder / name) for name in _NAMES)}\n"
        f"next:\n{here}"
        f"  sweep plan sweep.yaml      # what would be trained\n"
        f"  sweep launch sweep.yaml    # train it\n"
        f"  sweep table                # the results\n"
    )
