"""The command that translates sweep files of other tools."""

from __future__ import annotations

from pathlib import Path

from sweeper.cli.common import RUN, app, say


@app.command(name="import", group=RUN)
def import_(file: Path, /) -> None:
    """Translate a sweep file of W&B, or overrides or a config of Hydra, and print ours.

    Nothing in the file is executed. Comments say what has no equivalent here: random search,
    distributions, config groups.

    For example:

    ```text
    sweep import wandb-sweep.yaml > my-sweep.yaml
    sweep import conf/config.yaml > my-sweep.yaml
    sweep import overrides.txt > my-sweep.yaml
    ```

    Args:
        file: The file of the other tool: YAML, or a text with overrides such as `lr=1e-3,1e-2`.
    """
    from sweeper.foreign import translated

    say(translated(file))
