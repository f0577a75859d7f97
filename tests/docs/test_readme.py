"""The sweep file of the README works with the trainer that it is for."""

from __future__ import annotations

import re
from pathlib import Path

from sweeper.config import read_sweep

README = Path(__file__).parents[2] / "README.md"


def test_its_sweep_file_is_read_by_the_default_trainer(tmp_path: Path) -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
    file = tmp_path / "sweep.yaml"
    file.write_text(text, encoding="utf-8")

    sweep = read_sweep(file)

    assert (sweep.group, sweep.count(), sweep.warnings) == ("my-heads", 18, ())
    assert all(not sweep.trainer.check(run.config) for run in sweep)
