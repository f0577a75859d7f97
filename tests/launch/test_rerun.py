"""`sweep rerun` says of a run what a launch would record, also of one that takes its process."""

from __future__ import annotations

import pytest
from support import Bench

RUN = "abcdefgh23"


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("os._exit(0)", "crashed: called os._exit(0)"),
        ("exit in C", "crashed: its process left with status 7, outside of Python"),
        ("segfault", "crashed: SIGSEGV: Segmentation fault"),
        ("kill", "crashed: SIGKILL: killed by SIGKILL"),
        ("terminate", "crashed: SIGTERM: ended from outside"),
        ("sys.exit(0)", "crashed: SystemExit: called sys.exit(0)"),
    ],
)
def test_a_run_that_takes_its_process_has_its_cause(bench: Bench, deed: str, said: str) -> None:
    folder = bench.plant(
        "deeds",
        {"event": "launched", "launch": "l", "trainer": "sabotage", "total": 1, "host": "other"},
        {"event": "planned", "runs": {RUN: {"deed": deed}}, "headline": "loss"},
    )
    folder.run(RUN).make().config_file.write_text(f"deed: {deed}\n")
    result = bench.sweep("rerun", RUN, "--trainer", "sabotage")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (1, said)
