"""The persistent compile cache serves a second process: thousands of runs live on that."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]

SCRIPT = """
import collections, json, sys
from pathlib import Path
import jax
events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
sys.path[:0] = [{folder!r}, {tests!r}]
import conftest, tiny_trainings
done = tiny_trainings.run_training(
    tiny_trainings.tiny(
        seed=int(sys.argv[1]), steps_strategy=(2,), lr_strategy=(float(sys.argv[2]),)
    ),
    Path(sys.argv[3]),
)
print(json.dumps({{
    "hits": events["/jax/compilation_cache/cache_hits"],
    "misses": events["/jax/compilation_cache/cache_misses"],
    "compile_s": done.result["compile_s"],
}}))
"""


def train_in_a_new_process(cache: Path, *arguments: object) -> dict[str, float]:
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # How well programs are compiled is no matter of the cache.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    script = SCRIPT.format(folder=str(Path(__file__).parent), tests=str(REPOSITORY / "tests"))
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env=environment,
    )
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def entries(cache: Path) -> set[str]:
    return {file.name for file in cache.iterdir() if file.name.endswith("-cache")}


def test_a_second_process_compiles_nothing_and_writes_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    first = train_in_a_new_process(cache, 0, 1e-2, tmp_path / "a")
    written = entries(cache)
    assert first["misses"] == len(written) >= 2
    assert any(name.startswith("jit_chunk-") for name in written)
    assert any(name.startswith("jit_program-") for name in written)
    # Another seed and learning rate: other arguments of the same programs.
    second = train_in_a_new_process(cache, 3, 1e-4, tmp_path / "b")
    assert second["misses"] == 0
    assert second["hits"] >= 2
    assert entries(cache) == written
    assert second["compile_s"] < first["compile_s"]
